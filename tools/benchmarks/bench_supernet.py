"""Step time of the supernet, or of `to_torch`'s module, against the native torch module that the model comes from.

Both run the same steps in one process, in turn, in channels_last: forward, backward and SGD, and forward alone in
evaluation mode. Printed are the median ratios over the rounds, with their quartiles.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial

import click
import torch
from torch import Tensor, nn
from torch.nn import functional

from natonnx.frontend import parse
from natonnx.module import convert
from natonnx.supernet import Supernet
from tools.benchmarks.bench_search import modules
from tools.benchmarks.subjects import hops
from tools.benchmarks.subjects.transformers import Bert
from tools.command import run_command
from tools.upkeep.export import export
from tools.upkeep.randomise import randomise
from tools.upkeep.train_models import mobilenetv2, resnet20

CPU = torch.device("cpu")

Call = Callable[[], None]


def pictures(channels: int, size: int, batch: int) -> tuple[Tensor, ...]:
    """Return random pictures."""
    return (torch.randn(batch, channels, size, size),)


def tokens(vocabulary: int, length: int, batch: int) -> tuple[Tensor, ...]:
    """Return token indices and a mask of ones."""
    given = torch.randint(vocabulary, (batch, length))
    return given, torch.ones_like(given)


NETWORKS: Mapping[str, tuple[Callable[[], nn.Module], Callable[[int], tuple[Tensor, ...]]]] = {
    "resnet20": (resnet20, partial(pictures, 1, 28)),
    "mobilenetv2": (mobilenetv2, partial(pictures, 1, 28)),
    "densenet": (partial(modules.densenet, 10, 12, 24), partial(pictures, 3, 32)),
    "shufflenet": (modules.shufflenet, partial(pictures, 3, 64)),
    "darts": (partial(modules.darts, 8, 5), partial(pictures, 3, 32)),
    "vit": (partial(modules.vit, 4, 96, 6), partial(pictures, 3, 32)),
    "bert": (
        partial(Bert, hops.VOCABULARY, hops.LENGTH, hops.NAMES, 96),
        partial(tokens, hops.VOCABULARY, hops.LENGTH),
    ),
    "bert-384": (partial(Bert, 1000, 128, 4, 384, 6), partial(tokens, 1000, 128)),
}


@click.command()
@click.option("--networks", default=",".join(NETWORKS), show_default=True, help="With commas between.")
@click.option("--batch", default=64, show_default=True)
@click.option("--rounds", default=15, show_default=True, type=click.IntRange(2))
@click.option("--threads", default=1, show_default=True)
@click.option("--to-torch", is_flag=True, help="The module that `natonnx.to_torch` makes in the supernet's place.")
def main(networks: str, batch: int, rounds: int, threads: int, *, to_torch: bool) -> None:
    """Print the supernet's step time as a share of native torch's, BatchNormalization kept."""
    torch.set_num_threads(threads)
    unknown = [name for name in networks.split(",") if name not in NETWORKS]
    if unknown:
        raise click.UsageError(f"no network is called {unknown[0]!r}; there are {', '.join(NETWORKS)}")
    who = "to_torch" if to_torch else "supernet"
    print(f"{who} / native torch in channels_last, batch {batch}, {threads} thread(s), medians of {rounds} rounds\n")
    print("| network | training | quartiles | evaluation | quartiles |\n|---|---|---|---|---|")
    for name in networks.split(","):
        training, evaluation = (spread(one, rounds) for one in pairs(name, batch, to_torch=to_torch))
        print(f"| {name} | {training} | {evaluation} |", flush=True)


def pairs(
    name: str, batch: int, device: torch.device = CPU, *, short: bool = False, to_torch: bool = False
) -> tuple[tuple[Call, Call], tuple[Call, Call]]:
    """Return a network's training steps, native and ours, and its evaluations.

    Args:
        name: Of the network.
        batch: Samples of a step.
        device: Where both are.
        short: In bfloat16.
        to_torch: Ours is the module that `to_torch` makes in the supernet's place.
    """
    native, supernet, inputs = models(name, batch)
    native = native.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    supernet.to(device)
    last = tuple(x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x for x in inputs)
    last = tuple(x.to(device) for x in last)
    (output,) = supernet.network.outputs
    named = dict(zip(supernet.network.inputs, last, strict=True))
    ours: nn.Module = supernet
    calls: tuple[Callable[[], Tensor], ...] = (lambda: native(*last), lambda: supernet.run(named)[output])
    if to_torch:
        ours = module = convert(supernet.network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        calls = (calls[0], lambda: module(*last))
    labels = torch.randint(native(*last).shape[1], (batch,)).to(device)
    steps = [stepper(model, call, labels, short=short) for model, call in zip((native, ours), calls, strict=True)]
    forwards = [evaluator(model, call) for model, call in zip((native, ours), calls, strict=True)]
    return (steps[0], steps[1]), (forwards[0], forwards[1])


def models(name: str, batch: int) -> tuple[nn.Module, Supernet, tuple[Tensor, ...]]:
    """Return a network, the supernet of what it is exported to, and inputs."""
    torch.manual_seed(0)
    build, make = NETWORKS[name]
    native, inputs = build().eval(), make(batch)
    randomise(native, inputs)
    return native, Supernet(parse(export(native, tuple(x[:2] for x in inputs), "script", 17, keep_norm=True))), inputs


def stepper(model: nn.Module, call: Callable[[], Tensor], labels: Tensor, *, short: bool = False) -> Call:
    """Return one training step."""
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, 0.9)

    def step() -> None:
        model.train()
        with torch.autocast(labels.device.type, torch.bfloat16, enabled=short):
            found = call()
        loss = functional.cross_entropy(found.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def evaluator(model: nn.Module, call: Callable[[], Tensor]) -> Call:
    """Return one forward pass in evaluation mode."""

    def step() -> None:
        model.eval()
        with torch.inference_mode():
            call()

    return step


def spread(calls: tuple[Call, Call], rounds: int) -> str:
    """Time two calls in turn; return the median ratio of the second to the first, and its quartiles."""
    for call in calls:
        call()
    ratios = []
    for _ in range(rounds):
        native, ours = (seconds(call) for call in calls)
        ratios.append(ours / native)
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.2f} | {low:.2f}, {high:.2f}"


def seconds(step: Call) -> float:
    """CPU seconds of a step."""
    begun = time.process_time()
    step()
    return time.process_time() - begun


if __name__ == "__main__":
    run_command(main)
