"""CPU seconds and peak memory of `natonnx inspect` and a one-edit `natonnx apply`, beside other tools of ONNX files.

Command: `python -m tools.benchmarks.bench_static`. Each runs in a process of its own, on one processor, in turn with
the others; a round before the first warms the disk's cache and does not count. The floor is what anything that reads,
checks and writes an ONNX file by the onnx package takes: load, full check, shape inference, save.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from tools.benchmarks.bench_static.measure import Cost, interleaved, one_cpu, spread
from tools.command import run_command

_NETWORKS = ("resnet50", "mobilenetv2", "densenet121", "vit-tiny", "generated-7000")

_PEERS = ("onnxslim", "onnxsim", "onnxoptimizer")

_EDITED = "edited.onnx"

_FLOOR = """
import sys, onnx
model = onnx.load(sys.argv[1])
onnx.checker.check_model(model, full_check=True)
onnx.save(onnx.shape_inference.infer_shapes(model), sys.argv[2])
"""


@click.command()
@click.option(
    "--models", default=",".join(_NETWORKS), show_default=True, help="Networks or files, with commas between."
)
@click.option("--folder", default="~/.cache/natonnx-static", show_default=True, help="Where the networks are made.")
@click.option("--peers-python", default=sys.executable, help="The Python that has the other tools.  [default: this]")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1))
@click.option("--limit", default=60, show_default=True, help="CPU seconds after which a tool is ended.")
def main(models: str, folder: str, peers_python: str, rounds: int, limit: int) -> None:
    """Print medians over the rounds, with the lowest and the highest; ratios are taken round by round."""
    one_cpu()
    peers = [name for name in _PEERS if _is_installed(name, peers_python)]
    print(f"CPU s / peak MiB; medians of {rounds} rounds, lowest and highest in brackets\n")
    names = ["floor", "inspect", "apply", *peers]
    ratios = ["inspect / floor", *(f"apply / {peer}" for peer in peers)]
    _row(["model", *names, *ratios])
    _row(["---"] * (1 + len(names) + len(ratios)))
    for name in models.split(","):
        path = _file(name, Path(folder).expanduser())
        with tempfile.TemporaryDirectory() as made:
            commands = _commands(path, Path(made), peers, peers_python)
            edited = Path(made) / _EDITED
            found = interleaved(
                commands,
                rounds,
                limit,
                lambda line: click.echo(line, err=True),
                lambda edited=edited: edited.unlink(missing_ok=True),  # type: ignore[misc]
            )
        cells = [_cell(found[tool]) for tool in names]
        cells += [_ratio(found, *ratio.split(" / ")) for ratio in ratios]
        _row([path.stem if name in _NETWORKS else path.as_posix(), *cells])


def _is_installed(name: str, python: str) -> bool:
    """Whether a Python has a tool; says on stderr how to install it where it has not."""
    asked = [python, "-c", f"import importlib.metadata; importlib.metadata.version({name!r})"]
    if subprocess.run(asked, capture_output=True, check=False).returncode == 0:
        return True
    click.echo(f"{name}: left out, it is not installed; {python} -m pip install {name}", err=True)
    return False


def _file(name: str, folder: Path) -> Path:
    """A network's file, made where there is none yet; any other name is a file's own."""
    if name not in _NETWORKS:
        return Path(name)
    path = folder / f"{name}.onnx"
    if not path.exists():
        subprocess.run(  # in a process of its own: it loads torch
            [sys.executable, "-m", "tools.benchmarks.bench_static.networks", name, str(path)], check=True
        )
    return path


def _commands(path: Path, folder: Path, peers: Sequence[str], python: str) -> dict[str, list[str]]:
    """What is run on a file, by name of the tool."""
    edits = folder / "edits.json"
    edits.write_text(json.dumps([_edit(path)]))
    out, natonnx = str(folder / "out.onnx"), [sys.executable, "-m", "natonnx"]
    return {
        "floor": [sys.executable, "-c", _FLOOR, str(path), out],
        "inspect": [*natonnx, "inspect", str(path), "--json"],
        "apply": [*natonnx, "apply", str(path), str(edits), "-o", str(folder / _EDITED)],
        **{name: [python, "-m", name, str(path), out] for name in peers},
    }


def _edit(path: Path) -> dict[str, str]:
    """The first legal edit of the operation in the middle of those that have one.

    Raises:
        click.UsageError: If the model has none.
    """
    asked = [sys.executable, "-m", "natonnx", "inspect", str(path), "--json"]
    payload = json.loads(subprocess.run(asked, capture_output=True, check=True).stdout)
    edges = [edge for edge in payload["edges"] if edge["state"] == "O" and edge["legal"]]
    if not edges:
        raise click.UsageError(f"{path}: no operation of it may be edited")
    edge = edges[len(edges) // 2]
    return {"edge": edge["name"], "from": "O", "to": edge["legal"][0]}


def _cell(costs: list[Cost] | str) -> str:
    if isinstance(costs, str):
        return costs if costs.startswith("more than") else "failed"
    return f"{spread([cost.seconds for cost in costs])} / {spread([cost.mebibytes for cost in costs], 0).split()[0]}"


def _ratio(found: Mapping[str, list[Cost] | str], one: str, other: str) -> str:
    """The ratio of two tools' CPU seconds, round by round."""
    ours, theirs = found[one], found[other]
    if isinstance(ours, str) or isinstance(theirs, str):
        return "–"
    return spread([a.seconds / b.seconds for a, b in zip(ours, theirs, strict=True)])


def _row(cells: Sequence[str]) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    run_command(main)
