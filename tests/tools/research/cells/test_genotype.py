"""Cells: text and tuples there and back, cost as of torch's modules, transitions as the paper's genotypes make them."""

import re
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from natonnx.architecture import (
    Architecture,
    Cost,
    Edit,
    State,
    cost,
    cuts,
    edits_between,
    find_liveness,
    legal_transitions,
    violation,
)
from natonnx.errors import InputError
from tests.architecture.examples import chain, residual_network
from tests.architecture.strategies import property_test
from tools.conformance.paper.count import count
from tools.research.cells import Link, cell, links, nasbench201_cell, nasbench201_text, transformed
from tools.research.networks.cell_network import CellModule
from tools.research.networks.cell_ops import FactorizedReduce, make_op
from tools.research.networks.cells import Cell
from tools.research.networks.genotypes import GENOTYPES, ORIGINS

CELLS = [(name, kind) for name in GENOTYPES for kind in ("normal", "reduce")]
OPS = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
CONVOLUTIONS = [
    "sep_conv_3x3",
    "sep_conv_5x5",
    "sep_conv_7x7",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "conv_1x1",
    "conv_3x3",
    "conv_5x5",
    "conv_1x3_3x1",
    "conv_1x7_7x1",
    "conv_7x1_1x7",
]
POOLS = [f"{kind}_pool_{size}" for kind in ("max", "avg") for size in ("2x2", "3x3", "5x5")]


def part(name: str, kind: str) -> tuple[tuple[Link, ...], tuple[int, ...]]:
    genotype = GENOTYPES[name]
    normal = genotype.normal, genotype.normal_concat
    return normal if kind == "normal" else (genotype.reduce, genotype.reduce_concat)


def named(name: str, kind: str, channels: int = 4, size: int = 8) -> Architecture:
    return cell(*part(name, kind), reduction=kind == "reduce", channels=channels, size=size)


def text(ops: Sequence[str]) -> str:
    a, b, c, d, e, f = ops
    return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"


def changed(architecture: Architecture, **states: State) -> Architecture:
    """With some edges in other states, named as in c0_to_2 for "…:c_{k-2}->2"."""
    now = list(architecture.states)
    for e, edge in enumerate(architecture.topology.edges):
        name = edge.name.partition(":")[2] or edge.name
        now[e] = states.pop(name.replace("->", "_to_").replace("c_{k-2}", "c0").replace("c_{k-1}", "c1"), now[e])
    assert not states
    return architecture.with_states(tuple(now))


# There and back


@pytest.mark.parametrize(("name", "kind"), CELLS)
def test_a_cell_has_the_links_that_it_was_made_of(name: str, kind: str) -> None:
    assert links(named(name, kind)) == part(name, kind)[0]


def test_links_keep_their_order_and_parallel_ones_their_operations() -> None:
    shuffled = [
        ("conv_1x1", 2, 3),
        ("null", 0, 2),
        ("conv_3x3", 0, 2),
        ("null", 0, 2),
        ("conv_3x3", 0, 2),
        ("max_pool_3x3", 1, 3),
        ("conv_3x3", 0, 2),
    ]
    architecture = cell(shuffled, [3, 2])
    assert links(architecture) == tuple(Link(*link) for link in shuffled)
    assert list(architecture.topology.edge_index) == [
        "conv_1x1:2->3",
        "c_{k-2}->2",
        "conv_3x3:c_{k-2}->2",
        "c_{k-2}->2#2",
        "conv_3x3:c_{k-2}->2#2",
        "max_pool_3x3:c_{k-1}->3",
        "conv_3x3:c_{k-2}->2#3",
        "3->concat",
        "2->concat",
        "conv_1x1:concat->next",
    ]


@property_test
@given(st.tuples(*[st.sampled_from(OPS)] * 6))
def test_nasbench201_text_is_the_inverse(ops: tuple[str, ...]) -> None:
    architecture = nasbench201_cell(text(ops))
    assert nasbench201_text(architecture) == text(ops)
    assert [(link.source, link.target) for link in links(architecture)] == [
        (0, 1),
        (0, 2),
        (1, 2),
        (0, 3),
        (1, 3),
        (2, 3),
    ]


