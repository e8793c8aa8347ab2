"""Before the work: refuse weights, samples and outputs that are no numbers, as nothing learns from them."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import onnx
import torch

from natonnx.data.batches import Array, ArrayBatches, Batches, StreamBatches
from natonnx.data.duplicates import count_shared
from natonnx.data.indexed import IndexedBatches
from natonnx.data.items import spread
from natonnx.errors import InputError
from natonnx.frontend import Source
from natonnx.search import OwnObjective
from natonnx.search.finite import Origin, broken_samples, find_origin
from natonnx.search.objective import is_masked
from natonnx.search.own import WORST, name_of
from natonnx.search.runner import evaluation_batch, supernet_runner, tensor_batches
from natonnx.supernet import Supernet
from natonnx.tensors import read_tensor
from natonnx.verbs.objectives import refuse_unless
from natonnx.verbs.optimize.prepare import Prepared
from natonnx.verbs.optimize.rebuild import Original

__all__ = ["check_data", "check_outputs", "check_weights"]

_log = logging.getLogger(__name__)

_LOOKED_AT = 500
"""Training samples that the model is run on."""
_LOOKED_BYTES = 1 << 25
"""Of a part that is read by position, at most."""
_LOWEST = -1e30
"""What is lower, in one of several inputs, is a mask."""
_USUAL = 0.25
"""Quantile of the samples' sizes that is the usual one."""
_WILD, _HOPELESS = 1e3, 1e5
"""Times that: of a sample beyond the first is warned; the squares of one beyond the second outweigh all others."""
_SHARED, _MOST_SHARED = 0.01, 0.5
"""Shares of a part's samples that another part has too: of more than the first is warned, of the second refused."""


def check_weights(source: Source) -> None:
    """Refuse a model with weights that are NaN, or infinite but for a −∞ that masks a channel out.

    Raises:
        InputError: Naming the first.
    """
    network = source.network
    topology = network.architecture.topology
    names = {weight.name for edge in topology.edges if edge.operation for weight in edge.operation.weights}
    names.update(weight.name for fmap in topology.maps for weight in fmap.weights)
    for node in network.model.graph.node:
        names.update(node.input[1:5] if node.op_type == "BatchNormalization" else ())
    for name, tensor in _constants(network.model):
        if name not in names:
            continue
        value = read_tensor(tensor, network.folder)
        if value.dtype.kind not in "fV":
            continue
        value = value.astype(np.float32) if value.dtype.kind == "V" else value  # bfloat16
        bad = np.isnan(value) | (np.isinf(value) if np.sum(np.array(value.shape) > 1) > 1 else np.isposinf(value))
        if bad.any():
            kind = "NaN" if np.isnan(value[bad]).any() else "infinity"
            raise InputError(
                f"{source.path}: its weight {name!r} holds {kind} ({int(bad.sum()):,} of {value.size:,} values), which "
                "no training mends: export the model again from sound weights"
            )


