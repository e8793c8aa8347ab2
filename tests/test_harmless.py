"""Which models are read without a worker process, and that what is not is stopped in time."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from natonnx.errors import InputError
from natonnx.frontend import load
from natonnx.harmless import is_harmless
from natonnx.session import run, session
from natonnx.supernet import Supernet
from natonnx.verbs.apply import apply
from natonnx.verbs.bench import benchmark
from natonnx.verbs.diff.diff import diff
from natonnx.verbs.model_comparison import Conditions
from tests.cli import tiny

node = helper.make_node


def build(
    *nodes: onnx.NodeProto, sizes: Sequence[int | str] = ("n", 4, 8, 8), constants: dict[str, object] | None = None
) -> onnx.ModelProto:
    """Build a model from x to y, with integer constants."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)],
        [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def doubled(kind: str, start: str, times: int, **attributes: Any) -> tuple[list[onnx.NodeProto], str]:
    nodes = []
    for i in range(times):
        nodes.append(node(kind, [start, start], [f"t{i}"], **attributes))
        start = f"t{i}"
    return nodes, start


def ellipsis() -> onnx.ModelProto:
    return build(node("Einsum", ["x"], ["y"], equation="....,->..."))


def large_constant() -> onnx.ModelProto:
    nodes = [node("ConstantOfShape", ["n"], ["k"]), node("Cast", ["k"], ["i"], to=TensorProto.INT64)]
    return build(*nodes, node("Reshape", ["x", "i"], ["y"]), constants={"n": [1 << 33]})


def long_target() -> onnx.ModelProto:
    value = helper.make_tensor("v", TensorProto.INT64, [1], [1])
    made = node("ConstantOfShape", ["n"], ["k"], value=value)
    return build(made, node("Reshape", ["x", "k"], ["y"]), constants={"n": [1 << 26]})


def doubled_target() -> onnx.ModelProto:
    nodes, last = doubled("Concat", "k", 34, axis=0)
    return build(*nodes, node("Reshape", ["x", last], ["y"]), constants={"k": [1, 1]})


def doubled_rank() -> onnx.ModelProto:
    nodes, last = doubled("Gather", "k", 34, axis=0)
    return build(*nodes, node("Reshape", ["x", last], ["y"]), constants={"k": [[0, 0], [0, 0]]})


def endless_loop() -> onnx.ModelProto:
    info = helper.make_tensor_value_info
    inputs = [info("i", TensorProto.INT64, []), info("c", TensorProto.BOOL, []), info("v", TensorProto.FLOAT, None)]
    outputs = [info("d", TensorProto.BOOL, []), info("w", TensorProto.FLOAT, None)]
    body = helper.make_graph([node("Identity", ["c"], ["d"]), node("Add", ["v", "v"], ["w"])], "b", inputs, outputs)
    return build(node("Loop", ["trip", "", "x"], ["y"], body=body), constants={"trip": 1 << 62})


def laughs() -> onnx.ModelProto:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
    functions = [helper.make_function("f", "f0", ["a"], ["b"], [node("Relu", ["a"], ["b"])], opsets)]
    for i in range(1, 40):
        twice = [node(f"f{i - 1}", ["a"], ["c"], domain="f"), node(f"f{i - 1}", ["c"], ["b"], domain="f")]
        functions.append(helper.make_function("f", f"f{i}", ["a"], ["b"], twice, opsets))
    model = build(node("f39", ["x"], ["y"], domain="f"))
    model.opset_import.append(opsets[1])
    model.functions.extend(functions)
    return model


def outer_product() -> onnx.ModelProto:
    nodes = [node("ConstantOfShape", ["a"], ["c"]), node("ConstantOfShape", ["b"], ["d"])]
    nodes += [node("MatMul", ["c", "d"], ["e"]), node("ReduceSum", ["e"], ["f"], keepdims=0)]
    return build(*nodes, node("Add", ["x", "f"], ["y"]), constants={"a": [1 << 17, 1], "b": [1, 1 << 17]})


def token(target: str = "t") -> list[onnx.NodeProto]:
    """Expand a constant to as many rows as there are samples, as the class token of a transformer is."""
    nodes = [node("Shape", ["x"], ["s"]), node("Gather", ["s", "zero"], ["n"]), node("Unsqueeze", ["n", "at"], ["r"])]
    nodes += [node("Concat", ["r", "rest", "rest"], ["t"], axis=0), node("Shape", ["t"], ["rank"])]
    ones = helper.make_tensor("v", TensorProto.INT64, [1], [1])
    nodes += [node("ConstantOfShape", ["rank"], ["f"], value=ones), node("Mul", ["f", "minus"], ["m"])]
    nodes += [node("Equal", ["t", "m"], ["e"]), node("Where", ["e", "f", "t"], ["w"])]
    return [*nodes, node("Expand", ["k", target], ["y"])]


SIZES: dict[str, object] = {"zero": 0, "at": [0], "rest": [-1], "minus": -1}


def expanding_twice() -> onnx.ModelProto:
    """What a constant is expanded to is the length of what the next one is."""
    nodes = [*token("w"), node("Shape", ["y"], ["s2"]), node("Gather", ["s2", "zero"], ["n2"])]
    nodes += [node("Unsqueeze", ["n2", "at"], ["r2"]), node("Concat", ["r2", "large"], ["t2"], axis=0)]
    nodes[-5].output[0] = "y1"
    nodes[-4].input[0] = "y1"
    return build(*nodes, node("Expand", ["k", "t2"], ["y"]), constants={**SIZES, "k": [[1] * 999], "large": [1 << 19]})


def squared() -> onnx.ModelProto:
    nodes = [node("Shape", ["x"], ["s"]), node("Gather", ["s", "zero"], ["n"]), node("Unsqueeze", ["n", "at"], ["r"])]
    nodes += [node("Concat", ["r", "r"], ["t"], axis=0), node("Expand", ["k", "t"], ["y"])]
    return build(*nodes, constants={**SIZES, "k": [[1]]})


HOSTILE: dict[str, Callable[[], onnx.ModelProto]] = {
    made.__name__: made
    for made in (
        *(ellipsis, large_constant, long_target, doubled_target, doubled_rank, endless_loop, laughs),
        *(expanding_twice, squared),
    )
} | {"outer_product": outer_product}


def test_plain_models_are_harmless() -> None:
    assert is_harmless(tiny.model())
    assert is_harmless(build(node("Reshape", ["x", "s"], ["y"]), constants={"s": [0, 4, 64, 1]}))
    for path in sorted((tiny.ROOT / "models").glob("*.onnx")):
        assert is_harmless(onnx.load(path))


def test_sizes_of_transformers_are_harmless() -> None:
    assert is_harmless(build(*token("w"), constants={**SIZES, "k": [[[1]]]}))
    shape = [node("Shape", ["x"], ["s"], start=0, end=2), node("Concat", ["s", "rest"], ["t"], axis=0)]
    assert is_harmless(build(*shape, node("Reshape", ["x", "t"], ["y"]), constants=SIZES))
    whole = [node("ReduceMean", ["x"], ["m"], axes=[1]), node("Shape", ["x"], ["s"])]
    assert is_harmless(build(*whole, node("Expand", ["m", "s"], ["y"])))
    count = [node("Shape", ["x"], ["s"]), node("Gather", ["s", "zero"], ["n"])]
    assert is_harmless(build(*count, node("Range", ["zero", "n", "one"], ["y"]), constants={**SIZES, "one": 1}))


@pytest.mark.parametrize("name", HOSTILE)
def test_what_cannot_be_told_is_not(name: str) -> None:
    assert not is_harmless(HOSTILE[name]())


@pytest.mark.parametrize(
    "model",
    [
        build(node("Reshape", ["x", "x"], ["y"])),
        build(node("Unsqueeze", ["x", "a"], ["y"]), constants={"a": list(range(100))}),
        build(node("Relu", ["x"], ["y"]), sizes=[1] * 100),
        build(node("LRN", ["x"], ["y"], size=1 << 30)),
        build(node("NonZero", ["x"], ["y"])),
        build(node("Whatever", ["x"], ["y"])),
        build(node("RandomNormal", [], ["y"], shape=[1, 1])),
        build(*doubled("Gather", "x", 9)[0], node("Relu", ["t8"], ["y"])),
    ],
)
def test_ranks_and_sizes_that_are_large_or_not_in_the_file_are_not(model: onnx.ModelProto) -> None:
    assert not is_harmless(model)


QUICK = ("ellipsis", "doubled_target", "endless_loop", "outer_product")
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in HOSTILE.keys() - {*QUICK}]


