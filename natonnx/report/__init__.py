"""What users and programs are shown: JSON payloads, console tables, progress."""
