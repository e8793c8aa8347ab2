"""What natonnx must do on a model: parse it, run it in the supernet, and write random legal α's that equal it."""

import json
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from natonnx.architecture import Architecture, Edit, cost, edits_between, legal_transitions
from natonnx.frontend import Network, ParseOptions, load, parse_with
from natonnx.rewrite.compare import Comparison
from natonnx.rewrite.trial import TOLERANCE, Reference, relative_difference
from natonnx.session import run, session
from natonnx.supernet import Supernet
from natonnx.verbs.apply import apply
from tools.conformance.wild.alphas import random_alpha

__all__ = ["BATCHES", "RATES", "Failure", "Result", "check"]

BATCHES = (1, 2)
RATES = (0.0, 0.05, 0.15, 0.4)
"""Shares of the changeable edges that α's change, in turn; 0 changes one edge."""

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Failure:
    """One α that failed, as `natonnx apply` replays it; no edits where β itself failed."""

    alpha: int | None
    message: str
    edits: tuple[Edit, ...] = ()

    def edits_json(self) -> str:
        """The edits as `natonnx apply` reads them."""
        return json.dumps([{"edge": e, "from": before, "to": after} for e, before, after in self.edits])


@dataclass
class Result:
    """What the check of one model found; numbers that were not reached are None."""

    name: str
    opset: int | None = None
    edges: int | None = None
    candidates: int | None = None
    legal: int | None = None
    opaque: int | None = None
    params: int | None = None
    madds: int | None = None
    reach: float | None = None
    beta: float | None = None
    alphas: int = 0
    worst: float | None = None
    noisy: int = 0
    batches: tuple[int, ...] = ()
    seconds: float = 0.0
    skipped: str = ""
    edits: list[int] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def check(
    name: str,
    path: Path,
    reading: ParseOptions | None = None,
    *,
    alphas: int = 100,
    seed: int = 0,
    threads: int = 1,
    floor: float = 0.0,
) -> Result:
    """Check a model file; everything that goes wrong becomes a `Failure` of the result.

    Args:
        name: Enters the seeds and the result.
        path: The model.
        reading: See `natonnx.load`.
        alphas: Random legal α's to write.
        seed: Of the α's.
        threads: Of torch and onnxruntime.
        floor: Differences are relative to the largest output, or to this where that is smaller.
    """
    import torch

    torch.set_num_threads(threads)
    started, result = time.monotonic(), Result(name)
    try:
        network = load(path, reading).network
        _describe(network, result)
        supernet = Supernet(network)
        samples = list(_samples(network))
        result.batches = tuple(len(next(iter(sample.values()))) for sample in samples)
        result.beta = _difference(network.model, supernet, network.architecture, samples, threads, floor)
        if not result.beta <= TOLERANCE:
            result.failures.append(Failure(None, f"β differs by {result.beta:.1e}"))
        for i in range(alphas):
            generator = random.Random(f"{seed}/{name}/{i}")  # noqa: S311 - not for secrets
            alpha = random_alpha(network.architecture, generator, RATES[i % len(RATES)])
            edits = edits_between(network.architecture, alpha)
            result.alphas += 1
            result.edits.append(len(edits))
            try:
                _check_alpha(path, supernet, alpha, edits, samples, threads, floor, result)
            except Exception as error:  # whatever it is, it is what we look for
                result.failures.append(Failure(i, _say(error), edits))
    except Exception as error:
        result.failures.append(Failure(None, _say(error)))
    result.seconds = time.monotonic() - started
    return result


def _say(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _describe(network: Network, result: Result) -> None:
    """Edges, legal transitions, and the share of the multiply-adds that a transition can reach."""
    architecture = network.architecture
    verdicts = legal_transitions(architecture)
    rows = list(zip(architecture.topology.edges, architecture.states, verdicts, strict=True))
    reached = sum(edge.operation.madds or 0 for edge, _, verdict in rows if edge.operation and None in verdict.values())
    result.params, result.madds = cost(architecture)
    result.opset = next(entry.version for entry in network.model.opset_import if entry.domain in ("", "ai.onnx"))
    result.edges = sum(state != "N" for _, state, _ in rows)
    result.candidates = len(rows) - result.edges
    result.legal = sum(reason is None for verdict in verdicts for reason in verdict.values())
    result.opaque = len(network.opaque)
    result.reach = reached / result.madds if result.madds else None


def _check_alpha(
    path: Path,
    supernet: Supernet,
    alpha: Architecture,
    edits: Sequence[Edit],
    samples: Sequence[Arrays],
    threads: int,
    floor: float,
    result: Result,
) -> None:
    """Write an α and judge the file; raises what the writing raises, and AssertionError for a wrong file."""
    network = supernet.network
    with tempfile.TemporaryDirectory() as folder:
        output, _ = apply(path, edits, Path(folder) / "alpha.onnx", reading=network.options)
        model = onnx.load(output)

    def rounded(seed: int) -> Reference:
        return supernet.rounded(seed).as_reference(alpha)

    difference = _difference(model, supernet, alpha, samples, threads, floor)
    if difference > TOLERANCE:
        verdict = Comparison(network, model, supernet.as_reference(alpha), rounded).run(samples)
        assert verdict.passed, verdict.detail
        result.noisy += 1
    else:
        result.worst = max(difference, result.worst or 0.0)
    expected = cost(alpha)
    found = cost(parse_with(model, network.options).architecture)
    assert not expected.exceeds(cost(network.architecture)), f"costs more than β: {expected}"
    assert found == expected, f"the file costs {found}, α {expected}"


def _difference(
    model: onnx.ModelProto,
    supernet: Supernet,
    architecture: Architecture,
    samples: Sequence[Arrays],
    threads: int,
    floor: float,
) -> float:
    """Largest difference between onnxruntime and the supernet, relative to the largest output."""
    reference, runtime = supernet.as_reference(architecture), session(model, threads)
    worst = 0.0
    for sample in samples:
        expected, found = reference(sample), run(runtime, sample)
        for name, value in expected.items():
            worst = max(worst, _difference_above(floor, found[name], value))
    return worst


def _difference_above(floor: float, value: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, relative to the largest expected magnitude, or to the floor where that is smaller."""
    difference = relative_difference(value, expected)
    largest = float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0))
    return difference if largest >= floor else difference * (largest or 1.0) / floor


def _samples(network: Network) -> Iterator[Arrays]:
    """Random inputs at each of `BATCHES`, at one where the batch is fixed; integers are zeros and ones."""
    generator = np.random.default_rng(1)
    infos = {info.name: info for info in network.model.graph.input}
    fixed = any(isinstance(network.shapes[name][0], int) for name in network.inputs)
    for batch in BATCHES[:1] if fixed else BATCHES:
        sample: Arrays = {}
        for name in network.inputs:
            shape = [network.shapes[name][0] if fixed else batch, *network.shapes[name][1:]]
            sizes = [int(size) for size in shape if isinstance(size, int)]
            assert len(sizes) == len(shape), f"input {name!r} has open sizes {shape}"
            dtype = onnx.helper.tensor_dtype_to_np_dtype(infos[name].type.tensor_type.elem_type)
            floating = np.issubdtype(dtype, np.floating)
            values: Any = generator.standard_normal(sizes) if floating else generator.integers(0, 2, sizes)
            sample[name] = np.asarray(values, dtype)
        yield sample