@property_test
@given(st.tuples(*[st.sampled_from(OPS)] * 6), st.tuples(*[st.sampled_from([None, State.S, State.N])] * 6))
def test_the_text_of_an_alpha_names_what_its_edges_carry(
    ops: tuple[str, ...], states: tuple[State | None, ...]
) -> None:
    beta = nasbench201_cell(text(ops))
    alpha = beta.with_states(tuple(new or old for new, old in zip(states, beta.states, strict=True)))
    names = {State.S: "skip_connect", State.N: "none"}
    assert nasbench201_text(alpha) == text(
        [names.get(new, op) if new else op for new, op in zip(states, ops, strict=True)]
    )


# Cost


@pytest.mark.parametrize(
    ("op", "stride"),
    [(op, stride) for op in (*CONVOLUTIONS, *POOLS) for stride in (1, 2) if stride == 2 or not op.endswith("2x2")],
)
def test_an_operation_is_that_of_torch(op: str, stride: int) -> None:
    architecture = cell([(op, 0, 2)], [2], reduction=stride == 2, channels=6, size=16)
    operation, module, image = (
        architecture.topology.edges[0].operation,
        make_op(op, 6, stride),
        torch.zeros(1, 6, 16, 16),
    )
    assert operation is not None
    assert (operation.params, operation.madds) == count(module, (image,), folded=False)
    assert module(image).shape[1:] == architecture.topology.maps[2].shape[1:]
    first = next(each for each in module.modules() if isinstance(each, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)))
    pair = first.kernel_size if isinstance(first.kernel_size, tuple) else (first.kernel_size,) * 2
    strides = first.stride if isinstance(first.stride, tuple) else (first.stride,) * 2
    assert (operation.kernel, operation.stride) == (pair, strides)
    kinds = {nn.Conv2d: "Conv", nn.MaxPool2d: "MaxPool", nn.AvgPool2d: "AveragePool"}
    assert operation.kind == kinds[type(first)]
    assert operation.groups == (first.groups if isinstance(first, nn.Conv2d) else 1)


@pytest.mark.parametrize(
    ("op", "madds", "params"),
    [
        ("conv_5x5", 419.4, 409.6),
        ("conv_3x3", 151.0, 147.5),
        ("sep_conv_5x5", 40.1, 39.2),
        ("sep_conv_3x3", 35.9, 35.1),
        ("dil_conv_5x5", 20.1, 19.6),
        ("dil_conv_3x3", 18.0, 17.5),
        ("conv_1x1", 16.8, 16.4),
    ],
)
def test_the_cost_figure_of_nat_plus_plus(op: str, madds: float, params: float) -> None:
    """Millions and thousands at 128 channels of 32×32, BN left out."""
    operation = cell([(op, 0, 2)], [2], channels=128).topology.edges[0].operation
    assert operation is not None
    assert operation.madds is not None
    weights = sum(size for name, size in operation.weights if name.endswith(".weight"))
    assert (round(operation.madds / 1e6, 1), round(weights / 1e3, 1)) == (madds, params)


class Reading(nn.Module):
    """A cell between nodes that are prepared already, and the convolution by which the next cell reads it."""

    def __init__(self, cell: Cell, channels: int) -> None:
        super().__init__()
        self.cell = CellModule(cell, (channels, channels), channels, after_reduction=False)
        for node in self.cell.inputs:
            self.cell.inputs[node] = nn.Identity()
        for link, module in self.cell.links.items():
            if isinstance(module, FactorizedReduce):
                self.cell.links[link] = nn.AvgPool2d(2)
        wide = len(cell.members) * channels
        self.next = nn.Sequential(nn.Conv2d(wide, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, before_last: Tensor, last: Tensor) -> Tensor:
        result: Tensor = self.next(self.cell(before_last, last))
        return result


@pytest.mark.parametrize(("name", "kind"), CELLS)
def test_a_cell_costs_what_torch_counts(name: str, kind: str) -> None:
    """What null has removed is not built in torch."""
    module = Reading(Cell(*part(name, kind), reduction=kind == "reduce"), 4)
    images = (torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 8, 8))
    architecture = named(name, kind)
    assert cost(architecture) == Cost(*count(module, images, folded=False))
    assert architecture.topology.maps[-1].shape[1:] == module(*images).shape[1:]


