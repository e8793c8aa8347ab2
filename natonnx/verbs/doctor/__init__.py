"""`doctor`: what runs here. It loads nothing but Python's own library; what may fail is asked in other processes."""
