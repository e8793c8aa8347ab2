"""Whether the device computes what the CPU does."""

from collections import Counter
from typing import NamedTuple

import torch
from torch import Tensor

from natonnx.data.batches import ArrayBatches
from natonnx.errors import first_line
from natonnx.search.runner import tensor_batches
from tools.benchmarks.bench_supernet import CPU, models, stepper
from tools.conformance.onnx_cases import Case, all_cases, interpret

__all__ = ["HEADER", "Compared", "batches", "operators", "training_step"]

HEADER = ("what", "compared", "largest relative difference", "of")
_MOST = {torch.float16: 2e-2, torch.bfloat16: 5e-2}
"""Relative differences that are rounding, by type."""
_MOST_SINGLE, _MOST_TRAINED = 1e-4, 1e-2


class Compared(NamedTuple):
    """What a comparison found.

    Attributes:
        row: Of the table.
        passed: Whether all is but rounding.
        worst: What differs most, in words.
    """

    row: list[str]
    passed: bool
    worst: str


def operators(device: torch.device, most: int | None) -> Compared:
    """Run ONNX's own cases of each operator, or so many of each, on both.

    A difference is relative to the largest number of the case and to what its type may round off.
    """
    tried, failed, worst, of = Counter[str](), list[str](), 0.0, "–"
    for case in all_cases():
        if case.skipped is None and (most is None or tried[case.op_type] < most):
            tried[case.op_type] += 1
            try:
                found = max(map(_difference, _run(case, device), _run(case, CPU)), default=(0.0, False))
            except (RuntimeError, NotImplementedError) as error:
                failed.append(f"{case.name}: {first_line(error)}")
                continue
            difference, rounds = found
            worst, of = max((worst, of), (difference, case.name))
            failed += [] if rounds else [f"{case.name}: differs by {difference:.1e}"]
    row = ["operators", f"{tried.total()} cases of {len(tried)}", f"{worst:.1e}", of]
    return Compared(row, not failed, "; ".join(failed))


def _run(case: Case, device: torch.device) -> list[Tensor]:
    return [value.detach().resolve_conj().cpu() for value in interpret(case.model, case.inputs, device)]


def _difference(found: Tensor, expected: Tensor) -> tuple[float, bool]:
    """Return the largest difference, and whether it is rounding."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return float("inf"), False
    if not expected.is_floating_point() and not expected.is_complex():
        different = float((found != expected).any())
        return different, not different
    wide = torch.complex128 if expected.is_complex() else torch.float64
    given, wanted = found.to(wide), expected.to(wide)
    same = (given == wanted) | (given.isnan() & wanted.isnan())
    apart = torch.where(same, 0.0, (given - wanted).abs().double()).nan_to_num(torch.inf)
    scale = torch.where(wanted.isfinite(), wanted.abs().double(), 0.0).amax() if wanted.numel() else torch.ones(())
    largest = float(apart.amax() / scale.clamp(min=1e-30)) if apart.numel() else 0.0
    return largest, largest <= _MOST.get(expected.dtype, _MOST_SINGLE)


def batches(device: torch.device) -> Compared:
    """Read batches that are copied ahead while the device is busy with those before."""
    values = torch.randn(64, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    split = ArrayBatches({"x": values.numpy()}, {"x": 0}, torch.arange(64).numpy())
    busy, found = torch.ones(1024, 1024, device=device), list[Tensor]()
    for batch in tensor_batches(split, 8, device):
        busy = (busy @ busy).clamp(max=1.0)
        found.append(batch.inputs["x"] + 0 * busy[0, 0])
    different = int((torch.cat(found).cpu() != values).sum())
    row = ["batches copied ahead", f"{len(found)} batches", f"{float(different > 0):.1e}", "x"]
    return Compared(row, not different, f"batches that are copied ahead differ in {different} values")


def training_step(name: str, batch: int, device: torch.device) -> Compared:
    """Take one step of a network's supernet on both; differences are relative to the largest change of a weight."""
    before, here, there = _trained(name, batch, None), _trained(name, batch, CPU), _trained(name, batch, device)
    changed = max(float((here[key] - before[key]).abs().max()) for key in here)
    differences = {key: float((there[key] - here[key]).abs().max()) / changed for key in here}
    of, worst = max(differences.items(), key=lambda pair: pair[1])
    row = [f"{name}, {batch} samples", f"{len(here)} tensors", f"{worst:.1e}", of]
    told = f"a step of {name} changes {of} otherwise, by {worst:.1e} of the largest change"
    return Compared(row, worst <= _MOST_TRAINED, told)


def _trained(name: str, batch: int, device: torch.device | None) -> dict[str, Tensor]:
    """Return the weights after a step; before it where there is no device."""
    _, supernet, inputs = models(name, batch)
    if device is not None:
        named = {key: x.to(device) for key, x in zip(supernet.network.inputs, inputs, strict=True)}
        (output,) = supernet.network.outputs
        labels = torch.arange(batch, device=device) % 2
        supernet.to(device)
        stepper(supernet, lambda: supernet.run(named)[output], labels)()
    return {key: value.cpu().clone() for key, value in supernet.named_tensors().items()}
