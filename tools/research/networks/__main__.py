"""The networks of the NAT paper's tables as ONNX files: `python -m tools.research.networks list` and `export NAME`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tools.command import run_command

if TYPE_CHECKING:
    from torch import nn

    from tools.research.networks.catalog import Variant

_VARIANTS = ("cifar", "imagenet")
_OPSETS = (13, 20)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """List, build and export the networks of the NAT paper's tables."""


@cli.command("list")
def list_command() -> None:
    """Print every architecture of the paper's tables, and why some cannot be built."""
    from tools.research.networks.catalog import CATALOG

    for architecture in CATALOG.values():
        state = f"not built: {architecture.reason}" if architecture.reason else ", ".join(architecture.variants)
        print(f"{architecture.name:18} {state}")


@cli.command("export")
@click.argument("name")
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The ONNX file.")
@click.option("--variant", type=click.Choice(_VARIANTS), help="Data that it is for.  [default: the paper's first]")
@click.option("--weights", default="random", show_default=True, help="'random', or a state_dict: .safetensors or .pt.")
@click.option("--opset", default=17, show_default=True, type=click.IntRange(*_OPSETS))
@click.option("--keep-bn", is_flag=True, help="Keep BatchNormalization nodes, which are folded otherwise.")
@click.option("--channels", type=click.IntRange(2), help="Width of a network of cells, in place of the paper's.")
@click.option("--cells", type=click.IntRange(1), help="Depth of a network of cells, likewise.")
@click.option("--free-skips", is_flag=True, help="Skips at stride 2 without parameters, in place of FactorizedReduce.")
@click.option("--size", type=click.IntRange(1), help="Of the images, for networks of cells.  [default: 32 or 224]")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of random weights.")
def export_command(
    name: str,
    output: Path,
    variant: "Variant | None",
    weights: str,
    opset: int,
    keep_bn: bool,
    channels: int | None,
    cells: int | None,
    free_skips: bool,
    size: int | None,
    seed: int,
) -> None:
    """Export the architecture NAME; its input is x0, its output y, and the batch is free."""
    import torch

    from natonnx.files import check_writable
    from tools.research.networks.building import Options, build, example, find
    from tools.upkeep.export import export, save
    from tools.upkeep.randomise import randomise

    check_writable(output)
    architecture, chosen = find(name, variant)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model = build(architecture, chosen, Options(channels, cells, free_skips))
        image = example(architecture, chosen, 2, size)
        if weights == "random":
            randomise(model, (image,))
        else:
            _load(model, Path(weights))
    save(export(model, (image,), "script", opset, keep_norm=keep_bn, keep_equal=True), output)
    print(f"{output}: {architecture.name}, {chosen}, weights {weights}", file=sys.stderr)


@cli.command("edits")
@click.argument("name")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--variant", type=click.Choice(_VARIANTS), help="What MODEL is for.  [default: the paper's first]")
@click.option("--cells", type=click.IntRange(1), help="Depth of MODEL, in place of the paper's.")
def edits_command(name: str, model: Path, variant: "Variant | None", cells: int | None) -> None:
    """Print the edits that make the architecture NAME of MODEL, an export of what it was made from.

    Give them to `natonnx apply`, with --granularity branch for networks of cells and --window 6 for others. Cells must
    be exported with --free-skips. A link that became another operation, and no skip or null, stays as it is.
    """
    import json

    from natonnx.contract.edits import edit_rows
    from tools.research.networks.transformed import edits_of

    print(json.dumps(edit_rows(edits_of(name, model, variant, cells)), indent=1))


def _load(model: "nn.Module", path: Path) -> None:
    """Give a model the weights of a file.

    Raises:
        InputError: If the file cannot be read, or its names or shapes are others.
    """
    import torch
    from safetensors.torch import load_file

    from natonnx.errors import InputError, first_line

    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or first_line(error)})") from None
    except Exception:  # torch.load raises whatever unpickling happens to raise
        raise InputError(f"{path}: no state_dict; give a .safetensors, or a file that torch.save wrote") from None
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        names = " ".join(str(error).split())
        raise InputError(f"{path}: not the weights of this network ({names[:200]})") from None


if __name__ == "__main__":
    run_command(cli)
