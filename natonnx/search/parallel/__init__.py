"""Independent parts of a search, carried out by one process or by many: look-ups, starts, and trainings."""
