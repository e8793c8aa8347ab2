"""A residual network of four blocks, with weights drawn at random, and coloured noise."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch

from natonnx.frontend import load
from natonnx.verbs.optimize.prepare import Prepared, prepare
from tools.benchmarks.bench_search.modules import resnet
from tools.upkeep.export import export

TRAIN, VALIDATION, TEST = 120, 60, 70


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("search")
    generator = np.random.default_rng(0)
    arrays: dict[str, npt.NDArray[Any]] = {}
    for part, count in {"train": TRAIN, "val": VALIDATION, "test": TEST}.items():
        labels = np.arange(count) % 10
        images = generator.standard_normal((count, 3, 16, 16)) + generator.permutation(10)[labels, None, None, None] / 3
        arrays |= {f"x_{part}": images.astype(np.float32), f"y_{part}": labels}
    np.savez(folder / "data.npz", allow_pickle=False, **arrays)
    torch.manual_seed(0)
    network = resnet(2, (4, 8))
    for name, values in network.state_dict().items():
        if "norm" in name and values.is_floating_point():  # the exporter would make one of equal ones
            values.uniform_(0.5, 1.5)
    model = export(network, [torch.zeros(2, 3, 16, 16)], "script", 17, keep_norm=True)
    path = folder / "model.onnx"
    onnx.save(model, path)
    return prepare(load(path), str(folder / "data.npz"), device="cpu")
