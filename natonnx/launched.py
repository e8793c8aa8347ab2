"""How this process was launched: alone, or as one of several ranks by `torchrun`."""

import os

__all__ = ["is_restarted", "neighbours", "rank", "ranks"]


def ranks() -> int:
    """Return how many processes `torchrun` launched with this command; 1 where it did not."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def rank() -> int:
    """Return which of them this one is, from 0 on. Rank 0 decides, writes and prints."""
    return int(os.environ.get("RANK", "0")) if ranks() > 1 else 0


def neighbours() -> int:
    """Return how many of them run on this machine, this one included."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if ranks() > 1 else 1


def is_restarted() -> bool:
    """Whether `torchrun` launched them anew after one of them failed."""
    return ranks() > 1 and int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
