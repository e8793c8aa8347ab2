import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from natonnx.session import run, session
from tools.conformance.wild.light import LIGHT, light_model


@pytest.mark.parametrize(
    "name", ["squeezenet", "shufflenet", *(pytest.param(n, marks=pytest.mark.slow) for n in LIGHT)]
)
def test_weights_are_random_and_activations_healthy(name: str) -> None:
    model = light_model(name)
    onnx.checker.check_model(model, full_check=True)
    assert [info.name for info in model.graph.input] in (["data_0"], ["gpu_0/data_0"])
    assert not any(node.op_type == "ConstantOfShape" for node in model.graph.node)
    values = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    floats = [value for value in values if value.dtype == np.float32]
    plain = [value for value in floats if len(np.unique(value)) <= min(value.size, 10) / 2]
    assert len(plain) < 0.1 * len(floats)  # a few scales and shifts have values of their own in the files
    generator = np.random.default_rng(1)
    runtime, name = session(model), model.graph.input[0].name
    one, other = (
        next(iter(run(runtime, {name: generator.standard_normal((1, 3, 224, 224), np.float32)}).values()))
        for _ in range(2)
    )
    assert np.isfinite(one).all()
    assert one.max() < 0.9 or one.min() < 0  # no saturated Softmax
    assert np.abs(one - other).max() > 1e-3 * np.abs(one).max()


def test_the_seed_decides() -> None:
    assert light_model("squeezenet", 1) == light_model("squeezenet", 1) != light_model("squeezenet", 2)