def test_a_nasbench201_cell_costs_what_torch_counts() -> None:
    ops = ["nor_conv_3x3", "none", "nor_conv_1x1", "skip_connect", "avg_pool_3x3", "nor_conv_3x3"]
    modules = [make_op(op.removeprefix("nor_"), 5, 1) for op in ops if op != "none"]
    counts = [count(module, (torch.zeros(1, 5, 8, 8),), folded=False) for module in modules]
    expected = Cost(sum(each.params for each in counts), sum(each.madds for each in counts))
    architecture = nasbench201_cell(text(ops), channels=5, size=8)
    assert cost(architecture) == expected
    assert [len(edge.operation.weights) for edge in architecture.topology.edges if edge.operation] == [3, 3, 0, 3]
    assert {fmap.shape for fmap in architecture.topology.maps} == {("batch", 5, 8, 8)}


def test_a_skip_of_a_reduction_has_no_parameters() -> None:
    beta = named("DARTS", "reduce")
    skips = {edge.name: edge.skip for edge in beta.topology.edges}
    halving, staying = skips["max_pool_3x3:c_{k-1}->2"], skips["2->3"]
    assert halving is not None
    assert (halving.pool, halving.pad_channels) == ((2, 2), 0)
    assert staying is not None
    assert staying.is_identity
    assert cost(transformed(beta, part("NAT_DARTS", "reduce")[0])) == cost(beta)


# The paper's transformations


OTHER_OPERATIONS = {
    ("NAT_NAONet", "reduce"): "link ('avg_pool_2x2', 1, 2): it cannot become avg_pool_3x3",
    ("NATv2_VGG", "normal"): "link ('conv_3x3', 3, 4): it cannot become sep_conv_3x3",
    ("NATv2_VGG", "reduce"): "link ('conv_3x3', 3, 4): it cannot become sep_conv_3x3",
    ("NATv2_ResBlock", "reduce"): "link ('conv_3x3', 3, 4): it cannot become sep_conv_3x3",
    ("NATv2_DARTS", "normal"): "link ('sep_conv_3x3', 1, 4): it cannot become dil_conv_3x3",
    ("NATv2_DARTS", "reduce"): "link ('max_pool_3x3', 0, 2): it cannot become avg_pool_3x3",
    ("NATv2_ENAS", "normal"): "link ('sep_conv_5x5', 1, 6): it cannot become sep_conv_3x3",
    ("NATv2_ENAS", "reduce"): "link ('sep_conv_5x5', 0, 2): it cannot become sep_conv_3x3",
    ("NATv2_NAONet", "normal"): "link ('conv_1x1', 0, 4): it cannot become max_pool_3x3",
    ("NATv2_NAONet", "reduce"): "link ('conv_1x1', 0, 3): it cannot become avg_pool_3x3",
}
"""Changes from one operation to another: NAT's avg_pool_2x2 breaks its own rules, NAT++ has rules for most of them."""


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, kind in CELLS if name in ORIGINS])
def test_the_papers_transformations_are_legal(name: str, kind: str) -> None:
    beta, wanted = named(ORIGINS[name], kind), part(name, kind)[0]
    if (name, kind) in OTHER_OPERATIONS:
        message = f"{OTHER_OPERATIONS[name, kind]}, only skip_connect or null"
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            transformed(beta, wanted)
        return
    alpha = transformed(beta, wanted)
    assert links(alpha) == wanted
    assert violation(alpha, beta) is None


def test_the_edits_of_nat_darts() -> None:
    beta = named("DARTS", "normal")
    assert edits_between(beta, transformed(beta, part("NAT_DARTS", "normal")[0])) == (
        Edit("sep_conv_3x3:c_{k-2}->3", State.O, State.S),
        Edit("sep_conv_3x3:c_{k-1}->4", State.O, State.S),
    )


def test_a_skip_does_not_become_an_operation_again() -> None:
    beta = named("DARTS", "normal")
    alpha = transformed(beta, part("NAT_DARTS", "normal")[0])
    assert violation(beta, alpha) == "edge 'sep_conv_3x3:c_{k-2}->3' cannot go from S to O"
    with pytest.raises(InputError, match=r"^link \('skip_connect', 0, 3\): it cannot become sep_conv_3x3, only"):
        transformed(alpha, links(beta))


# Null