def _constants(model: onnx.ModelProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    yield from ((tensor.name, tensor) for tensor in model.graph.initializer)
    for node in model.graph.node:
        if node.op_type == "Constant":
            yield from ((node.output[0], attribute.t) for attribute in node.attribute if attribute.name == "value")


def check_data(prepared: Prepared, *, force: bool) -> None:
    """Refuse training samples of which the model makes NaN, and samples of any part that outweigh all others.

    Those are a hundred thousand times the usual size, and so is what the model makes of them, and stand apart: the next
    smaller sample is a thousandth, as it is not in heavy-tailed data. Of less, and of +∞, is warned. Refuse validation
    that is training data, too.

    Args:
        prepared: The model and its data.
        force: Warn only.

    Raises:
        InputError: Naming the first, unless forced.
    """
    parts = prepared.parts
    given: dict[str, Batches] = {}
    looked: dict[str, ArrayBatches] = {}
    for name, part in (("training", parts.train), ("validation", parts.validation), ("test", parts.test)):
        if part is not None:
            given[name], looked[name] = part, _looked_at(part)
    sizes = {name: _sizes(samples) for name, samples in looked.items()}
    usual = min((float(np.quantile(each[each > 0], _USUAL)) for each in sizes.values() if each.any()), default=0.0)
    apart = _least_apart(np.concatenate([*sizes.values()]), usual)
    for name, samples in looked.items():
        _check_part(prepared, name, samples, sizes[name], (usual, apart), force=force)
    by_position = {name: part for name, part in given.items() if isinstance(part, IndexedBatches)}
    _check_shared(prepared.parts.name, {**looked, **by_position}, force=force)


def _looked_at(part: Batches) -> ArrayBatches:
    """Return samples in memory; of those that are not, some: evenly spread where they are read by position."""
    if isinstance(part, ArrayBatches):
        return part
    if isinstance(part, IndexedBatches):
        most = min(_LOOKED_AT, max(1, _LOOKED_BYTES // part.sample_bytes))
        return part.take(spread(part.samples, most)).in_memory()
    samples = part.sample(_LOOKED_AT)
    shuffles = isinstance(part, StreamBatches) and not part.is_ordered
    return replace(samples, positions=np.full(samples.samples, -1)) if shuffles else samples


def _least_apart(sizes: Array, usual: float) -> float:
    """Return the size from which on samples stand apart from all smaller ones; infinity where none does."""
    rising = np.sort(sizes[sizes >= usual])
    steps = np.flatnonzero(rising[1:] > _WILD * rising[:-1])
    return float(rising[steps[0] + 1]) if len(steps) else float("inf")


def _check_shared(where: str, parts: Mapping[str, Batches], *, force: bool) -> None:
    """Refuse validation that is training data, which tells nothing of other data; warn of less, and of the test's."""
    for name, others in (("validation", ("training",)), ("test", ("training", "validation"))):
        if name not in parts:
            continue
        shared, looked_at = count_shared(parts[name], [parts[other] for other in others])
        if shared > _SHARED * looked_at:
            told = f"{where}: {shared:,} of {looked_at:,} {name} samples are {' or '.join(others)} samples too"
            is_legal = name == "test" or shared < _MOST_SHARED * looked_at
            refuse_unless(force or is_legal, f"{told}, which cannot tell how others fare: give samples of their own")


def _check_part(
    prepared: Prepared, name: str, samples: ArrayBatches, sizes: Array, limits: tuple[float, float], *, force: bool
) -> None:
    usual, apart = limits
    wild = np.flatnonzero(sizes > _WILD * usual)[:_LOOKED_AT]
    masked = np.flatnonzero(_masked(samples))[:_LOOKED_AT]
    if name != "training" and not len(wild) and not len(masked):
        return
    spread = np.linspace(0, samples.samples - 1, min(samples.samples, _LOOKED_AT)).astype(np.int64)
    index = np.union1d(np.union1d(wild, masked), spread)
    chosen, is_wild, is_masked_out = samples.take(index), np.isin(index, wild), np.isin(index, masked)
    is_odd = is_wild | is_masked_out
    made, origin = _run(prepared, chosen)
    broken = ~np.isfinite(made)
    if broken.all():
        return  # the model's fault rather than theirs: `check_outputs`
    where = f"{prepared.parts.name}: {name}"
    if broken.any() and (name == "training" or is_odd[broken].any()):
        told = f"{where} {_told(broken, chosen, int(broken.argmax()))} the model give NaN or infinity"
        told += "" if origin is None else f" ({origin})"
        is_legal = bool(np.isposinf(made[broken]).all() and not is_odd[broken].any())
        refuse_unless(force or is_legal, f"{told}; remove or mend what is wrong in the data")
    ordinary = made[~is_wild & ~broken]
    ratio = made / max(float(np.median(ordinary)) if len(ordinary) else 0.0, 1e-30)
    outweighing = is_odd & ~broken & (ratio > _WILD)
    if outweighing.any():
        worst = int(np.where(outweighing, made, -1).argmax())
        least = max(_HOPELESS * usual, apart)
        is_hopeless = (outweighing & (ratio > _HOPELESS) & (is_masked_out | (sizes[index] >= least))).any()
        held = f"a value below {_LOWEST:g}" if is_masked_out[worst] else f"{sizes[index[worst]]:.4g}"
        refuse_unless(
            force or not bool(is_hopeless),
            f"{where} {_told(outweighing, chosen, worst)} the model give up to {made[worst]:.4g}: it holds "
            f"{held}, the usual sample up to {usual:.4g}, and outweighs all; mend or drop it",
        )


def _told(which: Array, samples: ArrayBatches, one: int) -> str:
    """Return which samples are meant: one by where it stood in the data, from 0 on, if that has an order."""
    assert samples.positions is not None
    position, others = samples.positions[one], int(which.sum()) - 1
    named = "sample" if position < 0 else f"sample {position:,} (the first is 0)"
    return f"{named} and {others:,} more make" if others else f"{named} makes"


def _sizes(samples: ArrayBatches) -> Array:
    """Return the largest magnitude that each sample has in inputs of floating-point numbers [n], without masks."""
    sizes = np.zeros(samples.samples)
    least = _LOWEST if len(samples.inputs) > 1 else -np.inf
    for name, axis in samples.axes.items():
        value = samples.inputs[name]
        if axis is not None and value.dtype.kind == "f":
            for i, row in enumerate(np.moveaxis(value, axis, 0)):
                sizes[i] = max(sizes[i], float(np.abs(row).max(initial=0.0, where=np.isfinite(row) & (row > least))))
    return sizes


def _masked(samples: ArrayBatches) -> Array:
    """Return which samples of several inputs hold what looks like a mask, or an infinity [n]."""
    found = np.zeros(samples.samples, bool)
    for name, axis in samples.axes.items():
        value = samples.inputs[name]
        if axis is not None and value.dtype.kind == "f" and len(samples.inputs) > 1:
            odd = (value <= _LOWEST) | np.isinf(value)
            found |= odd.any(tuple(i for i in range(value.ndim) if i != axis))
    return found


def _run(prepared: Prepared, samples: ArrayBatches) -> tuple[Array, Origin | None]:
    """Return the largest magnitude that the model makes of each sample, NaN or +∞ of those; and where they begin.

    What is judged is looked at, and what a BatchNormalization reads.
    """
    problem = prepared.problem
    network, judged = problem.network, {**problem.objective.captures, **problem.distillation.loss_captures}
    nodes = (node for node in network.model.graph.node if node.op_type == "BatchNormalization")
    supernet = Supernet(network).to(problem.device).eval()
    captures = {node.input[0]: 0 for node in nodes if node.input[0] not in supernet.plan(network.architecture).lacking}
    run = supernet_runner(supernet, network.architecture, {**captures, **judged})
    made: list[Array] = []
    origin: Origin | None = None
    for batch in tensor_batches(samples, evaluation_batch(samples), problem.device):
        outputs = run(batch.inputs, batch.size)
        broken = broken_samples(outputs, judged)
        if broken.any() and origin is None:
            origin = find_origin(prepared.source.network, batch.inputs, int(broken.nonzero()[0]))
        most = torch.zeros(batch.size, dtype=torch.float64, device=problem.device)
        for value in outputs.values():
            if value.is_floating_point() and len(value) == batch.size and value.numel():
                rows = value.reshape(batch.size, -1)
                usable = rows.isfinite() & ~is_masked(rows)
                most = torch.maximum(most, torch.where(usable, rows.abs(), 0.0).amax(1).double())
        nan = broken_samples(outputs, judged, infinite=False)
        made.append(torch.where(nan, torch.nan, torch.where(broken, torch.inf, most)).cpu().numpy())
    return np.concatenate(made), origin


def check_outputs(prepared: Prepared, original: Original, *, force: bool) -> None:
    """Refuse a model whose outputs on the validation data are no numbers, or the same for all samples.

    Args:
        prepared: The model and its data.
        original: The model's file, scored.
        force: Warn only, where outputs are the same.

    Raises:
        InputError: If none is a number, or some are not and the user's own objective would be asked about them; if all
            are the same, unless forced.
    """
    path, problem, score = prepared.source.path, prepared.problem, original.score
    if problem.reward is not None and score.value == WORST:
        raise InputError(f"{path}: gives NaN or infinity for what {name_of(problem.reward)} runs it on; mend that")
    count = score.nan if problem.objective.name == "agreement" else score.broken  # the same infinities agree
    if count:
        origin = _first_origin(prepared, original)
        told = f"{path}: gives NaN or infinity for {count:,} of {score.samples:,} validation samples"
        told += "" if origin is None else f" ({origin})"
        if count == score.samples or isinstance(problem.objective, OwnObjective):
            raise InputError(f"{told}; export a model whose outputs are numbers, or mend the samples")
        _log.warning("%s, which count as wrong", told)
    if score.says_nothing and problem.objective.name != "labels":
        refuse_unless(
            force,
            f"{path}: says the same of all {score.samples:,} validation samples, which cannot tell what a model loses; "
            "is the preprocessing (mean, std, scale, layout) the one that it was trained with? If its outputs are no "
            "classes, give an --objective of your own",
        )


def _first_origin(prepared: Prepared, original: Original) -> Origin | None:
    validation = prepared.parts.validation
    for batch in tensor_batches(validation, evaluation_batch(validation), torch.device("cpu")):
        outputs = original.run(batch.inputs, batch.size)
        broken = broken_samples(outputs, outputs)
        if broken.any():
            return find_origin(prepared.source.network, batch.inputs, int(broken.nonzero()[0]))
    return None
