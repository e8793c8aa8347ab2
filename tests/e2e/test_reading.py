"""`natonnx optimize` on what the other runs do not show: concats, a baked batch, frozen parts, whole branches."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from natonnx.session import run, session
from tests.cli import tiny
from tests.e2e.conftest import OPTIMIZE, Run, optimize

ANY = ("--max-drop", "100", "--seed", "1")


def joined() -> onnx.ModelProto:
    """stem → relu → concat of three branches → relu → mean → classes, of random weights; BatchNormalization kept."""
    generator = np.random.default_rng(0)
    weights = {
        "stem.w": generator.normal(0, 0.5, (6, 1, 3, 3)),
        **{f"{name}.w": generator.normal(0, 0.2, (4, 6, 3, 3)) for name in "abc"},
        "scale": np.ones(12),
        "shift": np.zeros(12),
        "mean": np.zeros(12),
        "variance": np.ones(12),
        "head.w": generator.normal(0, 0.3, (tiny.CLASSES, 12)),
    }
    nodes = [
        helper.make_node("Conv", [tiny.INPUT, "stem.w"], ["stem"], "stem", pads=[1] * 4),
        helper.make_node("Relu", ["stem"], ["x"], "stem.relu"),
        *(helper.make_node("Conv", ["x", f"{name}.w"], [name], name, pads=[1] * 4) for name in "abc"),
        helper.make_node("Concat", ["a", "b", "c"], ["joined"], "join", axis=1),
        helper.make_node("BatchNormalization", ["joined", "scale", "shift", "mean", "variance"], ["normed"], "norm"),
        helper.make_node("Relu", ["normed"], ["z"], "relu"),
        helper.make_node("GlobalAveragePool", ["z"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flat"),
        helper.make_node("Gemm", ["flat", "head.w"], ["scores"], "head", transB=1),
    ]
    image = onnx.load_from_string(tiny.model_bytes()).graph.input[0]
    graph = helper.make_graph(
        nodes,
        "joined",
        [image],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", tiny.CLASSES])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def weights(path: Path) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


def passed(finished: Run) -> None:
    assert finished.code == 0
    assert all(check["passed"] for check in finished.report["checks"])


def test_a_concat_loses_members_and_their_channels(folder: Path) -> None:
    onnx.save(joined(), folder / "model.onnx")
    finished = optimize(folder, *OPTIMIZE, *ANY, "--target-madds", "0.6", "--force")  # it guesses
    passed(finished)
    report, found = finished.report, weights(finished.output)
    assert report["output"]["madds"] <= 0.6 * report["input"]["madds"]
    assert report["output"]["params"] < report["input"]["params"]
    channels = len(found["scale"])
    assert channels < 12
    assert {found[name].shape for name in ("scale", "shift", "mean", "variance")} == {(channels,)}
    assert found["head.w"].shape == (tiny.CLASSES, channels)
    assert not np.array_equal(found["variance"], np.ones(channels)), "statistics of what is left were not trained"


def test_a_baked_batch_is_freed_on_demand(folder: Path) -> None:
    onnx.save(tiny.model(batch=1), folder / "model.onnx")
    code, _, stderr = tiny.natonnx(*OPTIMIZE, *ANY, "-o", "one.onnx", cwd=folder)
    assert code in (0, 1), stderr
    assert "samples run piece by piece; --free-batch is faster" in stderr
    finished = optimize(folder, *OPTIMIZE, *ANY, "--target-madds", "0.9", "--free-batch")
    passed(finished)
    model = onnx.load(finished.output)
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    images = np.zeros((5, *shape[1:]), np.float32)
    assert run(session(model), {tiny.INPUT: images})["scores"].shape == (5, tiny.CLASSES)


def test_what_is_frozen_is_neither_changed_nor_trained(folder: Path) -> None:
    finished = optimize(folder, *OPTIMIZE, *ANY, "--target-madds", "0.9", "--freeze-outputs-of", "stem.relu")
    passed(finished)
    before, after = weights(folder / "model.onnx"), weights(finished.output)
    assert np.array_equal(before["stem.weight"], after["stem.weight"])
    assert np.array_equal(before["stem.bias"], after["stem.bias"])
    assert not np.array_equal(before["head.weight"], after["head.weight"])


@pytest.mark.parametrize("granularity", ["branch", "auto"])
def test_a_branch_goes_as_a_whole(folder: Path, granularity: str) -> None:
    finished = optimize(folder, *OPTIMIZE, *ANY, "--target-madds", "0.5", "--granularity", granularity)
    passed(finished)
    names = {edit["edge"] for edit in finished.report["edits"]}
    if granularity == "branch":
        assert "one..two" in names
        assert not {"one.weight", "two.weight"} & weights(finished.output).keys()
