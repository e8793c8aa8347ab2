"""One thread a process: tests run in several at once, and threads that wait for each other starve."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported
