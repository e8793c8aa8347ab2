"""What holds of every refit: errors fall as reported, training starts from the same function, what is kept is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from natonnx.frontend import parse
from natonnx.search.refit import Refit
from natonnx.supernet import Supernet, unfold
from natonnx.supernet.plan import Step
from tests.rewrite.helpers import Builder, arrays, assert_close, copy, images, runtime, shipped_model
from tests.search.conftest import tiny_model, tiny_split
from tests.search.refit.helpers import ALL, edited, mean_square, refitted, tensors_of

if TYPE_CHECKING:
    from natonnx.frontend import Network


def chain() -> Builder:
    """Five convolutions, each behind a ReLU; one is residual."""
    graph = Builder(channels=4, size=8)
    graph.conv("x", "a", 6, kernel=3, bias=True)
    graph.conv(graph.op("Relu", "a", out="ra"), "b", 6, kernel=3, bias=True)
    graph.conv(graph.op("Relu", "b", out="rb"), "c", 6, kernel=3)
    graph.op("Add", graph.batchnorm("c", "nc"), "rb", out="s")
    graph.conv(graph.op("Relu", "s", out="rs"), "d", 8, kernel=3, stride=2, bias=True)
    graph.op("Flatten", graph.op("Relu", "d", out="rd"), out="flat")
    graph.op("Gemm", "flat", graph.weight("y.w", 3, 128), graph.weight("y.b", 3), out="y", transB=1)
    return graph


def test_errors_are_those_of_the_files() -> None:
    """Each fit's errors, by the files of the weights up to it: in onnxruntime, over all positions of all samples."""
    network = chain().network("y")
    alpha, x = edited(network, B="S"), {"x": images(24, 4, 8)}
    weights, fits = refitted(network, alpha, x, parts=3)
    assert [fit.tensor for fit in fits] == ["s", "d", "y"]
    owned = {"s": ("c.", "nc."), "d": ("d.",), "y": ("y.",)}
    assert {name for name in weights if name.startswith(sum(owned.values(), ()))} == weights.keys()
    wanted = tensors_of(network, network.architecture, {}, x, *owned)
    so_far: dict[str, np.ndarray] = {}
    for fit in fits:
        for expected in (fit.before, fit.after):
            found = tensors_of(network, alpha, so_far, x, fit.tensor)[fit.tensor]
            assert mean_square(found, wanted[fit.tensor]) == pytest.approx(expected, rel=1e-3)
            so_far |= {name: value for name, value in weights.items() if name.startswith(owned[fit.tensor])}


def test_training_starts_from_the_same_function() -> None:
    split = {"image": torch.from_numpy(tiny_split(120, 1).inputs["image"])}
    network = unfold(parse(tiny_model()), [split]).network
    alpha = edited(network, second="N")
    weights, fits = refitted(network, alpha, {"image": split["image"].numpy()}, parts=2)
    assert "last.weight" in weights
    assert "last.out/natonnx_variance" in weights
    assert [fit.tensor for fit in fits] == ["last.out", "logits"]
    supernet = Supernet(network)
    supernet.load_weights(weights)
    evaluated = supernet.eval().run(split, alpha)["logits"]
    trained = supernet.train().run(split, alpha, momentum=0.0)["logits"]
    assert_close(trained.detach().numpy(), evaluated.detach().numpy(), 0.01)
    given = Supernet(network)
    stale = given.train().run(split, alpha, momentum=0.0)["logits"] - given.eval().run(split, alpha)["logits"]
    assert (trained - evaluated).abs().max() < 0.1 * stale.abs().max()


@pytest.mark.parametrize("name", ["resnet20", "mobilenetv2"])
def test_a_shipped_model_gains(name: str) -> None:
    """Much of what a dropped block did comes back, on pictures that were not looked at too."""
    network = parse(shipped_model(name))
    alpha = edited(network, **{_dropped(network): "N"})
    x, held_out = {"image": images(32, 1, 28)}, {"image": images(32, 1, 28, seed=1)}
    weights, _ = refitted(network, alpha, x, rows=2048)
    for inputs in (x, held_out):
        (wanted,) = runtime(network.model, inputs).values()
        (plain,), (found,) = (tensors_of(network, alpha, own, inputs).values() for own in ({}, weights))
        assert mean_square(found, wanted) < 0.3 * mean_square(plain, wanted)


