"""A parsed model: the ONNX file, its architecture, and which nodes and tensors each part of the architecture is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import onnx

from natonnx.architecture import Architecture, Shape, State
from natonnx.frontend.batch_axes import BatchAxes
from natonnx.frontend.computed import ComputedWeights
from natonnx.frontend.node_cut_rule import NodeCutRule

__all__ = ["WINDOW", "EdgeBinding", "Granularity", "MapBinding", "Network", "OpaqueNode", "ParseOptions", "Transitions"]

WINDOW = 4
"""How many feature maps back a shortcut that does not exist yet (an N edge) may start."""


class Granularity(StrEnum):
    """What one edge carries.

    `layer`: one compute operator. `branch`: a whole branch between two joins (a residual branch, an Inception branch,
    an attention block). `auto`: a branch where its layers could not be edited one by one, for their shapes never match
    or the branch holds a fixed node; layers elsewhere.
    """

    LAYER = "layer"
    BRANCH = "branch"
    AUTO = "auto"


class Transitions(StrEnum):
    """What an operation may become.

    `nat`: a skip or nothing (Guo et al. 2019). `nat++`: a cheaper operation as well (Guo et al. 2021).
    """

    NAT = "nat"
    NATPP = "nat++"


@dataclass(frozen=True)
class ParseOptions:
    """How a model is parsed.

    Attributes:
        input_shapes: Sizes to assume where the file leaves an input's open, by input name, batch included, such as the
            shapes of a batch of data. The batch stays as the file has it.
        window: How many feature maps back an N edge may start.
        granularity: What one edge carries.
        include: Patterns of node names: only edges with such a node may change; all where there are none.
        exclude: Patterns of node names: edges with such a node may not change.
        freeze_outputs_of: Patterns of node names: what these nodes compute stays as it is, as long as it is read.
        free_batch: Make a batch of 1 that is baked into the file free first.
        transitions: What an operation may become.
    """

    input_shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    window: int = WINDOW
    granularity: Granularity = Granularity.LAYER
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    freeze_outputs_of: tuple[str, ...] = ()
    free_batch: bool = False
    transitions: Transitions = Transitions.NAT


@dataclass(frozen=True)
class MapBinding:
    """Where a feature map lives in the ONNX graph.

    Attributes:
        join_tensor: The tensor that the join makes, before the activation.
        value_tensor: The tensor that consumers read, after the activation.
        join_node: Position of the Add, Sum or Concat node, or of the opaque node; None where there is none.
        chain: Positions of the nodes from the join to the value, in order.
        constants: Of a sum: what it adds to its members, whichever of them are left.
    """

    join_tensor: str
    value_tensor: str
    join_node: int | None = None
    chain: tuple[int, ...] = ()
    constants: tuple[str, ...] = ()


@dataclass(frozen=True)
class EdgeBinding:
    """Where an edge lives in the ONNX graph.

    Attributes:
        nodes: Positions of the nodes that compute it from its source's value, in order; () for a plain skip and for
            null.
        tensor: The tensor that it hands to its target's join; the source's own value for a plain skip or null.
        cheaper: The same of the cheaper operations that it may become, whose nodes are in `Network.extended` alone.
    """

    nodes: tuple[int, ...]
    tensor: str
    cheaper: Mapping[State, "EdgeBinding"] = field(default_factory=dict)


@dataclass(frozen=True)
class OpaqueNode:
    """A node that is kept as it is, and why."""

    node: str
    op_type: str
    reason: str


@dataclass(frozen=True)
class Network:
    """An ONNX model and its NAT DAG.

    Attributes:
        model: The model as read; never changed.
        extended: The same with the nodes of cheaper operations behind its own, and their weights; nothing reads what
            they make. The model itself where there are none.
        architecture: β.
        maps: Binding of each feature map, by name.
        edges: Binding of each edge, by name.
        opaque: Nodes outside the rules.
        constant_nodes: Positions of nodes that do not depend on the model's input.
        computed: The weights that they make.
        inputs: Names of the model's inputs.
        outputs: Names of the model's outputs.
        shapes: Inferred shape of every tensor.
        dtypes: Inferred onnx.TensorProto element type of every tensor; a negative number for what is no plain tensor.
        cut_rules: What nodes do with a cut, by node position and axis of their input, or place among the sizes in it.
        frozen: Positions of the nodes whose outputs, and so whose weights, stay as they are.
        options: How the model was parsed.
        batch_axes: The axis of each input and output that counts samples.
        folder: Where the model's external data is; None where it has none.
    """

    model: onnx.ModelProto
    extended: onnx.ModelProto
    architecture: Architecture
    maps: Mapping[str, MapBinding]
    edges: Mapping[str, EdgeBinding]
    opaque: tuple[OpaqueNode, ...]
    constant_nodes: tuple[int, ...]
    computed: ComputedWeights
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shapes: Mapping[str, Shape]
    dtypes: Mapping[str, int]
    cut_rules: Mapping[tuple[int, int], NodeCutRule]
    frozen: frozenset[int]
    options: ParseOptions
    batch_axes: BatchAxes
    folder: Path | None = None

    @property
    def added(self) -> range:
        """Positions of the nodes in `extended` that the model does not have: those of cheaper operations."""
        return range(len(self.model.graph.node), len(self.extended.graph.node))

    def carrier(self, edge: int, state: State) -> EdgeBinding | None:
        """The nodes that compute an edge in a state, if there are any.

        Args:
            edge: Its position.
            state: One in which it carries something.
        """
        own = self.edges[self.architecture.topology.edges[edge].name]
        if state in own.cheaper:
            return own.cheaper[state]
        return own if own.nodes and state == self.architecture.states[edge] else None
