import numpy as np
import pytest
import torch

from natonnx.architecture import Cost, cost
from natonnx.frontend import default_opset, parse
from natonnx.session import run, session
from tools.conformance.paper.count import count
from tools.conformance.wild.catalog import darts_model
from tools.conformance.wild.torch_models import MODELS, Example, torch_model
from tools.upkeep.export import Exporter, export


def build(name: str) -> Example:
    return darts_model() if name == "darts" else torch_model(name)


def accept(name: str, exporter: Exporter, opset: int, *, keep_norm: bool = False) -> int:
    model, inputs = build(name)
    proto = export(model, inputs, exporter, opset, keep_norm=keep_norm)
    runtime = session(proto)
    has_norm = any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())
    kept = any(node.op_type == "BatchNormalization" for node in proto.graph.node)
    assert kept == (has_norm and (keep_norm or name == "darts"))  # DARTS has some behind a Concat
    for batch in (2, 1):
        part = tuple(value[:batch] for value in inputs)
        with torch.no_grad():
            expected = model(*part).numpy()
        found = run(runtime, {f"x{i}": value.numpy() for i, value in enumerate(part)})["y"]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    return default_opset(proto) or 0


@pytest.mark.parametrize("name", [*MODELS, "darts"])
def test_script_exports_equal_torch(name: str) -> None:
    assert accept(name, "script", 17) == 17


@pytest.mark.parametrize("exporter", ["script", "dynamo"])
def test_norms_can_be_kept(exporter: Exporter) -> None:
    if exporter == "dynamo":
        pytest.importorskip("onnxscript")
    accept("mobilenetv2", exporter, 18, keep_norm=True)


@pytest.mark.parametrize("name", ["resnet", *(pytest.param(n, marks=pytest.mark.slow) for n in (*MODELS, "darts"))])
def test_dynamo_exports_equal_torch(name: str) -> None:
    pytest.importorskip("onnxscript")
    assert accept(name, "dynamo", 18) == 18


@pytest.mark.parametrize("keep_norm", [False, True])
@pytest.mark.parametrize("name", ["vgg", "resnet", "resnet-bottleneck", "mobilenetv2", "darts"])
def test_costs_are_those_of_torch(name: str, *, keep_norm: bool) -> None:
    model, inputs = build(name)
    proto = export(model, inputs, "script", 17, keep_norm=keep_norm)
    assert cost(parse(proto).architecture) == Cost(*count(model, inputs, folded=not keep_norm))


@pytest.mark.parametrize("opset", [13, 14, 17, 20])
@pytest.mark.parametrize("name", ["vit", "bert", "lstm"])
def test_multiply_adds_are_those_of_torch(name: str, opset: int) -> None:
    model, inputs = build(name)
    proto = export(model, inputs, "script", opset)
    assert cost(parse(proto).architecture).madds == count(model, inputs, folded=False).madds
