"""What the tests of the refit share: edits by name, and what a model computes, in onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper

from natonnx.architecture import Architecture, State, violation
from natonnx.rewrite import build
from natonnx.search.refit import Refit, SiteFit
from natonnx.supernet import Supernet
from tests.rewrite.helpers import copy, runtime

if TYPE_CHECKING:
    from collections.abc import Mapping

    from natonnx.frontend import Network

__all__ = ["ALL", "edited", "mean_square", "refitted", "tensors_of"]

ALL = 1 << 20
"""More rows than there are, so that all are looked at."""


def edited(network: Network, **states: str) -> Architecture:
    """The network with the edges of some nodes in other states; legal."""
    architecture = network.architecture
    new = list(architecture.states)
    for edge, state in states.items():
        new[architecture.topology.edge_index[edge]] = State(state)
    alpha = architecture.with_states(tuple(new))
    assert violation(alpha, architecture) is None
    return alpha


def refitted(
    network: Network, alpha: Architecture, inputs: Mapping[str, np.ndarray], parts: int = 1, **options: Any
) -> tuple[dict[str, np.ndarray], tuple[SiteFit, ...]]:
    """New weights and fits, from samples along the first axes; what the supernet holds stays as it is."""
    supernet = Supernet(network)  # in training mode, which must not matter
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    split = {name: np.array_split(value, parts) for name, value in inputs.items()}
    batches = [{name: torch.from_numpy(own[i]) for name, own in split.items()} for i in range(parts)]
    weights, fits = Refit(supernet, batches, **{"rows": ALL, **options}).run(alpha)
    after = supernet.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(fit.after < fit.before for fit in fits)
    assert all(value.isfinite().all() for value in weights.values())
    assert not any(value.is_inference() for value in weights.values())
    return {name: value.numpy() for name, value in weights.items()}, fits


def tensors_of(
    network: Network,
    alpha: Architecture,
    weights: Mapping[str, np.ndarray],
    inputs: Mapping[str, np.ndarray],
    *names: str,
) -> dict[str, np.ndarray]:
    """What an architecture's file computes in onnxruntime: its outputs, and tensors within."""
    model: onnx.ModelProto = copy(build(network, alpha, weights))
    declared = {info.name for info in model.graph.output}
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names if name not in declared
    )
    return runtime(model, inputs)


def mean_square(value: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.mean((value.astype("f8") - wanted) ** 2))
