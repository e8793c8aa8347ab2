"""The eye of its own that verification has: the source run node by node, an α's edits carried out on its values."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from natonnx.architecture import Cut, Edit, State, apply_edits, cut
from natonnx.frontend import parse, program
from natonnx.rewrite import References, build, lost, part, verify
from natonnx.rewrite.compare import Verdict
from natonnx.rewrite.outputs import OutputsCheck
from natonnx.rewrite.part import Part, Source
from natonnx.rewrite.replay import Replay
from natonnx.session import session
from natonnx.supernet import Supernet
from tests.rewrite.helpers import Builder, arrays, assert_close, copy, images, runtime

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import onnx
    import pytest

    from natonnx.architecture import Architecture, Cuts, Liveness
    from natonnx.frontend import Network

REPLAYED, EQUAL = "onnxruntime equals the input, edited value by value", "onnxruntime equals the supernet"
OPTIMISED = "onnxruntime equals it with its graph optimisations"


def dense(channels: int = 3) -> onnx.ModelProto:
    """Two convolutions of unequal width, joined, normalised, and read by a third."""
    graph = Builder()
    graph.op("Concat", graph.conv("x", "a", channels), graph.conv("x", "b", 5), out="c", axis=1)
    graph.channels["c"] = channels + 5
    graph.op("Relu", graph.batchnorm("c", "n"), out="r")
    graph.conv("r", "y", 4, kernel=3)
    return graph.model("y")


def without(network: Network, *edges: str) -> Architecture:
    return apply_edits(network.architecture, [Edit(edge, State.O, State.N) for edge in edges])


def test_lost_channels_are_zero_where_they_are_absorbed() -> None:
    """Not before: what normalisation makes of a zero is none of the smaller model's business."""
    model = dense()
    network = parse(model)
    zeroed = copy(model)
    weight = next(tensor for tensor in zeroed.graph.initializer if tensor.name == "y.w")
    value = arrays(model)["y.w"].copy()
    value[:, :3] = 0
    weight.raw_data = value.tobytes()
    x = {"x": images(2, 4, 8)}
    replay = Replay(network, without(network, "A"))
    assert_close(replay(x)["y"], runtime(zeroed, x)["y"])
    assert replay(x, ["r"])["r"].shape == (2, 5, 8, 8)


def test_unedited_it_is_the_model() -> None:
    model = dense()
    network = parse(model)
    x = {"x": images(2, 4, 8)}
    assert_close(Replay(network, network.architecture)(x)["y"], runtime(model, x)["y"])


