"""What `natonnx.to_torch` converts, beside onnx2torch: ONNX's official cases, and models that nobody here wrote.

`python -m tools.conformance.to_torch --other PYTHON` prints a table; PYTHON is an interpreter that has onnx2torch. A
case counts where a module gives the case's outputs, another model where it gives onnxruntime's; "trainable" is the
share of the files' fractions that are parameters, of models that are not converted none.
"""

from __future__ import annotations

import logging
import subprocess
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import onnx
import torch

from natonnx.errors import InputError
from natonnx.frontend import load, parse
from natonnx.module import convert
from natonnx.rewrite.outputs import sample_inputs
from natonnx.session import run, session
from natonnx.supernet.ops.operands import as_tensor
from tools.command import run_command
from tools.conformance.onnx_cases import Case, all_cases, as_array
from tools.conformance.wild.catalog import catalog
from tools.conformance.wild.ocr import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from natonnx.module import OnnxModule

_BFLOAT16_RTOL = 2**-6
_TOLERANCE = 1e-4
_WORKER = Path(__file__).with_name("onnx2torch_worker.py")
_MODELS = "light/,torch/vgg/,torch/mobilenetv2/,torch/darts/,torch/vit/,torch/bert/,torch/lstm/,ocr/"


@dataclass(frozen=True)
class Outcome:
    """What came of a model: whether its outputs are right, and how many parameters it has."""

    right: bool = False
    parameters: int = 0


def module_of(case: Case) -> OnnxModule:
    """Convert the model of a case."""
    module = convert(parse(case.model))
    module.eval()
    return module


def problem(case: Case) -> str | None:
    """Run a case by `to_torch`; return what is wrong, in one line, or None."""
    try:
        module = module_of(case)
        pairs = zip(case.model.graph.input, case.inputs, strict=False)
        given = {info.name: as_tensor(np.array(array)) for info, array in pairs if info.name in module.input_names}
        with torch.no_grad():
            made = module(**given)
        compare(case, made if isinstance(made, tuple) else (made,))
    except Exception as error:  # a case may fail in any way, and the report names it
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return None


def compare(case: Case, made: Sequence[Any]) -> None:
    """Compare outputs with those of a case.

    Raises:
        AssertionError: If they differ.
    """
    for result, expected in zip(made, case.outputs, strict=True):
        assert str(result.dtype).removeprefix("torch.") == expected.dtype.name, f"{result.dtype}"
        short = expected.dtype.name == "bfloat16"
        wide = expected.astype(np.float32) if short else expected
        rtol = max(case.rtol, _BFLOAT16_RTOL) if short else case.rtol
        np.testing.assert_allclose(as_array(result), wide, rtol=rtol, atol=case.atol, strict=True)


def models(chosen: Sequence[str], cache: Path) -> Iterator[Case]:
    """Models of the catalog of `tools.conformance.wild`, with what onnxruntime makes of noise."""
    for name, wild in catalog().items():
        if not name.startswith(tuple(chosen)):
            continue
        try:
            network = load(wild.fetch(cache), wild.reading).network
        except (InputError, UnavailableError):
            continue
        (given, *_) = sample_inputs(network, (2,))
        made = run(session(network.model, folder=network.folder), given)
        yield Case(
            name, network.model, list(given.values()), [made[name] for name in network.outputs], 1e-3, _TOLERANCE
        )


def others(cases: Sequence[Case], python: str) -> list[Outcome]:
    """Run cases by onnx2torch."""
    found: list[Outcome] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i, case in enumerate(cases):
            try:
                onnx.save(case.model, folder / f"{i:05}.onnx")
                torch.save([as_tensor(np.array(array)) for array in case.inputs], folder / f"{i:05}.pt")
            except (TypeError, ValueError):
                (folder / f"{i:05}.onnx").unlink(missing_ok=True)
        done = subprocess.run([python, "-W", "ignore", str(_WORKER), name], capture_output=True, text=True, check=False)
        if done.returncode:
            raise click.ClickException(f"{python} cannot run onnx2torch: {done.stderr.strip().splitlines()[-1]}")
        for i, case in enumerate(cases):
            path = folder / f"{i:05}.out.pt"
            if not path.exists():
                found.append(Outcome())
                continue
            parameters, made = torch.load(path, weights_only=True)
            found.append(Outcome(_is_right(case, made), parameters))
    return found


def ours(case: Case) -> Outcome:
    """Run a case by `to_torch`."""
    if problem(case):
        return Outcome()
    return Outcome(right=True, parameters=sum(parameter.numel() for parameter in module_of(case).parameters()))


def _is_right(case: Case, made: Sequence[Any]) -> bool:
    try:
        compare(case, made)
    except (AssertionError, AttributeError, ValueError):
        return False
    return True


def _fractions(model: onnx.ModelProto) -> int:
    """How many fractions a file holds."""
    tensors = [*model.graph.initializer, *(a.t for n in model.graph.node for a in n.attribute if a.HasField("t"))]
    return sum(int(np.prod(tensor.dims)) for tensor in tensors if tensor.data_type == onnx.TensorProto.FLOAT)


def _rows(cases: Sequence[Case], other: str | None) -> tuple[list[Outcome], list[Outcome]]:
    own = [ours(case) for case in cases]
    return own, others(cases, other) if other else [Outcome()] * len(cases)


@click.command()
@click.option("--other", metavar="PYTHON", help="An interpreter that has onnx2torch; without it the column is empty.")
@click.option("--cases", default=0, metavar="N", help="Every N-th official case only; 0 for none.", show_default=True)
@click.option("--models", "chosen", default=_MODELS, help="Beginnings of names of the catalog, with commas between.")
@click.option("--cache", type=click.Path(path_type=Path), default=Path(tempfile.gettempdir()) / "natonnx-wild")
def main(other: str | None, cases: int, chosen: str, cache: Path) -> None:
    """Print what to_torch and onnx2torch convert, and how much of it can be trained."""
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    click.get_current_context().call_on_close(lambda: logging.disable(logging.NOTSET))
    warnings.simplefilter("ignore")
    print("| models | of | to_torch | onnx2torch | trainable, to_torch | onnx2torch |\n|---|---|---|---|---|---|")
    if cases:
        _print("official cases", [case for case in all_cases() if case.skipped is None][::cases], other, trained=False)
    groups: dict[str, list[Case]] = {}
    for case in models([name for name in chosen.split(",") if name], cache):
        family = case.name.rsplit("-", 1)[0] if case.name.startswith("torch/") else case.name.split("/")[0]
        groups.setdefault(family.removesuffix("-18").removesuffix("-17"), []).append(case)
    for family, group in groups.items():
        _print(family, group, other, trained=True)


def _print(name: str, cases: Sequence[Case], other: str | None, *, trained: bool) -> None:
    found = _rows(cases, other)
    counts = [sum(outcome.right for outcome in outcomes) for outcomes in found]
    whole = sum(_fractions(case.model) for case in cases)
    shares = [sum(one.parameters for one in outcomes if one.right) / max(1, whole) for outcomes in found]
    cells = [str(counts[0]), str(counts[1]) if other else "–"]
    cells += [f"{shares[0]:.0%}", f"{shares[1]:.0%}" if other else "–"] if trained else ["–", "–"]
    print(f"| {name} | {len(cases)} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    run_command(main)
