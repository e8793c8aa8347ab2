"""`diff`: what changed between two models, as NAT sees them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from natonnx.contract.diff import (
    DataRow,
    DiffPart,
    DiffReport,
    EdgeChange,
    EdgeChangeKind,
    InterfaceRow,
    ModelRow,
    Provenance,
)
from natonnx.contract.rows import cost_row
from natonnx.contract.schema import SCHEMA_VERSION
from natonnx.data import Data, LoadOptions
from natonnx.errors import InputError
from natonnx.frontend import ParseOptions, Source, load, read
from natonnx.frontend.load import true_inputs
from natonnx.frontend.view import GraphView
from natonnx.verbs.diff.alignment import align, align_parts, share_names
from natonnx.verbs.diff.digest import Digests, constants, digests, opsets
from natonnx.verbs.diff.edges import compare_edges
from natonnx.verbs.diff.history import origin
from natonnx.verbs.diff.interface import compare_metadata, describe, fields, labels, same_interface
from natonnx.verbs.diff.operators import compare_nodes, count_operators
from natonnx.verbs.diff.outputs import compare_outputs
from natonnx.verbs.diff.weights import Constants, compare_weights
from natonnx.verbs.model_comparison import Conditions, ModelComparison

if TYPE_CHECKING:
    from natonnx.verbs.judging import JudgedModels

__all__ = ["diff"]


def diff(
    before: Path | str,
    after: Path | str,
    *,
    reading: ParseOptions | None = None,
    seed: int = 0,
    data: Data | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    classes: Path | Mapping[str, int] | None = None,
    workers: int | None = None,
    cache: float | str | None = None,
    memory: float | str | None = None,
    tell: Callable[[str], None] = lambda _message: None,
) -> DiffReport:
    """Compare two models.

    What counts as different is `differs_in`: `interface` if they do not take and give tensors of the same names, types
    and fixed sizes; `graph` if some output is not made by the same operators, in the same versions, with the same
    attributes and the same whole numbers as constants; else `weights` if other constants that lead to an output are not
    bit-identical. Where it is empty, the two are proved to compute the same, by digests of all that leads to each
    output. Names within, the order of nodes, nodes and constants that no output depends on, metadata, IR version and
    the layout of external data do not count; names within control flow and functions do. A graph that is written in
    another way counts as different even if its outputs are equal.

    Args:
        before: An ONNX file.
        after: Another one.
        reading: How to parse both. `input_shapes` may name inputs of either; patterns of node names are those of the
            first model's, and change nothing here.
        seed: Of the random inputs, and of the division of data into parts.
        data: See `natonnx.data.Data`; no scores where None.
        preprocessing: Fields of `natonnx.data.Preprocessing` that override those of the models' metadata.
        classes: Which of the model's classes each class folder is; see `natonnx.optimize`.
        workers: Threads that decode pictures while the model runs, or processes that read a torch data set; 0 for none.
        cache: Most memory for samples: a share of what is free, such as 0.25, or bytes, such as "4GiB".
        memory: Most that the whole process takes, such as "1GiB": what samples, look-ups and refits hold is a part
            of it. No limit where None.
        tell: Told in a few words what is being done.

    Returns:
        The payload of `natonnx diff --json`.

    Raises:
        InputError: If a model cannot be read, an option fits neither, or the data is bad.
    """
    reading = reading or ParseOptions()
    tell("reading")
    one, other = _load(Path(before), Path(after), reading)
    answers = None
    if data is not None:
        from natonnx.verbs.judging import judge_models  # torch loads only where outputs are scored

        tell("scores")
        conditions = Conditions(input_shapes=_shapes(one, other), seed=seed)
        comparison = ModelComparison([one.path, other.path], conditions)
        judged = judge_models(
            comparison, data, preprocessing or {}, class_names=classes, loading=LoadOptions(workers, cache, memory)
        )
        if judged.input_shapes.keys() - reading.input_shapes.keys():  # what the files leave open is as the data has it
            shapes = {**judged.input_shapes, **reading.input_shapes}
            one, other = _load(Path(before), Path(after), replace(reading, input_shapes=shapes))
        answers = _data_row(judged)
    tell("comparing")
    models = one.network.model, other.network.model
    interfaces = [describe(model) for model in models]
    found = _digest(one, models[1]), _digest(other, models[0])
    outputs = _paired(*([info.name for info in model.graph.output] for model in models))
    rename: dict[str, str] = {}
    if _agree(found[0].shape, found[1].shape, outputs):
        rename = align(*models, outputs, (found[0].shape, found[1].shape))
    parts = align_parts(*models, (found[0].shape, found[1].shape))
    related = bool(rename) or share_names(one.network, other.network, parts)
    if not related:
        rename = parts
    nodes = _nodes(one, {})
    edges = compare_edges(one.network, other.network, rename, related=related)
    noted = _provenance(one, other, edges["changes"], found)
    return {
        "schema": SCHEMA_VERSION,
        "before": _describe(one, interfaces[0]),
        "after": _describe(other, interfaces[1]),
        "differs_in": _differs_in(interfaces, found, outputs),
        "fields": fields(*interfaces),
        "metadata": compare_metadata(*models),
        "provenance": noted,
        "operators": count_operators(*models),
        "nodes": compare_nodes(nodes, _nodes(other, _node_names(nodes, rename)), *map(opsets, models)),
        "edges": edges,
        "weights": compare_weights(_held(one, found[0]), _held(other, found[1]), rename),
        "outputs": compare_outputs(one, other, reading.input_shapes, seed),
        "data": answers,
    }


def _load(before: Path, after: Path, reading: ParseOptions) -> tuple[Source, Source]:
    """Read both models, each by the input sizes that are its own.

    Raises:
        InputError: See `natonnx.load`; also if an input size is for neither.
    """
    if not reading.input_shapes:
        shapes: list[dict[str, Any]] = [{}, {}]
    else:
        names = [{info.name for info in true_inputs(read(path))} for path in (before, after)]
        for name in reading.input_shapes:
            if name not in names[0] | names[1]:
                known = ", ".join(sorted(names[0] | names[1]))
                raise InputError(f"--input-shape: no input {name!r} in either model; their inputs are {known}")
        shapes = [{name: s for name, s in reading.input_shapes.items() if name in own} for own in names]
    plain = replace(reading, include=(), exclude=(), freeze_outputs_of=())
    return load(before, replace(reading, input_shapes=shapes[0])), load(after, replace(plain, input_shapes=shapes[1]))


def _digest(source: Source, other: onnx.ModelProto) -> Digests:
    network = source.network
    names = [info.name for info in true_inputs(other)]
    return digests(network.model, network.folder, labels(network.inputs, names))


def _paired(old: list[str], new: list[str]) -> list[tuple[str, str]]:
    """Return outputs that belong together: of the same name, or position; nothing where the numbers differ."""
    told = [{label: name for name, label in labels(own, rest).items()} for own, rest in ((old, new), (new, old))]
    return [(name, told[1][label]) for label, name in told[0].items()] if len(old) == len(new) else []


def _agree(old: Mapping[str, bytes], new: Mapping[str, bytes], pairs: list[tuple[str, str]]) -> bool:
    return bool(pairs) and all(old.get(one, one) == new.get(other, other) for one, other in pairs)


def _differs_in(
    interfaces: list[InterfaceRow], found: tuple[Digests, Digests], outputs: list[tuple[str, str]]
) -> list[DiffPart]:
    parts: list[DiffPart] = [] if same_interface(*interfaces) else ["interface"]
    if not _agree(found[0].graph, found[1].graph, outputs):
        return [*parts, "graph"]
    return parts if _agree(found[0].content, found[1].content, outputs) else [*parts, "weights"]


def _describe(source: Source, interface: InterfaceRow) -> ModelRow:
    return {
        "path": str(source.path),
        "sha256": source.sha256,
        "size_bytes": source.size_bytes,
        **cost_row(source.network.architecture),
        **interface,
    }


def _provenance(
    one: Source, other: Source, changes: list[EdgeChange], found: tuple[Digests, Digests]
) -> Provenance | None:
    """Return what natonnx noted in the second model, or in the first one where it was made from the second."""
    noted = origin(one, other, changes, found[1].graph)
    if noted is None or not noted["is_source"]:
        back = origin(other, one, list(map(_reversed, changes)), found[0].graph)
        if back is not None and (noted is None or back["is_source"]):
            return {"of": "before", **back}
    return None if noted is None else {"of": "after", **noted}


def _reversed(change: EdgeChange) -> EdgeChange:
    """Return a change of an edge as it looks from the other side."""
    other: dict[EdgeChangeKind, EdgeChangeKind] = {"added": "removed", "removed": "added"}
    what = other.get(change["change"], change["change"])
    return {**change, "change": what, "from": change["to"], "to": change["from"]}


def _nodes(source: Source, names: Mapping[str, str]) -> dict[str, onnx.NodeProto]:
    """Return nodes by name.

    Args:
        source: The model.
        names: Other names than their own, by their first output; own names that are among them get a mark.
    """
    view = GraphView(source.network.model, {}, {})
    given = frozenset(names.values())
    found = {}
    for i, node in enumerate(source.network.model.graph.node):
        first, own = next(filter(None, node.output), ""), view.name(i)
        if first:
            found[names.get(first) or (f"{own}#2" if own in given else own)] = node
    return found


def _node_names(nodes: Mapping[str, onnx.NodeProto], rename: Mapping[str, str]) -> dict[str, str]:
    """Return names of one model's nodes by what the first outputs are called in another model of the same graph."""
    makers = {output: name for name, node in nodes.items() for output in node.output}
    return {new: makers[old] for new, old in rename.items() if old in makers}


def _held(source: Source, found: Digests) -> Constants:
    return Constants(constants(source.network.model), found.constants, source.network.folder)


def _shapes(*sources: Source) -> dict[str, Sequence[int]]:
    """Return sizes that were given for inputs of any model."""
    return {name: sizes for source in sources for name, sizes in source.network.options.input_shapes.items()}


def _data_row(judged: "JudgedModels") -> DataRow:
    """Return both models' scores on data, and how far they agree."""
    found = judged.splits[judged.split]
    return {
        "name": judged.name,
        "split": judged.split,
        "samples": found.samples,
        "objective": judged.objective,
        "score": [score.value for score in found.scores],
        "agreement": found.agreement[1].value,
        "outputs": [
            {"name": figure.name, "measure": figure.measure, "agreement": value}
            for figure, value in zip(judged.figures, found.agreement[1].figures, strict=True)
        ],
    }
