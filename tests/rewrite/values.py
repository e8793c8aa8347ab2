"""An edit on values: the original's nodes one by one in onnxruntime, skips by numpy, dead members left out.

It shares the parser's bindings with what it judges, and neither the lowering nor the rewriter nor the supernet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from natonnx.architecture import Join, State, apply_edits, legal_transitions
from natonnx.architecture.transition import Edit
from natonnx.rewrite import build
from tests.rewrite.helpers import assert_close

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from natonnx.architecture import Architecture, Skip
    from natonnx.frontend import Network

    Arrays = Mapping[str, NDArray[Any]]

__all__ = ["assert_single_edits", "edited_values", "plainly"]


def plainly(model: onnx.ModelProto, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """Run a model in onnxruntime without its optimisations."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def edited_values(network: Network, alpha: Architecture, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """The model's outputs by an α that takes no member from a concat."""
    graph, values = network.model.graph, dict(inputs)
    values |= {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    _run(network, network.constant_nodes, values)
    constants = values.keys() - inputs.keys()
    live: set[str] = set()
    for position, fmap in enumerate(alpha.topology.maps):
        binding = network.maps[fmap.name]
        if fmap.join is Join.OPAQUE and live.issuperset(fmap.inputs):
            assert binding.join_node is not None
            _run(network, [binding.join_node], values)
        elif fmap.join not in (Join.INPUT, Join.OPAQUE):
            entering = [alpha.topology.edges[e] for e in alpha.topology.incoming[position]]
            fed = [edge for edge in entering if edge.source in live and alpha.state(edge.name) != State.N]
            if not fed:
                continue
            members = [_member(network, alpha, edge.name, values) for edge in fed]
            if fmap.join is Join.SUM and binding.join_node is not None:
                members += [values[name] for name in graph.node[binding.join_node].input if name in constants]
            joined = np.concatenate(members, fmap.axis) if fmap.join is Join.CONCAT else sum(members[1:], members[0])
            values[binding.join_tensor] = joined
        elif fmap.join is Join.OPAQUE:
            continue
        live.add(fmap.name)
        _run(network, binding.chain, values)
    return {name: values[name] for name in network.outputs}


def assert_single_edits(network: Network, samples: Iterable[Arrays]) -> list[tuple[str, str]]:
    """Compare each legal single edit's file with its values; return the edits that were tried."""
    beta = network.architecture
    tried: list[tuple[str, str]] = []
    for edge, state, verdict in zip(beta.topology.edges, beta.states, legal_transitions(beta), strict=True):
        for wanted in [wanted for wanted, reason in verdict.items() if reason is None]:
            alpha = apply_edits(beta, [Edit(edge.name, state, wanted)])
            model = build(network, alpha)
            onnx.checker.check_model(model, full_check=True)
            for sample in samples:
                made = plainly(model, sample)
                for name, value in edited_values(network, alpha, sample).items():
                    assert_close(made[name], value, 1e-5)
            tried.append((edge.name, wanted))
    return tried


def _member(network: Network, alpha: Architecture, edge: str, values: Arrays) -> NDArray[Any]:
    own, binding = alpha.topology.edges[alpha.topology.edge_index[edge]], network.edges[edge]
    source = network.maps[own.source].value_tensor
    if alpha.state(edge) == State.O or (alpha.state(edge) == network.architecture.state(edge) and binding.nodes):
        inner = dict(values)
        _run(network, binding.nodes, inner)
        return inner[binding.tensor]
    assert own.skip is not None
    return _skip(own.skip, values[source])


def _skip(skip: Skip, value: NDArray[Any]) -> NDArray[Any]:
    for axis, ratio in enumerate(skip.pool, start=2):
        shape = value.shape
        value = value.reshape(*shape[:axis], shape[axis] // ratio, ratio, *shape[axis + 1 :]).mean(axis + 1)
    return np.pad(value, [(0, skip.pad_channels if axis == 1 else 0) for axis in range(value.ndim)])


def _run(network: Network, nodes: Iterable[int], values: dict[str, NDArray[Any]]) -> None:
    source = network.model
    for position in nodes:
        node = source.graph.node[position]
        model = onnx.ModelProto(ir_version=source.ir_version, opset_import=source.opset_import)
        model.graph.name = "node"
        model.graph.node.append(node)
        for name in dict.fromkeys(filter(None, node.input)):
            dtype = helper.np_dtype_to_tensor_dtype(values[name].dtype)
            model.graph.input.append(helper.make_tensor_value_info(name, dtype, values[name].shape))
        model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in node.output if name)
        values |= plainly(model, {name: values[name] for name in filter(None, node.input)})
