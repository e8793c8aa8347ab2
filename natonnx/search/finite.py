"""What is no number: samples whose outputs are broken, and the tensor of a model where that begins."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from natonnx.data.batches import Array
from natonnx.errors import InputError
from natonnx.frontend import Network
from natonnx.search.objective import Outputs
from natonnx.session import run, session, with_outputs
from natonnx.supernet.ops.operands import as_array

__all__ = ["Origin", "broken_samples", "find_origin"]


class Origin(NamedTuple):
    """Where a model first makes what is no number of numbers.

    Attributes:
        operator: Of the node, such as Div.
        tensor: That it makes.
        value: "NaN" or "infinity".
    """

    operator: str
    tensor: str
    value: str

    def __str__(self) -> str:
        """Put it in words."""
        return f"{self.operator} makes the first {self.value}, in {self.tensor!r}"


def broken_samples(outputs: Outputs, names: Iterable[str], *, infinite: bool = True) -> Tensor:
    """Return which samples have an output that holds NaN or, if that counts, +∞ [n].

    −∞ is a legal score: that of a class that is masked out, or the logarithm of 0.

    Args:
        outputs: Tensors by name, the samples along the first axis.
        names: Those that are looked at; one that is not there, or holds whole numbers, is passed over.
        infinite: Whether +∞ counts.
    """
    found: Tensor | None = None
    for name in names:
        value = outputs.get(name)
        if value is not None and value.is_floating_point():
            rows = value.reshape(len(value), -1)
            bad = ((rows.isnan() | rows.isposinf()) if infinite else rows.isnan()).any(1)
            found = bad if found is None else found | bad
    count = len(next(iter(outputs.values()), ()))
    return torch.zeros(count, dtype=torch.bool) if found is None else found


def find_origin(network: Network, inputs: Mapping[str, Tensor], sample: int) -> Origin | None:
    """Find the first node that makes NaN or infinity of finite numbers, on the way to the first NaN of a model.

    Args:
        network: The model.
        inputs: A batch of finite numbers.
        sample: The position in it of a sample on which the model makes some.

    Returns:
        None where it makes none, or onnxruntime does not give its inner tensors.
    """
    axes, nodes = network.batch_axes, network.model.graph.node
    index = torch.full((axes.size or 1,), sample)
    given = {
        name: as_array(value if (axis := axes.inputs.get(name)) is None else value.index_select(axis, index))
        for name, value in ((name, value.cpu()) for name, value in inputs.items())
    }
    try:
        names = [name for node in nodes for name in node.output if name]
        values = run(session(with_outputs(network.model, names), folder=network.folder), given)
    except InputError:
        return None
    makers = {name: node for node in nodes for name in node.output}
    tensor = next((name for kind in (np.isnan, np.isposinf) for name in makers if _has(kind, values.get(name))), None)
    if tensor is None:
        return None
    while (further := _not_finite(makers[tensor].input, makers, values)) is not None:
        tensor = further
    return Origin(makers[tensor].op_type, tensor, "NaN" if _has(np.isnan, values[tensor]) else "infinity")


def _not_finite(names: Iterable[str], makers: Collection[str], values: Mapping[str, Array]) -> str | None:
    return next((n for n in names if n in makers and _has(lambda v: ~np.isfinite(v), values.get(n))), None)


def _has(test: Callable[[Array], Any], value: object) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and bool(test(value).any())
