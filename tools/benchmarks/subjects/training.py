"""A training loop that takes a minute or two on one thread."""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

__all__ = ["one_thread", "train"]


@contextlib.contextmanager
def one_thread(seed: int) -> Iterator[None]:
    """Compute on one thread, from a seed; what was set before is put back."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def train(model: nn.Module, loss: Callable[[int], Tensor], steps: int, rate: float = 3e-3) -> None:
    """Train by AdamW under a one-cycle schedule, then switch to evaluation mode.

    Args:
        model: The model.
        loss: The loss of a minibatch, a scalar tensor, by step.
        steps: How many.
        rate: Largest learning rate.
    """
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, max(2, steps), pct_start=0.2)
    model.train()
    for step in range(steps):
        optimizer.zero_grad()
        loss(step).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.eval()