def test_a_cut_of_the_wrong_channels_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The supernet and the rewriter share what says which channels are cut, and so agree on anything."""
    network = parse(dense())
    alpha = without(network, "A")

    def shifted(architecture: Architecture, liveness: Liveness) -> Cuts:
        found = cut.cuts(architecture, liveness)

        def roll(own: Mapping[int, Cut]) -> dict[int, Cut]:
            return {i: Cut(one.axis, np.roll(one.kept, 1)) for i, one in own.items()}

        return cut.Cuts(roll(found.joins), roll(found.values), found.broken)

    monkeypatch.setattr(program, "cuts", shifted)
    reference = Supernet(network).as_reference(alpha)
    checks = {check.name: check for check in verify(network, alpha, build(network, alpha), References(reference))}
    assert checks[EQUAL].passed
    assert not checks[REPLAYED].passed


def test_new_weights_are_replayed_whole() -> None:
    model = dense()
    network = parse(model)
    alpha = without(network, "A")
    weights = {name: 2 * value for name, value in arrays(model).items() if name.endswith(".w")}
    doubled = build(network, alpha, weights)
    for given, passed in ((weights, True), (None, False)):
        checks = {check.name: check.passed for check in verify(network, alpha, doubled, weights=given)}
        assert checks[REPLAYED] is passed


def test_lost_channels_of_a_quantised_tensor_hold_its_zero_point() -> None:
    graph = Builder()
    graph.op("Concat", graph.conv("x", "a", 3), graph.conv("x", "b", 5), out="c", axis=1)
    scale = graph.constant("scale", np.array(0.05, "f4"))
    zero = graph.constant("zero", np.array(100, np.uint8))
    graph.op("QuantizeLinear", "c", scale, zero, out="q")
    weight = graph.constant("w", np.random.default_rng(0).integers(-9, 9, (2, 8, 1, 1)).astype(np.int8))
    none = graph.constant("none", np.array(0, np.int8))
    graph.op("QLinearConv", "q", scale, zero, weight, scale, none, scale, zero, out="k", kernel_shape=[1, 1])
    graph.op("DequantizeLinear", "k", scale, zero, out="y")
    model = graph.model("y")
    network = parse(model)
    beta = network.architecture
    states = tuple(State.N if name == "A" else beta.state(name) for name in beta.topology.edge_index)
    replay = Replay(network, beta.with_states(states))  # legal or not
    zeroed = copy(model)
    own = next(tensor for tensor in zeroed.graph.initializer if tensor.name == "w")
    value = arrays(model)["w"].copy()
    value[:, :3] = 0
    own.raw_data = value.tobytes()
    x = {"x": images(2, 4, 8)}
    np.testing.assert_array_equal(replay(x)["y"], runtime(zeroed, x)["y"])


def test_what_cannot_be_replayed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sequence that is read on both sides of an edit; elsewhere its nodes run together with those that read it."""
    monkeypatch.setattr(OutputsCheck, "is_proven", False)
    for twice in (False, True):
        graph = Builder()
        graph.op("SequenceConstruct", graph.conv("x", "a"), out="s")
        graph.op("SequenceAt", "s", graph.constant("zero", np.array(0, np.int64)), out="t")
        graph.op("Add", "t", graph.conv("x", "b"), out="u")
        graph.op("Mul", "u", graph.op("SequenceAt", "s", "zero", out="v") if twice else "u", out="y")
        network = graph.network("y")
        alpha = without(network, "B")
        supernets: list[Supernet] = []

        def fallback(made: Network, wanted: Architecture, supernets: list[Supernet]) -> References:
            supernets.append(Supernet(made))
            return References(supernets[0].as_reference(wanted))

        asked = partial(fallback, network, alpha, supernets)
        checks = {check.name: check for check in verify(network, alpha, build(network, alpha), asked)}
        assert all(check.passed for check in checks.values())
        assert checks[REPLAYED].detail.startswith("not run: 's' is something other than") is twice
        assert len(supernets) == twice, "the supernet judges where the replay does not"
        assert (EQUAL in checks, OPTIMISED in checks) == (twice, not twice)


def test_a_difference_that_onnxruntimes_optimisations_make_is_left_to_the_supernet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = parse(dense())
    alpha = without(network, "A")
    model = build(network, alpha)
    monkeypatch.setattr(OutputsCheck, "is_proven", False)
    monkeypatch.setattr(OutputsCheck, "optimised", Verdict(False, "max relative difference 1.0e+00"))
    found = verify(network, alpha, model, lambda: References(Supernet(network).as_reference(alpha)))
    assert [check.name for check in found][-1] == EQUAL
    assert all(check.passed for check in found)


def test_without_edits_nothing_is_compared() -> None:
    network = parse(dense())

    def fallback() -> References:
        raise AssertionError("asked for the supernet")

    found = verify(network, network.architecture, network.model, fallback)
    assert (found[-1].name, found[-1].passed) == ("onnxruntime runs", True)


def test_concat_dies_with_the_last_member_that_has_channels() -> None:
    graph = Builder()
    bounds = [graph.constant(name, np.array([value])) for name, value in (("start", 0), ("end", 0), ("axis", 1))]
    graph.op("Slice", "x", *bounds, out="e")
    graph.op("Concat", "e", graph.conv("x", "a"), out="c", axis=1)
    graph.channels["c"] = 4
    graph.conv(graph.conv("c", "d"), "y")
    network = graph.network("y")
    alpha = apply_edits(network.architecture, [Edit("A", State.O, State.N), Edit("x->d", State.N, State.S)])
    check = {check.name: check for check in verify(network, alpha, build(network, alpha))}[REPLAYED]
    assert check.passed, check.detail


