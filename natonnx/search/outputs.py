"""How each output of a model is compared with another model's, read from the graph that leads to it.

An output behind Softmax or LogSoftmax is class scores, one behind Sigmoid probabilities of their own, one that is
divided by its norm an embedding, and any other values. A final dense layer with a bias makes class scores too, the
Softmax being left to whoever reads them, and so does whatever an ArgMax reads that makes an output. What no gradient
reaches, such as the indices of ArgMax or what NonMaxSuppression selects, is judged at the floating-point tensors that
feed it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from natonnx.frontend import Network, default_opset
from natonnx.frontend.view import GraphView

__all__ = ["JudgedOutput", "Measure", "judged_outputs", "scores_output"]


class Measure(StrEnum):
    """What agreement on an output is measured by; its value is what reports call it."""

    TOP1 = "top-1 agreement"
    PROBABILITIES = "explained variance of probabilities"
    COSINE = "cosine"
    VARIANCE = "explained variance"


@dataclass(frozen=True)
class JudgedOutput:
    """A tensor that a model is judged by.

    Attributes:
        name: Of the tensor: an output, or what feeds one that no gradient reaches.
        logits: The tensor that the loss takes: what stands before a final Softmax, LogSoftmax or Sigmoid, else itself.
        measure: What it is compared by.
        batch_axis: The axis that counts samples; None where there is none.
        axis: The axis of the classes, or of the embedding, once the samples are in front; counted from the end (-1 is
            the last one).
    """

    name: str
    logits: str
    measure: Measure
    batch_axis: int | None
    axis: int = -1


_WITHOUT_GRADIENT = frozenset(
    {"ArgMax", "ArgMin", "TopK", "NonMaxSuppression", "NonZero", "Round", "Floor", "Ceil", "Sign", "Unique", "OneHot"}
    | {"Shape", "Size", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "Not", "And", "Or", "Xor", "IsNaN"}
)
_SHAPE_ONLY = frozenset({"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast", "Dropout"})
"""Operators that leave the values and the last axis alone; what they change else does not matter here."""

_SOFTMAX = frozenset({"Softmax", "LogSoftmax"})
_VALUES = ("box", "bbox", "coord", "embed", "feature", "hidden", "state")
"""Words in the name of an output that is not class scores though a dense layer makes it."""


def judged_outputs(network: Network, classes_of: str | None = None) -> tuple[JudgedOutput, ...]:
    """Find how the outputs of a model are judged.

    Args:
        network: The model.
        classes_of: An output that is known to be class scores, for the user's data has labels.

    Returns:
        One entry an output in the file's order; several, or none of its own, for one that no gradient reaches.
    """
    reader = _Reader(network)
    found: dict[str, JudgedOutput] = {}
    for name in network.outputs:
        for tensor in reader.differentiable(name):
            found.setdefault(tensor, reader.judge(tensor, is_scores=tensor == classes_of))
    return tuple(found.values())


def scores_output(network: Network, preferred: str | None = None) -> tuple[str, int] | None:
    """Find the output that labels are compared with, and its number of classes: the first with one score a class.

    It is an output that has, beside the batch, one size other than 1; else the first behind a Softmax, whose other axes
    are positions with a class each. An embedding is none, nor is what no gradient reaches. None where there is none.

    Args:
        network: The model.
        preferred: The output that is looked at first, whatever the file's order.
    """
    reader = _Reader(network)
    names = sorted(network.outputs, key=lambda name: name != preferred)
    outputs = [name for name in names if list(reader.differentiable(name)) == [name]]
    for name in outputs:
        sizes = reader.sample_sizes(name)
        scores = [size for size in sizes if size != 1]
        if len(scores) == 1 and isinstance(scores[0], int) and reader.judge(name).measure is not Measure.COSINE:
            return name, scores[0]
    for name in outputs:
        judged = reader.judge(name)
        sizes = reader.sample_sizes(name)
        if judged.measure is Measure.TOP1 and sizes and isinstance(classes := sizes[judged.axis], int):
            return name, classes
    return None


class _Reader:
    """Walks from outputs up the graph."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.view = GraphView(network.model, network.shapes, network.dtypes, network.folder)
        self.opset = default_opset(network.model) or 1
        self.picked = dict(filter(None, map(self._picked, network.outputs)))

    def _above(self, tensor: str) -> str:
        """The tensor that a tensor is made of by nodes that arrange values or change their type alone."""
        while (maker := self.view.producer.get(tensor)) is not None and self.view.kind(maker) in _SHAPE_ONLY:
            tensor = self.view.nodes[maker].input[0]
        return tensor

    def _picked(self, output: str) -> tuple[str, int] | None:
        """What the ArgMax reads that makes an output, and its axis from the end; None where none does."""
        maker = self.view.producer.get(self._above(output))
        if maker is None or self.view.kind(maker) != "ArgMax":
            return None
        scores = self.view.nodes[maker].input[0]
        rank, axis = len(self.view.shape(scores)), self.view.attribute(maker, "axis", 0)
        assert isinstance(axis, int)
        if not rank or axis % rank == self._batch_axis(scores):
            return None
        return scores, axis % rank - rank

    def sample_sizes(self, name: str) -> tuple[int | str | None, ...]:
        """Return sizes of an output without the batch."""
        axis = self._batch_axis(name)
        return tuple(size for position, size in enumerate(self.view.shape(name)) if position != axis)

    def differentiable(self, name: str) -> Iterator[str]:
        """Yield the tensor itself, or the nearest ones above it that a gradient reaches, as they are read."""
        seen: set[str] = set()
        pending = [name]
        while pending:
            tensor = pending.pop()
            if tensor in seen or tensor in self.view.constants:
                continue
            seen.add(tensor)
            maker = self.view.producer.get(tensor)
            if maker is None:  # an input of the model: nothing to judge
                continue
            cut_off = not self.view.is_float(tensor) or self.view.kind(maker) in _WITHOUT_GRADIENT
            behind = self._behind_selection(tensor)
            if not cut_off and not behind:
                yield tensor
            else:
                pending.extend(reversed(self.view.variable_inputs(maker)))

    def _behind_selection(self, tensor: str) -> bool:
        """Return whether a selection without gradient computed what a tensor is gathered by: its size varies."""
        pending, steps = [tensor], 0
        while pending and steps < 64:
            maker = self.view.producer.get(pending.pop())
            if maker is None:
                continue
            kind, steps = self.view.kind(maker), steps + 1
            if kind in {"NonMaxSuppression", "NonZero", "TopK"}:
                return True
            if kind in {"Gather", "GatherND", "GatherElements"}:
                if self._is_selected(self.view.nodes[maker].input[1]):
                    return True
                pending.append(self.view.nodes[maker].input[0])
            elif kind in _SHAPE_ONLY | {"Concat", "Slice", "Transpose"}:
                pending.extend(self.view.variable_inputs(maker))
        return False

    def _is_selected(self, indices: str) -> bool:
        """Return whether indices come from a selection by value rather than from shapes."""
        pending, seen = [indices], set[str]()
        while pending:
            tensor = pending.pop()
            maker = self.view.producer.get(tensor)
            if tensor in seen or maker is None or self.view.kind(maker) in {"Shape", "Size"}:
                continue
            seen.add(tensor)
            floats = any(map(self.view.is_float, self.view.variable_inputs(maker)))
            if self.view.kind(maker) in _WITHOUT_GRADIENT and floats:  # an ArgMax of token numbers selects by no value
                return True
            if not self.view.is_float(tensor):
                pending.extend(self.view.variable_inputs(maker))
        return False

    def judge(self, name: str, *, is_scores: bool = False) -> JudgedOutput:
        """Find how a floating-point tensor is judged."""
        batch_axis = self._batch_axis(name)
        maker = self._maker(name)
        kind = "" if maker is None else self.view.kind(maker)
        if maker is not None and kind in _SOFTMAX and (axis := self._softmax_axis(maker)) is not None:
            axis = self._with_samples_first(name, axis)
            return JudgedOutput(name, self.view.nodes[maker].input[0], Measure.TOP1, batch_axis, axis)
        if name in self.picked:
            axis = self._with_samples_first(name, self.picked[name])
            return JudgedOutput(name, name, Measure.TOP1, batch_axis, axis)
        if is_scores or self._is_dense(name):
            axis = self._with_samples_first(name, self._class_axis(name))
            return JudgedOutput(name, name, Measure.TOP1, batch_axis, axis)
        if maker is not None and kind == "Sigmoid":
            return JudgedOutput(name, self.view.nodes[maker].input[0], Measure.PROBABILITIES, batch_axis)
        if (axis := self._embedding_axis(name)) is not None:
            return JudgedOutput(name, name, Measure.COSINE, batch_axis, self._with_samples_first(name, axis))
        return JudgedOutput(name, name, Measure.VARIANCE, batch_axis)

    def _with_samples_first(self, name: str, axis: int) -> int:
        """Return where an axis from the end is, once a tensor's batch axis is moved to the front."""
        batch = self._batch_axis(name)
        rank = len(self.view.shape(name))
        return axis if batch is None or axis + rank > batch or not rank else axis + 1

    def _maker(self, name: str) -> int | None:
        """Return the node that makes a tensor, through those that only arrange it while the logits keep its shape."""
        maker = self.view.producer.get(name)
        while maker is not None and self.view.kind(maker) in {"Identity", "Cast", "Dropout"}:
            maker = self.view.producer.get(self.view.nodes[maker].input[0])
        return maker

    def _softmax_axis(self, node: int) -> int | None:
        """Return the axis that a Softmax sums over, from the end; None where it is no single axis."""
        rank = len(self.view.shape(self.view.nodes[node].output[0]))
        default = -1 if self.opset >= 13 else 1
        axis = self.view.attribute(node, "axis", default)
        assert isinstance(axis, int)
        if not rank:
            return -1 if axis in (-1, default) else None
        axis %= rank
        if axis == self._batch_axis(self.view.nodes[node].output[0]):
            return None
        if self.opset < 13:  # all axes from here on are one
            rest = [size for size in self.view.shape(self.view.nodes[node].output[0])[axis:] if size != 1]
            if len(rest) > 1:
                return None
            sizes = self.view.shape(self.view.nodes[node].output[0])
            axis = next((i for i in range(axis, rank) if sizes[i] != 1), axis)
        return axis - rank

    def _class_axis(self, name: str) -> int:
        """Return the one axis of an output, from the end, that has another size than 1 beside the batch."""
        shape, batch = self.view.shape(name), self._batch_axis(name)
        wide = [axis - len(shape) for axis, size in enumerate(shape) if axis != batch and size != 1]
        return wide[-1] if wide else -1

    def _is_dense(self, name: str) -> bool:
        """Return whether a dense layer with a bias makes scores of several classes."""
        maker = self._maker(name)
        if maker is None or any(word in name.lower() for word in _VALUES):
            return False
        sizes = [size for size in self.sample_sizes(name) if size != 1]
        if len(sizes) != 1 or not isinstance(sizes[0], int) or sizes[0] < 2:
            return False
        node, kind = self.view.nodes[maker], self.view.kind(maker)
        if kind == "Gemm":
            return len(node.input) > 2 and bool(node.input[2])
        if kind != "Add" or len(self.view.variable_inputs(maker)) != 1:
            return False
        above = self.view.producer.get(self.view.variable_inputs(maker)[0])
        return above is not None and self.view.kind(above) == "MatMul" and len(self.view.variable_inputs(above)) == 1

    def _embedding_axis(self, name: str) -> int | None:
        """Return the axis, from the end, along which a tensor is divided by its own norm; None where it is not.

        The division is LpNormalization, or x / ‖x‖ spelled out.
        """
        maker = self._maker(name)
        if maker is None:
            return None
        rank = len(self.view.shape(name))
        if self.view.kind(maker) == "LpNormalization":
            axis = self.view.attribute(maker, "axis", -1)
            assert isinstance(axis, int)
            return _from_end(axis, rank)
        if self.view.kind(maker) not in {"Div", "Mul"}:
            return None
        values, *norm = self.view.nodes[maker].input
        reduction = self._norm(norm[0], values) if norm else None
        axes = None if reduction is None else self.view.integers(reduction, "axes", 1)
        return _from_end(axes[0], rank) if axes is not None and len(axes) == 1 else None

    def _norm(self, tensor: str, values: str) -> int | None:
        """Return the reduction that makes a tensor the norm of another one, clipped, expanded or inverted perhaps."""
        through = {"Clip", "Max", "Expand", "Sqrt", "Add", "Reciprocal", "Unsqueeze", "Reshape", "Identity", "Pow"}
        for _ in range(8):
            maker = self.view.producer.get(tensor)
            if maker is None:
                return None
            kind, node = self.view.kind(maker), self.view.nodes[maker]
            if kind in {"ReduceL2", "ReduceSumSquare"}:
                return maker if node.input[0] == values else None
            if kind == "ReduceSum":
                square = self.view.producer.get(node.input[0])
                return maker if square is not None and values in self.view.nodes[square].input else None
            if kind not in through:
                return None
            tensor = next(iter(self.view.variable_inputs(maker)), "")
        return None

    def _batch_axis(self, name: str) -> int | None:
        """Return the axis that counts samples, of an output or of any other tensor."""
        axes = self.network.batch_axes
        if name in axes.outputs:
            return axes.outputs[name]
        symbols = {
            self.view.shape(own)[axis]
            for own, axis in axes.inputs.items()
            if axis is not None and axis < len(self.view.shape(own))
        }
        shape = self.view.shape(name)
        named = [axis for axis, size in enumerate(shape) if isinstance(size, str) and size in symbols]
        return named[0] if named else 0


def _from_end(axis: int, rank: int) -> int:
    return axis - rank if axis >= 0 and rank else axis
