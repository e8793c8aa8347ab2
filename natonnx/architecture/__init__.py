"""The NAT DAG: feature maps joined by edges that carry an operation, a skip (S) or null (N). numpy only."""

from natonnx.architecture.activity import Workload, activity, map_sizes, workloads
from natonnx.architecture.cost import Cost, cost
from natonnx.architecture.cut import Cut, Cuts, cuts, place
from natonnx.architecture.edited import Edited
from natonnx.architecture.fatal import FatalMaps
from natonnx.architecture.graph import (
    Architecture,
    ChannelCutRule,
    Choice,
    Edge,
    FeatureMap,
    Join,
    Operation,
    Shape,
    Topology,
    Weight,
)
from natonnx.architecture.incremental import Legality
from natonnx.architecture.liveness import Liveness, find_liveness
from natonnx.architecture.skip import Skip, match_skip
from natonnx.architecture.state import LETTERS, State
from natonnx.architecture.transition import (
    Edit,
    TransitionError,
    apply_edits,
    edits_between,
    legal_transitions,
    transition_mask,
    violation,
    without_idle_edits,
)

__all__ = [
    "LETTERS",
    "Architecture",
    "ChannelCutRule",
    "Choice",
    "Cost",
    "Cut",
    "Cuts",
    "Edge",
    "Edit",
    "Edited",
    "FatalMaps",
    "FeatureMap",
    "Join",
    "Legality",
    "Liveness",
    "Operation",
    "Shape",
    "Skip",
    "State",
    "Topology",
    "TransitionError",
    "Weight",
    "Workload",
    "activity",
    "apply_edits",
    "cost",
    "cuts",
    "edits_between",
    "find_liveness",
    "legal_transitions",
    "map_sizes",
    "match_skip",
    "place",
    "transition_mask",
    "violation",
    "without_idle_edits",
    "workloads",
]
