"""A model of more than 2 GiB, which no protobuf message can hold: read, copied bit for bit, edited, run."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import natonnx
from natonnx.architecture import Edit, State
from tests import external

pytestmark = pytest.mark.slow

WIDTH, INNER, BLOCKS = 4096, 16384, 4
NEEDED = 10 * 2**30


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Path]:
    """Four residual blocks of two products each and two more products behind, 2.125 GiB; the file has holes for zeros.

    Each weight starts with 64 random values a row of its first dimension, so that the products are not trivial.
    """
    if shutil.disk_usage(tmp_path).free < NEEDED:
        pytest.skip("needs 10 GB of free disk")
    if available_memory() < NEEDED:
        pytest.skip("needs 10 GB of free memory")
    weights: dict[str, tuple[int, int]] = {}
    nodes, last = [], "x"

    def product(source: str, name: str, *shape: int) -> str:
        weights[f"{name}.w"] = (shape[0], shape[1])
        nodes.append(helper.make_node("MatMul", [source, f"{name}.w"], [name], name))
        return name

    def relu(source: str) -> str:
        nodes.append(helper.make_node("Relu", [source], [f"{source}.relu"], f"{source}.relu"))
        return f"{source}.relu"

    for i in range(BLOCKS):
        end = product(relu(product(last, f"up{i}", WIDTH, INNER)), f"down{i}", INNER, WIDTH)
        nodes.append(helper.make_node("Add", [end, last], [f"sum{i}"], f"sum{i}"))
        last = f"sum{i}"
    product(relu(product(last, "first", WIDTH, WIDTH)), "second", WIDTH, WIDTH)
    generator, initializers, offset = np.random.default_rng(0), [], 0
    with (tmp_path / "large.onnx.data").open("wb") as file:
        for name, shape in weights.items():
            length = 4 * shape[0] * shape[1]
            values = np.zeros((), np.float32)
            tensor = external.tensor(values, "large.onnx.data", offset=offset, length=length)
            tensor.name = name
            tensor.dims.extend(shape)
            initializers.append(tensor)
            file.seek(offset)
            file.write((0.05 * generator.standard_normal(64 * shape[0])).astype(np.float32).tobytes())
            offset += length
        file.truncate(offset)
    assert offset > 2**31
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", WIDTH]) for name in ("x", "second")]
    graph = helper.make_graph(nodes, "large", infos[:1], infos[1:], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (tmp_path / "large.onnx").write_bytes(model.SerializeToString())
    yield tmp_path / "large.onnx"
    shutil.rmtree(tmp_path)


def available_memory() -> int:
    """Bytes, as Linux counts them; 0 elsewhere."""
    table = Path("/proc/meminfo")
    lines = table.read_text(encoding="ascii").splitlines() if table.exists() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), 0)


def by_path(path: Path, x: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def test_more_than_2_gib(large: Path) -> None:
    inspected = natonnx.inspect(large)
    assert 4 * inspected["cost"]["params"] > 2**31
    x = np.random.default_rng(1).standard_normal((2, WIDTH)).astype(np.float32)
    given = by_path(large, x)

    copy = large.parent / "out" / "copy.onnx"
    copy.parent.mkdir()
    _, checks = natonnx.apply(large, [], copy)
    assert "onnxruntime runs" in {check.name for check in checks}
    assert copy.read_bytes() == large.read_bytes()
    np.testing.assert_array_equal(by_path(copy, x), given)
    shutil.rmtree(copy.parent)

    output, checks = natonnx.apply(large, [Edit("first", State.O, State.S)])
    assert "equals the input, edited node by node" in {check.name for check in checks}
    data = large.parent / "large.nat.onnx.data"
    assert data.stat().st_size == large.with_name("large.onnx.data").stat().st_size - 4 * WIDTH * WIDTH
    onnx.checker.check_model(str(output), full_check=True)
    result = by_path(output, x)
    assert not np.array_equal(result, given)
    large.with_name("large.onnx.data").unlink()
    np.testing.assert_array_equal(by_path(output, x), result)