def _dropped(network: Network) -> str:
    """An operator that feeds a sum, at a residual block's end."""
    topology, states = network.architecture.topology, network.architecture.states
    joined = {fmap.name for fmap in topology.maps if fmap.join == "sum"}
    found = [
        edge.name for edge, state in zip(topology.edges, states, strict=True) if edge.target in joined and state == "O"
    ]
    return found[len(found) // 2]


def test_is_the_same_every_time_and_for_beta_nothing() -> None:
    network = chain().network("y")
    x = {"x": torch.from_numpy(images(24, 4, 8))}
    alphas = [edited(network, B="S"), edited(network, **{"rb->rs": "N"})]
    runs = [Refit(Supernet(network), [x], rows=200, seed=seed) for seed in (0, 0, 1)]
    assert runs[0].run(network.architecture) == ({}, ())
    for alpha in alphas:
        first, again, other = (one.run(alpha) for one in runs)
        assert first[1] == again[1] != other[1]
        assert all(torch.equal(first[0][name], again[0][name]) for name in first[0])
    kept, _ = runs[0].run(alphas[0])  # what is kept from other look-ups changes nothing
    fresh, _ = Refit(Supernet(network), [x], rows=200).run(alphas[0])
    assert all(torch.equal(kept[name], fresh[name]) for name in fresh)


@pytest.mark.parametrize("largest", [1280, 10])
def test_parts_of_the_samples_are_as_all_of_them(largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never more than may be held run at once; what comes out differs by rounding alone, by how kernels divide work."""
    network, sizes = chain().network("y"), set[int]()
    alpha = edited(network, B="S", **{"rb->rs": "N"})
    batches = [{"x": torch.from_numpy(images(count, 4, 8))} for count in (24, 17)]
    call = Step.call

    def watched(step: Step, values: Any, momentum: float = 0.1) -> Any:
        made = call(step, values, momentum=momentum)
        sizes.update(len(value) for value in made.values())
        return made

    monkeypatch.setattr(Step, "call", watched)
    whole, parts = (Refit(Supernet(network), batches, rows=300, largest=largest, held=held) for held in (41, 7))
    wanted, fits = whole.run(alpha)
    assert max(sizes) == 24
    sizes.clear()
    weights, again = parts.run(alpha)
    assert max(sizes) == 7
    assert [fit.tensor for fit in again] == [fit.tensor for fit in fits]
    assert weights.keys() == wanted.keys()
    for name, value in weights.items():
        torch.testing.assert_close(value, wanted[name], rtol=1e-3, atol=1e-5)


def test_the_default_ridge_goes_with_one_over_the_samples() -> None:
    network = chain().network("y")
    alpha, x = edited(network, B="S"), {"x": images(20, 4, 8)}
    default, explicit = refitted(network, alpha, x, parts=2), refitted(network, alpha, x, parts=2, ridge=0.125)
    assert default[1] == explicit[1]


def test_more_positions_are_looked_at_in_larger_batches() -> None:
    """A last batch of one sample counts as one sample: errors are near those of all positions."""
    network = chain().network("y")
    alpha, x = edited(network, B="S"), torch.from_numpy(images(41, 4, 8))
    batches = [{"x": x[:40]}, {"x": 100 * x[40:]}]
    (_, few), (_, every) = (Refit(Supernet(network), batches, rows=rows).run(alpha) for rows in (800, ALL))
    assert few[0].before == pytest.approx(every[0].before, rel=0.5)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_no_numbers_leave_the_weights(wrong: float) -> None:
    network = chain().network("y")
    x = images(24, 4, 8)
    x[5, 2, 3, 3] = wrong
    assert refitted(network, edited(network, B="S"), {"x": x}) == ({}, ())


def test_a_constant_input_is_no_trouble() -> None:
    network = chain().network("y")
    x = {"x": np.ones((8, 4, 8, 8), np.float32)}
    alpha = edited(network, B="S")
    weights, _ = refitted(network, alpha, x)
    assert mean_square(
        tensors_of(network, alpha, weights, x)["y"], runtime(network.model, x)["y"]
    ) < 1e-2 * mean_square(tensors_of(network, alpha, {}, x)["y"], runtime(network.model, x)["y"])
    given = arrays(network.model)
    assert all(np.abs(value).max() < 100 * np.abs(given[name]).max() for name, value in weights.items() if ".w" in name)


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="calibration"):
        Refit(Supernet(chain().network("y")), [])


def test_what_is_not_its_own_stays() -> None:
    """Weights of several nodes, of nodes that are kept, and weights that nodes make of whole numbers."""
    graph = Builder(channels=4, size=6)
    graph.conv(graph.op("Relu", graph.conv("x", "a", 4), out="ra"), "b", 4, kernel=3)
    for out in ("c", "d"):
        graph.op("Conv", {"c": "b", "d": "rc"}[out], "shared", out=out)
        graph.channels[out] = 4
        graph.op("Relu", out, out=f"r{out}")
    graph.weight("shared", 4, 4, 1, 1)
    graph.conv("rd", "e", 4, kernel=3, bias=True)
    graph.op("Cast", graph.constant("source", np.eye(4, dtype=np.int8)[..., None, None]), out="made", to=1)
    graph.op("Conv", graph.op("Relu", "e", out="re"), "made", out="f")
    graph.channels["f"] = 4
    graph.conv(graph.op("Relu", "f", out="rf"), "y", 3)
    x = {"x": images(12, 4, 6)}
    network = graph.network("y")
    weights, fits = refitted(network, edited(network, B="S"), x)
    assert weights.keys() == {"e.w", "e.b", "y.w"}
    assert [fit.tensor for fit in fits] == ["e", "y"]
    graph = Builder(channels=4, size=6)
    graph.conv(graph.conv("x", "a", 4, bias=True), "y", 4)
    for frozen, expected in ((["A"], set()), ([], {"a.w", "a.b"})):
        network = parse(graph.model("y"), freeze_outputs_of=frozen)
        weights, _ = refitted(network, edited(network, Y="S"), x)
        assert set(weights) == expected


def test_an_output_within_an_operator_is_an_aim_of_its_own() -> None:
    """Where what stands before the bias is put out too, the bias is no part of the operator."""
    graph = Builder(channels=4, size=6)
    graph.conv(graph.op("Relu", graph.conv("x", "a", 4), out="ra"), "b", 4, kernel=3)
    graph.op("Add", graph.conv("b", "c", 4, kernel=3), graph.weight("y.b", 4, 1, 1), out="y")
    network, x = graph.network("y", "c"), {"x": images(12, 4, 6)}
    alpha = edited(network, B="S")
    weights, (fit,) = refitted(network, alpha, x)
    assert (fit.tensor, set(weights)) == ("c", {"c.w"})
    wanted, found = runtime(network.model, x)["c"], tensors_of(network, alpha, weights, x)["c"]
    assert mean_square(found, wanted) == pytest.approx(fit.after, rel=1e-3)


def test_a_batch_of_fixed_size() -> None:
    graph = Builder(channels=4, size=6, batch=4)
    graph.conv(graph.op("Relu", graph.conv("x", "a", 4), out="ra"), "b", 4, group=4)
    graph.conv("b", "y", 3, kernel=3)
    network, x = graph.network("y"), images(20, 4, 6)
    alpha = edited(network, B="S")
    weights, _ = refitted(network, alpha, {"x": x}, parts=5, ridge=0.0)
    for part in np.split(x, 5):
        wanted = runtime(network.model, {"x": part})["y"]
        assert_close(tensors_of(network, alpha, weights, {"x": part})["y"], wanted, 1e-3)


def test_half_precision() -> None:
    model = _half(chain().model("y"))
    network, x = parse(model), {"x": images(24, 4, 8).astype(np.float16)}
    alpha = edited(network, B="S")
    weights, fits = refitted(network, alpha, x)
    assert [fit.tensor for fit in fits] == ["s", "d", "y"]
    assert {value.dtype for value in weights.values()} == {np.dtype(np.float16)}
    wanted = runtime(model, x)["y"].astype("f4")
    plain, found = (tensors_of(network, alpha, own, x)["y"].astype("f4") for own in ({}, weights))
    assert mean_square(found, wanted) < 0.2 * mean_square(plain, wanted)


def _half(model: onnx.ModelProto) -> onnx.ModelProto:
    half = copy(model)
    for tensor in half.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    for info in (*half.graph.input, *half.graph.output):
        info.type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.checker.check_model(half, full_check=True)
    return half


def test_an_operator_that_onnxruntime_runs() -> None:
    """One that the op table lacks, between those that are fitted."""
    graph = Builder(channels=4, size=6)
    graph.conv(graph.op("Relu", graph.conv("x", "a", 4), out="ra"), "b", 4, group=4)
    node = helper.make_node("FusedConv", ["b", graph.weight("c.w", 4, 4, 1, 1)], ["c"], "C", domain="com.microsoft")
    node.attribute.append(helper.make_attribute("activation", "Relu"))
    graph.nodes.append(node)
    graph.channels["c"] = 4
    graph.conv("c", "y", 3)
    inferred = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, 6, 6])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "graph", [graph.input], [inferred], graph.initializers),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)],
        ir_version=8,
    )
    model.graph.value_info.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, ["n", 4, 6, 6]))
    network, x = parse(model), {"x": images(12, 4, 6)}
    assert Supernet(network).in_onnxruntime == ("FusedConv",)
    weights, fits = refitted(network, edited(network, B="S"), x)
    assert ([fit.tensor for fit in fits], set(weights)) == (["y"], {"y.w"})