def test_the_dead_node_of_nat_r2_leaves_the_concat() -> None:
    """Both edges into node 3 are null; what read it reads nothing, and the next cell's convolution loses 4 channels."""
    beta = named("R2", "normal")
    alpha = transformed(beta, part("NAT_R2", "normal")[0])
    state, topology = find_liveness(alpha), alpha.topology
    assert [name for name, live in zip(topology.map_index, state.live, strict=True) if not live] == ["3"]
    inactive = ["sep_conv_5x5:2->3", "avg_pool_3x3:2->3", "3->4", "max_pool_3x3:3->5", "3->concat"]
    assert [name for name, active in zip(topology.edge_index, state.active, strict=True) if not active] == inactive
    joined = cuts(alpha, state).joins[topology.map_index["concat"]]
    assert (joined.axis, joined.kept.tolist()) == (1, [True] * 4 + [False] * 4 + [True] * 8)
    separable = beta.topology.edges[beta.topology.edge_index["sep_conv_5x5:2->3"]].operation
    assert separable is not None
    assert separable.madds is not None
    before, after = cost(beta), cost(alpha)
    assert before.params - after.params == separable.params + 4 * 4
    assert before.madds is not None
    assert after.madds is not None
    assert before.madds - after.madds == separable.madds + 4 * 4 * 8 * 8


def test_a_cell_without_its_dead_node_costs_the_same() -> None:
    alive = [
        ("max_pool_3x3", 1, 2),
        ("dil_conv_3x3", 0, 2),
        ("dil_conv_5x5", 0, 3),
        ("sep_conv_3x3", 1, 4),
    ]
    assert cost(named("NAT_R2", "normal")) == cost(cell(alive, [2, 3, 4], channels=4, size=8))


def test_the_policy_drops_a_member_by_its_inputs_only() -> None:
    beta = changed(named("DARTS", "normal"), c0_to_4=State.N)
    reasons = dict(zip(beta.topology.edge_index, legal_transitions(beta), strict=True))
    assert reasons["sep_conv_3x3:c_{k-1}->4"][State.N] is None
    assert reasons["4->concat"] == {State.N: "a cell joins all the nodes of its concat"}
    assert set(reasons["conv_1x1:concat->next"].values()) == {"it belongs to the next cell"}
    dropped = "edge '4->concat' may not change: a cell joins all the nodes of its concat"
    assert violation(beta.with_states((*beta.states[:-3], State.N, *beta.states[-2:])), beta) == dropped
    assert violation(changed(beta, c1_to_4=State.N), beta) is None


def test_the_last_member_may_not_go() -> None:
    beta = cell([("conv_3x3", 0, 2), ("null", 1, 2)], [2])
    reason = "nothing else feeds '2', which the model's output depends on"
    assert legal_transitions(beta)[0] == {State.S: None, State.N: reason}
    alpha = changed(beta, c0_to_2=State.N)
    assert violation(alpha, beta) == "the model's output 'next' would no longer depend on its input"


def test_null_propagates_through_a_nasbench201_cell() -> None:
    ops = ["none", "nor_conv_1x1", "nor_conv_3x3", "skip_connect", "nor_conv_3x3", "avg_pool_3x3"]
    architecture = nasbench201_cell(text(ops), channels=5, size=8)
    assert find_liveness(architecture).live.tolist() == [True, False, True, True]
    assert find_liveness(architecture).active.tolist() == [False, True, False, True, False, True]
    assert cost(architecture) == Cost(5 * 5 + 2 * 5, 5 * 5 * 8 * 8)


def test_reasons_in_a_nasbench201_cell() -> None:
    ops = ["none", "nor_conv_1x1", "nor_conv_3x3", "none", "none", "skip_connect"]
    revived = "it would revive a feature map that null has removed"
    assert legal_transitions(nasbench201_cell(text(ops))) == (
        {State.S: revived},
        {State.S: None, State.N: "nothing else feeds '2', which the model's output depends on"},
        dict.fromkeys((State.S, State.N)),
        {State.S: None},
        {State.S: "'1' has nothing to give, for null has removed it"},
        {State.N: "nothing else feeds '3', which the model's output depends on"},
    )


# Bad input


REDUCED = (("max_pool_2x2", 0, 2), ("conv_3x3", 2, 3))
AT_STRIDE_1 = "at stride 1 it would change the size; start it at a reduction's input"
BACKWARDS = "it does not run to a later node; number from 2, inputs are 0 and 1"
TWO = (("conv_3x3", 0, 2), ("conv_3x3", 0, 3))
OF_TWO = "name at least one of the nodes (2, 3), each once at most"


