"""Weights that are drawn anew, against what torch's own layers draw."""

import copy

import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from scipy.stats import ks_2samp
from torch import Tensor, nn

from natonnx.frontend import parse
from natonnx.frontend.vocabulary import TRAINABLE
from natonnx.supernet import Supernet, initial_weights
from natonnx.supernet.initialise import _SCHEMES
from tests.search.conftest import tiny_model
from tests.supernet.oracle import array
from tools.upkeep.export import export

LEAST = 1e-4
"""A probability below which two samples are not of one distribution; the seeds are fixed."""


class Last(nn.Module):
    """What a recurrent layer returns first."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.inner(x)[0]
        return found


LAYERS = {
    "conv": (nn.Conv2d(6, 40, 3), (2, 6, 8, 8)),
    "grouped": (nn.Conv2d(8, 64, 5, groups=8), (2, 8, 8, 8)),
    "transposed": (nn.ConvTranspose2d(6, 40, 3), (2, 6, 8, 8)),
    "dense": (nn.Linear(50, 30), (2, 50)),
    "product": (nn.Linear(50, 30, bias=False), (2, 3, 50)),
    "batch norm": (nn.Sequential(nn.Conv2d(6, 8, 1, bias=False), nn.BatchNorm2d(8)), (2, 6, 4, 4)),
    "layer norm": (nn.LayerNorm(8), (2, 3, 8)),
    "prelu": (nn.PReLU(8), (2, 8, 4, 4)),
    "lstm": (Last(nn.LSTM(12, 20)), (5, 2, 12)),
    "gru": (Last(nn.GRU(12, 20, bidirectional=True)), (5, 2, 12)),
}


def fresh(layer: nn.Module) -> nn.Module:
    """The layer with the weights that torch draws."""
    for module in layer.modules():
        if callable(reset := getattr(module, "reset_parameters", None)):
            reset()
    return layer


def exported(layer: nn.Module, shape: tuple[int, ...]) -> onnx.ModelProto:
    """The layer as a file, by weights that are all different: the exporter makes one of equal ones."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        for value in layer.state_dict().values():
            if value.is_floating_point():
                value.uniform_(2, 3)
        return export(layer, [torch.randn(shape)], "script", 17, keep_norm=True)


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_is_drawn_as_torch_draws_it(name: str) -> None:
    """All numbers of a layer that are drawn from one distribution have the same bounds and the same distribution."""
    layer, shape = LAYERS[name]
    supernet = Supernet(parse(exported(layer, shape)))
    found = [initial_weights(supernet, seed) for seed in range(20)]
    assert found[0].keys() == supernet.named_tensors().keys()
    drawn = torch.cat([value.flatten() for weights in found for value in weights.values()])
    with torch.random.fork_rng():
        torch.manual_seed(1)
        states = [{**fresh(copy.deepcopy(layer)).state_dict()} for _ in range(20)]
    expected = torch.cat([value.flatten() for state in states for value in state.values() if value.is_floating_point()])
    assert drawn.numel() == expected.numel()
    assert float(drawn.abs().max()) == pytest.approx(float(expected.abs().max()), rel=0.05)
    assert float(drawn.var()) == pytest.approx(float(expected.var()), rel=0.05)
    assert ks_2samp(drawn.numpy(), expected.numpy()).pvalue > LEAST


def test_each_weight_has_the_bound_of_its_own_fan_in() -> None:
    """Not only all of them together: ± 1/√(6·9) and the like, as torch's documentation has it."""
    supernet = Supernet(parse(tiny_model(width=8)))
    drawn = initial_weights(supernet, 0)
    for name, fan_in in {"stem": 9, "first": 72, "second": 72, "last": 72, "dense": 16}.items():
        for part in ("weight", "bias"):
            value = drawn.get(f"{name}.{part}")
            if value is not None:
                assert value.abs().max() <= fan_in**-0.5
                assert value.numel() < 16 or value.abs().max() > 0.8 * fan_in**-0.5


def test_statistics_begin_anew() -> None:
    layer, shape = LAYERS["batch norm"]
    model = exported(layer, shape)
    drawn = initial_weights(Supernet(parse(model)), 0)
    (norm,) = (node for node in model.graph.node if node.op_type == "BatchNormalization")
    scale, shift, mean, variance = (drawn[name] for name in norm.input[1:])
    assert scale.eq(1).all()
    assert variance.eq(1).all()
    assert shift.eq(0).all()
    assert mean.eq(0).all()


def test_a_table_of_vectors_is_normal() -> None:
    layer = nn.Embedding(300, 20)
    model = export(layer, [torch.zeros(2, 3, dtype=torch.long)], "script", 17)
    (drawn,) = initial_weights(Supernet(parse(model)), 0).values()
    assert drawn.shape == (300, 20)
    assert abs(float(drawn.mean())) < 0.05
    assert float(drawn.std()) == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize(("kind", "value"), [("Add", 0.0), ("Sub", 0.0), ("Mul", 1.0), ("Div", 1.0)])
def test_elementwise_parameters_change_nothing_at_first(kind: str, value: float) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node(kind, ["y", "b"], ["z"]),
    ]
    tensors = [numpy_helper.from_array(array(4, 4), "w"), numpy_helper.from_array(array(4) + 3, "b")]
    infos = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 4]) for name in "xz"]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert initial_weights(Supernet(parse(model)), 0)["b"].eq(value).all()


def test_the_seed_alone_matters() -> None:
    supernet = Supernet(parse(tiny_model()))
    first, again, other = (initial_weights(supernet, seed) for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["first.weight"], other["first.weight"])
    assert not torch.equal(first["first.weight"], first["second.weight"])
    assert not torch.equal(first["first.weight"], supernet.named_tensors()["first.weight"])


def test_every_operator_whose_weights_are_trained_has_a_scheme() -> None:
    assert _SCHEMES.keys() == TRAINABLE.keys()
