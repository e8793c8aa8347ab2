"""Look-ups per second, and a short search."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

import natonnx
from natonnx.frontend.source import load
from natonnx.policy.base import draw
from natonnx.policy.random_search import RandomPolicy
from natonnx.search import Settings
from natonnx.search.assess import original_runner
from natonnx.search.look import Looker
from natonnx.supernet import Supernet
from natonnx.verbs.optimize.prepare import DeviceName, prepare, torch_settings
from tools.benchmarks.bench_supernet import CPU

__all__ = ["HEADER", "rows"]

HEADER = ("what", "device", "result")


def rows(model: Path, data: str | None, lookups: int, device: torch.device) -> Iterator[list[str]]:
    """Look architectures up on the device and on the CPU, and search on the device."""
    for place in dict.fromkeys((device, CPU)):
        yield ["look-ups per second", place.type, f"{_per_second(model, data, lookups, place):.2f}"]
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        settings = Settings(target_madds=0.7, max_drop=50, lookups=lookups, finetune_epochs=0.1)
        result = natonnx.optimize(model, data, Path(folder) / "out.onnx", device=_name(device), settings=settings)
        seconds = time.monotonic() - begun
    yield [f"optimize --device {device.type}", device.type, f"{result.report['status']} in {seconds:.0f} s"]


def _name(device: torch.device) -> DeviceName:
    return "cuda" if device.type == "cuda" else "cpu"


def _per_second(model: Path, data: str | None, count: int, device: torch.device) -> float:
    """Return look-ups per second; the first one, of which the original is a part, is not among them."""
    with torch_settings(None):
        problem = prepare(load(model), data, device=_name(device), settings=Settings()).problem
        supernet = Supernet(problem.network).to(device).eval()
        looker = Looker(problem, supernet, original_runner(problem, supernet), 0)
        generator = torch.Generator().manual_seed(0)
        alphas = draw(RandomPolicy(most=4.0), problem.network.architecture, 4 * count, generator).architectures
        looker(alphas[0])
        begun, before = time.monotonic(), len(looker.scores)
        for alpha in alphas[1 : count + 1]:
            looker(alpha)
        return (len(looker.scores) - before) / (time.monotonic() - begun)
