"""Nodes that compute an elementwise function of one tensor: its activation, its scale, its normalisation.

An activation may be spelled out in several nodes, each entry by itself: SiLU as x·sigmoid(x), hard swish as
x·clip(x + 3, 0, 6)/6, Gelu by Erf or by Tanh, Mish by Softplus and Tanh. Such a *group* has one way in and one way out.
"""

import heapq

from natonnx.frontend import vocabulary
from natonnx.frontend.view import GraphView

__all__ = ["Elementwise"]

_MOST = 16
"""Nodes of a group: Gelu by Tanh takes eight. A limit keeps the search linear in the size of the graph."""

_ALONE = vocabulary.ACTIVATIONS | vocabulary.NORMALISATIONS | vocabulary.DROPOUT
_GROUPED = vocabulary.ACTIVATIONS | vocabulary.AFFINE | {"Erf", "Exp", "Max", "Min", "Neg", "Pow", "Reciprocal"}

_PAIRED = frozenset({"Add", "Div", "Mul", "Sub", "Sum"})
_GATES = frozenset({"Clip", "HardSigmoid", "Sigmoid", "Softmax", "Tanh"})


class Elementwise:
    """Finds such nodes in a graph.

    Args:
        view: The graph.
    """

    def __init__(self, view: GraphView) -> None:
        self.view = view
        self._groups: dict[str, tuple[int, ...]] = {}
        self._fitting: dict[int, bool] = {}

    def fits(self, i: int) -> bool:
        """Whether a node works on one tensor, entry by entry or channel by channel, and keeps its shape."""
        known = self._fitting.get(i)
        if known is None:
            known = self._fitting[i] = self._fits(i)
        return known

    def _fits(self, i: int) -> bool:
        view, node = self.view, self.view.nodes[i]
        if len(view.variable_inputs(i)) != 1:
            return False
        if view.kind(i) in vocabulary.AFFINE and len(node.input) > 1:
            source = view.variable_inputs(i)[0]
            shape = view.shape(source)
            return view.is_float(source) and shape == view.shape(node.output[0]) != () and not view.reads_only_inputs(i)
        return view.kind(i) in _ALONE and node.input[0] not in view.constants and not view.uses_further_outputs(i)

    def operands(self, i: int) -> tuple[str, ...]:
        """The tensor that an elementwise node changes, and those that it changes it by if they are no constants.

        Returns:
            () for another node, and for one half of an activation that multiplies a tensor by its own function.
        """
        view, node = self.view, self.view.nodes[i]
        if self.fits(i):
            source, made = view.variable_inputs(i)[0], node.output[0]
            others = (reader for reader in view.readers.get(made, ()) if view.kind(reader) not in vocabulary.JOINS)
            halves = any(source in view.variable_inputs(reader) for reader in others)
            return () if halves else (source,)
        variable = view.variable_inputs(i)
        if view.kind(i) not in _PAIRED or not 1 < len(variable) == len(set(variable)):
            return ()
        shape = view.shape(node.output[0])
        if None in shape or not all(map(view.is_float, variable)) or not all(map(view.is_known, variable)):
            return ()
        whole = [name for name in variable if view.shape(name) == shape != ()]
        if view.kind(i) in {"Div", "Sub"}:
            whole = whole if whole[:1] == variable[:1] else []
        elif len(whole) == 2 and self._is_gate(variable[0]) and not self._is_gate(variable[1]):
            whole.reverse()
        return (whole[0], *(name for name in variable if name != whole[0])) if whole else ()

    def _is_gate(self, tensor: str) -> bool:
        maker = self.view.producer.get(tensor)
        return maker is not None and self.view.kind(maker) in _GATES

    def run(self, tensor: str) -> tuple[int, ...]:
        """The nodes that alone read a tensor and make one elementwise function of it: one that fits, or a group.

        Returns:
            Positions of the nodes, in order, the last of which makes the result; () where there are none.
        """
        reader = self.view.only_reader(tensor)
        if reader is not None and self.fits(reader):
            return (reader,)
        return self.group(tensor)

    def group(self, tensor: str) -> tuple[int, ...]:
        """The group that alone reads a tensor, in order; () where there is none."""
        found = self._groups.get(tensor)
        if found is None:
            found = self._groups[tensor] = self._find_group(tensor)
        return found

    def _find_group(self, tensor: str) -> tuple[int, ...]:
        """Take in the readers in order, and what reads them, until nothing but the last result is left to be read."""
        view = self.view
        if len(view.readers.get(tensor, ())) < 2 or tensor in view.outputs or not view.is_float(tensor):
            return ()
        made: set[str] = {tensor}
        nodes: list[int] = []
        waiting = sorted(set(view.readers[tensor]))
        while len(nodes) < _MOST:
            i = heapq.heappop(waiting)
            if not self._fits_a_group(i, tensor) or not made.issuperset(view.variable_inputs(i)):
                return ()
            nodes.append(i)
            result = view.nodes[i].output[0]
            made.add(result)
            if not waiting:
                # A sum at the end is a join of what it adds up.
                is_sum = view.kind(i) in vocabulary.JOINS and len(view.variable_inputs(i)) > 1
                return () if is_sum else tuple(nodes)
            if result in view.outputs or result not in view.readers:
                return ()
            for reader in set(view.readers[result]) - set(waiting):
                heapq.heappush(waiting, reader)
        return ()

    def _fits_a_group(self, i: int, tensor: str) -> bool:
        """Whether a node works on each entry by itself, without a change of shape or type."""
        view, shape = self.view, self.view.shape(tensor)
        result = next(iter(view.nodes[i].output), "")
        return (
            view.kind(i) in _GROUPED
            and view.shape(result) == shape != ()
            and view.is_float(result)
            and not view.uses_further_outputs(i)
        )
