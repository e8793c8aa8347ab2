"""What keeps the repository in order: its shipped models, its pages, and exports from torch."""
