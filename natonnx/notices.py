"""The level of log records that a user should see once without asking for them."""

__all__ = ["NOTICE"]

NOTICE = 25
"""Between `logging.INFO` and `logging.WARNING`: the command line shows it without -v, but not with -q."""
