"""The networks have the costs and the spaces that the tables are about."""

from pathlib import Path

import onnx
import pytest
import torch

from natonnx.architecture import cost, legal_transitions
from natonnx.frontend import ParseOptions, load
from tools.benchmarks.bench_search.networks import NETWORKS, choose
from tools.upkeep.export import export

# name: (multiply-adds, parameters, legal transitions at least)
EXPECTED = {
    "resnet20": (2_578_752, 68_786, 90),
    "resnet56": (3_093_960, 84_725, 270),
    "vgg": (3_401_184, 96_094, 50),
    "mobilenetv2": (None, None, 100),
    "darts": (None, None, 200),
    "densenet": (None, None, 200),
    "vit": (None, None, 60),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_size_of_network_and_space(name: str, tmp_path: Path) -> None:
    network = NETWORKS[name]
    assert network.build is not None
    module = network.build()
    for values in module.state_dict().values():
        if values.is_floating_point() and values.ndim == 1:  # the exporter would make one of equal ones
            values.uniform_(0.5, 1.5)
    model = export(module, [torch.zeros(2, 3, 32, 32)], "script", 17, keep_norm=True)
    onnx.save(model, tmp_path / "model.onnx")
    beta = load(tmp_path / "model.onnx", ParseOptions(granularity=network.granularity)).network.architecture
    madds, parameters, transitions = EXPECTED[name]
    found = cost(beta)
    assert found.madds is not None
    assert madds in (None, found.madds)
    assert parameters in (None, found.params)
    assert found.madds < 3_500_000
    assert sum(why is None for verdict in legal_transitions(beta) for why in verdict.values()) >= transitions


def test_models_that_are_there_are_not_trained(tmp_path: Path) -> None:
    network = NETWORKS["fashion-vgg"]
    path = network.model(tmp_path, None)
    assert path.exists()
    assert not list(tmp_path.iterdir())
    assert network.data == "Fashion-MNIST"
    assert [each.name for each in choose("vgg,fashion-vgg")] == ["vgg", "fashion-vgg"]