def test_untouched_nodes_run_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are; behind a concat that lost a member, nodes run by themselves until a dense one."""
    graph = Builder()
    graph.op("Concat", graph.conv("x", "a", 3), graph.conv("x", "b", 5), out="c", axis=1)
    graph.channels["c"] = 8
    source = graph.conv("c", "d", 4)
    for i in range(50):
        graph.op("Add", graph.conv(source, f"e{i}"), source, out=f"f{i}")
        source = graph.op("Tanh", f"f{i}", out=f"g{i}")
        graph.channels[source] = 4
    graph.conv(source, "y")
    network = graph.network("y")
    alpha = apply_edits(network.architecture, [Edit("A", State.O, State.N), Edit("E7", State.O, State.S)])
    counts: list[int] = []
    whole = Source.part

    def counted(self: Source, positions: Sequence[int], outputs: Collection[str] | None = None) -> Part:
        counts.append(len(positions))
        return whole(self, positions, outputs)

    monkeypatch.setattr(Source, "part", counted)
    x = {"x": images(2, 4, 8)}
    assert_close(Replay(network, alpha)(x)["y"], runtime(build(network, alpha), x)["y"])
    assert sorted(counts)[-2:] == [21, 128]
    assert len(counts) == 4


def test_the_replay_runs_once_a_sample_in_one_session_for_all_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    network = parse(dense())
    alpha = without(network, "A")
    calls: list[int] = []
    opened: list[object] = []
    replay = Replay.__call__

    def counted(self: Replay, inputs: Mapping[str, np.ndarray], names: Sequence[str] | None = None) -> object:
        calls.append(len(inputs["x"]))
        return replay(self, inputs, names)

    def noted(model: onnx.ModelProto, **options: object) -> object:
        opened.append(model.graph.name)
        return session(model, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(OutputsCheck, "is_proven", False)
    monkeypatch.setattr(Replay, "__call__", counted)
    monkeypatch.setattr(part, "session", noted)
    found = verify(network, alpha, build(network, alpha), lambda: References(Supernet(network).as_reference(alpha)))
    assert [check.name for check in found][-2:] == [REPLAYED, OPTIMISED]
    assert calls == [1, 3]
    assert len(opened) == 4, "the convolution that stays, its join's readers, and the last one; for both batches"


def test_sizes_that_onnxruntime_must_know_are_given() -> None:
    """It refuses a Resize to computed sizes of which it does not even know how many there are."""
    graph = Builder()
    graph.op("Shape", graph.conv("x", "a"), out="s")
    graph.op("Resize", graph.conv("x", "b"), "", "", "s", out="r")
    graph.op("Add", "r", "a", out="y")
    source = Source(graph.model("y"), None, [], {})
    made = source.part([i for i, node in enumerate(source.model.graph.node) if node.op_type == "Resize"])
    values: dict[str, np.ndarray] = {"b": images(2, 4, 8), "s": np.array([2, 4, 8, 8], np.int64)}
    np.testing.assert_array_equal(made.run(values)["r"], values["b"])


def test_a_corner_of_a_picture_tells_which_channels_depend_on_which() -> None:
    graph = Builder(6, 20)
    first = graph.op("Relu", graph.batchnorm("x", "n"), out="r")
    graph.op("Transpose", first, out="t", perm=[0, 1, 3, 2])
    graph.op("Slice", "t", *(graph.constant(f"k{i}", np.array([i])) for i in (14, 20, 2)), out="w")
    graph.channels["w"] = 6
    graph.conv("w", "y", 4)
    model = graph.model("y")
    source = Source(model, None, [], {})
    values = {"x": images(3, 6, 20)}
    gone = {"x": lost.Lost(1, np.array([True, False, False, True, False, False]))}
    for i, node in enumerate(model.graph.node[:-1]):
        made = source.part([i])
        values.update(made.run(values))
        output = node.output[0]
        found = lost.follow(made, values, gone, output, values[output])
        assert found is not None
        assert lost.equal(found, next(iter(gone.values()))), output
        gone = {output: found}
    dense_one = source.part([len(model.graph.node) - 1])
    assert lost.follow(dense_one, values, gone, "y", dense_one.run(values)["y"]) is None