@pytest.mark.parametrize("name", [*QUICK, *sorted(SLOW, key=lambda own: str(own.values))])
def test_inspect_answers_with_what_it_knows_and_apply_refuses(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("natonnx.limits.SECONDS", 0.6)
    monkeypatch.setattr("natonnx.limits.MEMORY", 1 << 28)
    path = tmp_path / "model.onnx"
    path.write_bytes(HOSTILE[name]().SerializeToString())
    source = load(path)
    assert [fmap.name for fmap in source.network.architecture.topology.maps] == ["x", "y"]
    with pytest.raises(
        InputError, match=r"takes more than|is not tried|crashed|refuses the model|would have [\d,]+ numbers"
    ):
        apply(path, [], tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_a_tensor_out_of_all_proportion_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    nodes, last = doubled("Concat", "x", 32, axis=1)
    path.write_bytes(build(*nodes, node("Relu", [last], ["y"])).SerializeToString())
    with pytest.raises(InputError, match=r"tensor 't\d+' would have [\d,]+ numbers for a sample"):
        apply(path, [], tmp_path / "out.onnx")


def test_a_signal_is_heard_while_the_checker_hangs(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(ellipsis().SerializeToString())
    with subprocess.Popen(
        [sys.executable, "-m", "natonnx", "inspect", path],
        env=tiny.ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=tiny.heed_signals,  # noqa: PLW1509
    ) as process:
        time.sleep(1.5)
        process.terminate()
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert stderr == "natonnx: error: terminated\n"


def stored(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_bench_and_diff_run_nothing_out_of_proportion(tmp_path: Path) -> None:
    nodes = node("Expand", ["x", "s"], ["e"]), node("ReduceMax", ["e"], ["y"])
    path = stored(build(*nodes, constants={"s": [1 << 20, 4, 8, 8]}), tmp_path)
    said = r"model\.onnx: tensor 'e' would have 268,435,456 numbers for a sample.*NATONNX_LIMITS=10"
    with pytest.raises(InputError, match=said):
        benchmark([path], conditions=Conditions(seconds=0.1))
    assert re.search(said, diff(path, path)["outputs"]["reason"] or "")


def test_more_axes_than_numpy_takes(tmp_path: Path) -> None:
    path = stored(build(node("Relu", ["x"], ["y"]), sizes=[1] * 70), tmp_path)
    with pytest.raises(InputError, match=r"model\.onnx: tensor 'x' has 70 axes"):
        apply(path, [], tmp_path / "out.onnx")
    with pytest.raises(InputError, match=r"model\.onnx: input 'x' has 70 axes"):
        benchmark([path], conditions=Conditions(seconds=0.1))
    assert "input 'x' has 70 axes" in (diff(path, path)["outputs"]["reason"] or "")


def test_a_node_without_outputs_has_a_name(tmp_path: Path) -> None:
    model = build(node("Foo", ["x"], [], domain="foo"), node("Relu", ["x"], ["y"]))
    model.opset_import.add(domain="foo", version=1)
    path = stored(model, tmp_path)
    assert diff(path, path)["differs_in"] == []


def test_a_window_that_torch_does_not_take_is_onnxruntimes(tmp_path: Path) -> None:
    model = build(node("MaxPool", ["x"], ["y"], kernel_shape=[1 << 40] * 2, pads=[1 << 39] * 4))
    network = load(stored(model, tmp_path)).network
    x = np.random.default_rng(0).standard_normal((2, 4, 8, 8)).astype(np.float32)
    expected = run(session(model), {"x": x})["y"]
    np.testing.assert_array_equal(Supernet(network).run({"x": torch.from_numpy(x)})["y"].numpy(), expected)
