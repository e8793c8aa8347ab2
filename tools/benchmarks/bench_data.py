"""What reading pictures costs: against torch's DataLoader, under a limit of memory, and until the first line.

Every figure is of fresh processes, run in turn: CPU seconds of a process and of those that it started, and the most
memory that one of them had in use.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import click
import numpy as np
import onnx
from PIL import Image

from tools.command import run_command
from tools.conformance.tiny import ROOT

_CLASSES = 10

OURS = """
import sys
import numpy as np
from natonnx.data import InputSpec, Preprocessing, Signature, load
folder, size, batch, cache = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
signature = Signature((InputSpec("x", (None, 3, size, size), np.dtype(np.float32)),), classes=10)
how = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
parts = load(folder, signature, preprocessing=how, cache=cache)
read = sum(b.size for part in (parts.train, parts.validation, parts.test) for b in part.batches(batch))
print(read)
"""
THEIRS = """
import sys
import numpy as np
import torch
from pathlib import Path
from PIL import Image
from torch.utils.data import DataLoader, Dataset
folder, size, batch, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
torch.set_num_threads(1)
paths = sorted(Path(folder).rglob("*.jpg"))
mean = torch.tensor((0.485, 0.456, 0.406)).reshape(3, 1, 1)
std = torch.tensor((0.229, 0.224, 0.225)).reshape(3, 1, 1)
class Pictures(Dataset):
    def __len__(self):
        return len(paths)
    def __getitem__(self, index):
        with Image.open(paths[index]) as image:
            array = np.array(image.convert("RGB"))
        picture = torch.from_numpy(array).permute(2, 0, 1).contiguous().float().div_(255)
        return picture.sub_(mean).div_(std), int(paths[index].parent.name[5:])
print(sum(len(labels) for _, labels in DataLoader(Pictures(), batch, shuffle=True, num_workers=workers)))
"""


class Cost(NamedTuple):
    """What a process took.

    Attributes:
        cpu: Seconds, those of its own processes too.
        wall: Seconds.
        peak: Bytes, the most that one process had in memory.
        first: Seconds until its first line on stderr; NaN where there was none.
    """

    cpu: float
    wall: float
    peak: int
    first: float


def measure(command: Sequence[str], limit: float = 3600) -> Cost:
    """Run a command to its end; its address space is not limited, nor is anything it does.

    Raises:
        RuntimeError: If it fails.
    """
    wrapper = (
        "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:]).returncode;"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN);"
        "print(used.ru_utime + used.ru_stime, used.ru_maxrss); sys.exit(code)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", wrapper, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    first = time.monotonic() - begun if line else float("nan")
    stdout, stderr = process.communicate(timeout=limit)
    if process.returncode not in (0, 1):
        raise RuntimeError(f"{' '.join(command[:6])} ended with {process.returncode}: {line}{stderr}")
    cpu, peak = stdout.splitlines()[-1].split()
    return Cost(float(cpu), time.monotonic() - begun, int(peak) * 1024, first)


def make_pictures(folder: Path, count: int, size: int, links: int = 1) -> Path:
    """Write JPEGs of smooth noise into class folders, as hard to decode as photographs; each under some names."""
    rng = np.random.default_rng(0)
    for index in range(count):
        place = folder / f"class{index % _CLASSES}"
        place.mkdir(parents=True, exist_ok=True)
        noise = rng.integers(0, 256, (max(2, size // 8), max(2, size // 8), 3), dtype=np.uint8)
        picture = Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC)
        first = place / f"{index:07}.jpg"
        picture.save(first, quality=90)
        for link in range(1, links):
            (place / f"{index:07}_{link:05}.jpg").hardlink_to(first)
    return folder


def make_model(path: Path, size: int) -> Path:
    """Write a small ResNet for such pictures."""
    import torch

    from tools.benchmarks.bench_search.modules import resnet
    from tools.upkeep.export import export

    torch.manual_seed(0)
    model = resnet(1, (16, 32, 64)).eval()
    onnx.save(export(model, (torch.zeros(2, 3, size, size),), "script", 17), path)
    return path


@click.group()
def main() -> None:
    """Print what reading pictures costs."""


@main.command()
@click.option("--count", default=4000, show_default=True, help="JPEGs.")
@click.option("--size", default=224, show_default=True, help="Pixels a side.")
@click.option("--batch", default=32, show_default=True)
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(2))
def loader(count: int, size: int, batch: int, rounds: int) -> None:
    """One pass over pictures as normalised float32 batches, against a DataLoader of two workers, in turn."""
    with TemporaryDirectory() as folder:
        pictures = str(make_pictures(Path(folder) / "pictures", count, size))
        sides = {
            "natonnx": (OURS, "0.5"),
            "natonnx, no cache": (OURS, "0"),
            "DataLoader, 2 workers": (THEIRS, "2"),
        }
        found: dict[str, list[Cost]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, (program, last) in sides.items():
                command = [sys.executable, "-W", "ignore", "-c", program, pictures, str(size), str(batch), last]
                found[name].append(measure(command))
    click.echo("| loader | CPU s | wall s | peak MB | CPU / DataLoader |\n|---|---|---|---|---|")
    theirs = found["DataLoader, 2 workers"]
    for name, costs in found.items():
        ratios = [one.cpu / other.cpu for one, other in zip(costs, theirs, strict=True)]
        click.echo(
            f"| {name} | {statistics.median(one.cpu for one in costs):.2f} "
            f"| {statistics.median(one.wall for one in costs):.2f} | {max(one.peak for one in costs) / 1e6:.0f} "
            f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |"
        )


@main.command()
@click.option("--count", default=1000, show_default=True, help="JPEGs.")
@click.option("--links", default=880, show_default=True, help="Names of each: hard links.")
@click.option("--size", default=64, show_default=True, help="Pixels a side.")
@click.option("--batch", default=32, show_default=True, help="Of training.")
@click.option("--limits", default="1GiB,none", show_default=True, help="Values of --memory, with commas between.")
def memory(count: int, links: int, size: int, batch: int, limits: str) -> None:
    """Peak memory of `natonnx optimize` on a folder of many pictures, by what --memory gives."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        model, data = make_model(place / "model.onnx", size), place / "data"
        make_pictures(data / "train", count, size, links)
        for part in ("val", "test"):
            make_pictures(data / part, min(count, 1000), size)
        number = count * links
        click.echo(f"{number:,} pictures of {size}×{size} take {3 * size * size * number / 2**30:.1f} GiB decoded.")
        click.echo("| pictures | --memory | peak MiB | CPU s | first line s |\n|---|---|---|---|---|")
        for limit in limits.split(","):
            options = ["--batch", str(batch), *([] if limit == "none" else ["--memory", limit])]
            cost = measure(optimization(model, data, place / "out.onnx", *options))
            click.echo(f"| {number:,} | {limit} | {cost.peak / 2**20:.0f} | {cost.cpu:.1f} | {cost.first:.1f} |")


def optimization(model: Path, data: Path, output: Path, *options: str) -> list[str]:
    """Return the command of a short search, with all the samples that a long one looks at, too."""
    what = ["--data", str(data), "--output", str(output), "--force", "--threads", "1", *options]
    search = ["--target-madds", "0.8", "--max-drop", "100", "--lookups", "12", "--finetune-epochs", "0.002"]
    return [sys.executable, "-m", "natonnx", "optimize", str(model), *what, *search]


if __name__ == "__main__":
    run_command(main)
