"""Training graphs that a file carries for its weights: they go where they bind what an edit took out or cut."""

import logging
from collections.abc import Iterator, Mapping

import onnx

from natonnx.frontend.view import reads
from natonnx.notices import NOTICE

__all__ = ["drop_training"]

_log = logging.getLogger(__name__)


def drop_training(source: onnx.ModelProto, model: onnx.ModelProto) -> None:
    """Leave out each training graph of a rewritten model that does not fit it any more: what is left cannot train.

    Args:
        source: The model that it was made of.
        model: The rewritten model; changed in place.
    """
    if not model.training_info:
        return
    before, after = _tensors(source.graph), _tensors(model.graph)
    for i in reversed(range(len(model.training_info))):
        changed = sorted(n for n in _bound(model.training_info[i]) if n in before and before[n] != after.get(n))
        if changed:
            _log.log(NOTICE, "leaves out a training_info, which binds %r: an edit took it out or cut it", changed[0])
            del model.training_info[i]


def _tensors(graph: onnx.GraphProto) -> Mapping[str, tuple[int, ...]]:
    """The tensors of a graph by name, with the sizes of those that it holds."""
    made = [*(info.name for info in graph.input), *(name for node in graph.node for name in node.output)]
    return {**dict.fromkeys(made, ()), **{tensor.name: tuple(tensor.dims) for tensor in graph.initializer}}


def _bound(training: onnx.TrainingInfoProto) -> Iterator[str]:
    """Names of a model's tensors that a training graph sets or reads."""
    for binding in (*training.initialization_binding, *training.update_binding):
        yield binding.key
    for graph in (training.initialization, training.algorithm):
        own = {*_tensors(graph)}
        yield from (name for node in graph.node for name in reads(node) if name not in own)
