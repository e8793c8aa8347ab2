"""The payload of `natonnx inspect`."""

import json

import onnx
from onnx import TensorProto, helper

from natonnx.contract.inspect import inspection
from natonnx.frontend import parse
from tests.cli import tiny


def test_tensors_without_a_size_or_shape_are_null() -> None:
    model = tiny.model()
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[2].ClearField("dim_value")
    payload = inspection(parse(model), "somewhere.onnx")
    assert payload["model"]["inputs"] == [
        {"name": "image", "dtype": "float", "shape": ["batch", 1, None, 8], "batch_axis": 0}
    ]
    assert payload["cost"]["madds"] is None
    json.dumps(payload, allow_nan=False)


def test_weights_that_are_inputs_too_are_not_listed() -> None:
    """IR 3 wants every initializer among the inputs."""
    model = tiny.model()
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.dims))
    onnx.checker.check_model(model, full_check=True)
    payload = inspection(parse(model), "somewhere.onnx")
    assert [tensor["name"] for tensor in payload["model"]["inputs"]] == ["image"]
