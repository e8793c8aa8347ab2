"""Names of one model's tensors in another one that has the same graph."""

from collections.abc import Iterable, Mapping

import onnx

from natonnx.frontend.view import reads

__all__ = ["align"]

_Maker = tuple[onnx.NodeProto, int]


def align(
    before: onnx.ModelProto,
    after: onnx.ModelProto,
    outputs: Iterable[tuple[str, str]],
    digests: tuple[Mapping[str, bytes], Mapping[str, bytes]],
) -> dict[str, str]:
    """Walk two graphs from their outputs up in step, and pair the tensors that are met together.

    Args:
        before: One model.
        after: The other.
        outputs: Names of outputs that are to be the same.
        digests: Of the tensors of each.

    Returns:
        The name in `before` of each tensor of `after` that some output depends on; nothing where the graphs are not the
        same node for node.
    """
    makers = _makers(before), _makers(after)
    forth: dict[str, str] = {}
    back: dict[str, str] = {}
    pending = list(outputs)
    while pending:
        old, new = pending.pop()
        if back.get(new) == old:
            continue
        if old in forth or new in back or digests[0].get(old) != digests[1].get(new):
            return {}
        forth[old], back[new] = new, old
        if old in makers[0] and new in makers[1]:
            (one, place), (other, at) = makers[0][old], makers[1][new]
            if place != at:
                return {}
            pending.extend(zip(reads(one), reads(other), strict=True))
    return back


def _makers(model: onnx.ModelProto) -> dict[str, _Maker]:
    return {name: (node, i) for node in model.graph.node for i, name in enumerate(node.output) if name}
