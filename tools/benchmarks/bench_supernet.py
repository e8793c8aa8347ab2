"""Step time of the supernet against the native torch module that the model was exported from, side by side.

Both run the same forward, backward and SGD steps in one process, in turn, in channels_last; printed is the median ratio
over the rounds, with its quartiles. Needs the `export` extra, for the native module.
"""

import statistics
import time
from collections.abc import Callable

import click
import torch
from torch import Tensor, nn
from torch.nn import functional

from natonnx.frontend import parse
from natonnx.supernet import Supernet
from tools.command import run_command
from tools.upkeep.train_models import export, resnet20


@click.command()
@click.option("--batch", default=64, show_default=True)
@click.option("--rounds", default=15, show_default=True, type=click.IntRange(2))
@click.option("--threads", default=1, show_default=True)
def main(batch: int, rounds: int, threads: int) -> None:
    """Print the supernet's step time as a share of native torch's, for ResNet-20 at 28×28 with BN kept."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    native = resnet20().eval()
    supernet = Supernet(parse(export(native, True)))
    images, labels = torch.randn(batch, 1, 28, 28), torch.randint(10, (batch,))
    native = native.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = [stepper(model, images, labels) for model in (native, supernet)]
    ratios = []
    for _ in range(rounds):
        native_seconds, supernet_seconds = (seconds(step) for step in steps)
        ratios.append(supernet_seconds / native_seconds)
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(
        f"supernet / native torch, batch {batch}, {threads} thread(s): {middle:.3f} (quartiles {low:.3f}, {high:.3f})"
    )


def stepper(model: nn.Module, images: Tensor, labels: Tensor) -> Callable[[], None]:
    """One training step, after a warm-up."""
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, 0.9)
    model.train()

    def step() -> None:
        inputs = images.contiguous(memory_format=torch.channels_last)
        loss = functional.cross_entropy(model(inputs), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    step()
    return step


def seconds(step: Callable[[], None]) -> float:
    """Wall-clock time of a call."""
    begun = time.perf_counter()
    step()
    return time.perf_counter() - begun


if __name__ == "__main__":
    run_command(main)
