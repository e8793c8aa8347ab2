"""Names of one model's tensors in another one, where the graphs say which is which and the names do not."""

from collections import Counter
from collections.abc import Iterable, Mapping

import onnx

from natonnx.frontend import Network
from natonnx.frontend.view import GraphView, reads

__all__ = ["align", "align_parts", "share_names"]

_Digests = Mapping[str, bytes]


def align(
    before: onnx.ModelProto,
    after: onnx.ModelProto,
    outputs: Iterable[tuple[str, str]],
    digests: tuple[_Digests, _Digests],
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
    walk = _Walk(before, after, digests)
    return walk.names if all(walk.pair(old, new) for old, new in outputs) else {}


def align_parts(before: onnx.ModelProto, after: onnx.ModelProto, digests: tuple[_Digests, _Digests]) -> dict[str, str]:
    """Pair the tensors of parts that two graphs have in common, from the inputs on.

    A tensor is paired with one of the same digest, if each graph has only that one, and so is all that leads to it.

    Args:
        before: One model.
        after: The other.
        digests: Of the tensors of each.

    Returns:
        The name in `before` of each tensor of `after` that is paired.
    """
    walk = _Walk(before, after, digests)
    made = [[name for node in model.graph.node for name in node.output if name in found] for model, found in walk.sides]
    counts = [Counter(found[name] for name in names) for names, (_, found) in zip(made, walk.sides, strict=True)]
    only = {digests[1][name]: name for name in made[1] if counts[1][digests[1][name]] == 1}
    for name in made[0]:
        digest = digests[0][name]
        if counts[0][digest] == 1 and digest in only:
            walk.pair(name, only[digest])
    return walk.names


class _Walk:
    """Pairs of tensors, one to one.

    Attributes:
        names: The name in the one model of each paired tensor of the other.
        sides: Both models with the digests of their tensors.
    """

    def __init__(self, before: onnx.ModelProto, after: onnx.ModelProto, digests: tuple[_Digests, _Digests]) -> None:
        self.sides = (before, digests[0]), (after, digests[1])
        self.names: dict[str, str] = {}
        self._forth: dict[str, str] = {}
        self._makers = _makers(before), _makers(after)

    def pair(self, old: str, new: str) -> bool:
        """Pair two tensors and, in step, all that leads to them; say whether nothing contradicts that."""
        agree = True
        pending = [(old, new)]
        (_, ones), (_, others) = self.sides
        while pending:
            old, new = pending.pop()
            if self.names.get(new) == old:
                continue
            if old in self._forth or new in self.names or ones.get(old) != others.get(new):
                agree = False
                continue
            self._forth[old], self.names[new] = new, old
            (one, place), (other, at) = (
                makers.get(name, (None, 0)) for makers, name in zip(self._makers, (old, new), strict=True)
            )
            if one is not None and other is not None and place == at:
                pending.extend(zip(reads(one), reads(other), strict=True))
        return agree


def _makers(model: onnx.ModelProto) -> dict[str, tuple[onnx.NodeProto, int]]:
    return {name: (node, i) for node in model.graph.node for i, name in enumerate(node.output) if name}


def share_names(before: Network, after: Network, parts: Mapping[str, str]) -> bool:
    """Return whether two models name the same things alike.

    That is so if at least half of the smaller model's nodes with weights are found in the other by their name, operator
    and names of weights (half of all nodes where one of the models has none with weights), unless most of what the
    graphs have in common has other names: exporters count, so that a name may mean the next layer.

    Args:
        before: One model.
        after: The other.
        parts: See `align_parts`.
    """
    inner = [old == new for new, old in parts.items() if old not in (*before.inputs, *before.outputs)]
    if 2 * sum(inner) < len(inner):
        return False
    nodes = [_signatures(network) for network in (before, after)]
    if all(any(weights for *_, weights in own) for own in nodes):
        nodes = [{one for one in own if one[2]} for own in nodes]
    return 2 * len(nodes[0] & nodes[1]) >= min(map(len, nodes)) > 0


def _signatures(network: Network) -> set[tuple[str, str, tuple[str, ...]]]:
    """Return name, operator and names of weights of all nodes that depend on the model's input."""
    view = GraphView(network.model, network.shapes, network.dtypes, network.folder)
    return {
        (view.name(i), view.kind(i), tuple(t for t in view.reads(i) if t in view.constants and view.is_float(t)))
        for i in set(range(len(view.nodes))) - set(network.constant_nodes)
    }