@pytest.mark.parametrize(
    ("bad", "concat", "message"),
    [
        ([("conv_3x3", 2, 2)], [2], f"link ('conv_3x3', 2, 2): {BACKWARDS}"),
        ([("conv_3x3", 3, 2)], [2], f"link ('conv_3x3', 3, 2): {BACKWARDS}"),
        ([("conv_3x3", 0, 1)], [2], f"link ('conv_3x3', 0, 1): {BACKWARDS}"),
        ([("conv_3x3", -1, 2)], [2], f"link ('conv_3x3', -1, 2): {BACKWARDS}"),
        ([TWO[0], ("null", 0, 4)], [2], "cell: no link enters node 3; number the nodes from 2 without a gap"),
        (TWO, [], f"concat (): {OF_TWO}"),
        (TWO, [2, 4], f"concat (2, 4): {OF_TWO}"),
        (TWO, [1, 2], f"concat (1, 2): {OF_TWO}"),
        (TWO, [3, 3], f"concat (3, 3): {OF_TWO}"),
        ([], [2], "concat (2,): name at least one of the nodes (), each once at most"),
        (REDUCED, [3], f"link ('max_pool_2x2', 0, 2): {AT_STRIDE_1}"),
    ],
)
def test_a_malformed_cell_is_refused(bad: Sequence[tuple[str, int, int]], concat: Sequence[int], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        cell(bad, concat)


def test_a_pool_of_two_fits_only_where_a_reduction_begins() -> None:
    assert links(cell(REDUCED, [3], reduction=True)) == REDUCED
    with pytest.raises(InputError, match=rf"^link \('avg_pool_2x2', 2, 3\): {AT_STRIDE_1}$"):
        cell([*REDUCED, ("avg_pool_2x2", 2, 3)], [3], reduction=True)


@pytest.mark.parametrize("op", ["conv_9x9", "nor_conv_3x3", "none", ""])
def test_an_unknown_operation_is_refused_and_the_known_ones_named(op: str) -> None:
    with pytest.raises(InputError) as refusal:
        cell([("conv_3x3", 0, 2), (op, 1, 2)], [2])
    known = ", ".join([*CONVOLUTIONS, *sorted(POOLS, key=lambda pool: pool[:3] != "max"), "skip_connect", "null"])
    assert str(refusal.value) == f"link ({op!r}, 1, 2): unknown operation {op!r}; write one of {known}"


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (7, "reduction cell: size 7 cannot be halved; choose an even one"),
        (0, "cell: 16 channels of size 0; choose at least 1 of each"),
    ],
)
def test_a_size_that_does_not_fit_is_refused(size: int, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        cell(REDUCED, [3], reduction=True, size=size)


def test_a_cell_without_channels_is_refused() -> None:
    with pytest.raises(InputError, match=r"^cell: 0 channels of size 32; choose at least 1 of each$"):
        nasbench201_cell(text([*OPS, "none"]), channels=0)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "|none~0|+|none~0|none~1|",
        "|none~0|+|none~0|none~1|+|none~0|none~2|none~1|",
        text(["nor_conv_5x5", *OPS]),
        text(["null", *OPS]),
        text(["none", *OPS]) + "\n",
    ],
)
def test_a_malformed_text_is_refused(bad: str) -> None:
    form = "|op~0|+|op~0|op~1|+|op~0|op~1|op~2|"
    message = f"cell {bad!r}: it is not {form}; write one of {', '.join(OPS)} for each op"
    with pytest.raises(InputError, match=f"^{re.escape(message)}\\Z"):
        nasbench201_cell(bad)


def test_what_is_no_cell_is_refused() -> None:
    with pytest.raises(InputError, match=r"^architecture: edge 'b1' is not a cell's; make it by cell or nasbench"):
        links(residual_network(2))
    for other in (chain(2), named("DARTS", "normal")):
        with pytest.raises(
            InputError, match=r"^architecture: it is no cell of NAS-Bench-201; make it by nasbench201_cell$"
        ):
            nasbench201_text(other)


def test_a_cell_becomes_none_of_other_nodes_and_no_other_operation() -> None:
    message = "cell: its links run between other nodes than those wanted; name the same nodes in that order"
    with pytest.raises(InputError, match=f"^{message}$"):
        transformed(named("DARTS", "normal"), part("R1", "normal")[0])
    with pytest.raises(
        InputError, match=r"^link \('null', 0, 2\): it cannot become conv_3x3, only skip_connect or null$"
    ):
        transformed(cell([("null", 0, 2), ("conv_3x3", 1, 2)], [2]), [("conv_3x3", 0, 2), ("conv_3x3", 1, 2)])
