"""One thread a process: tests run in several at once, and threads that wait for each other starve.

And no width of a terminal: pytest-xdist gives its processes that of its own.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported
os.environ.pop("COLUMNS", None)
