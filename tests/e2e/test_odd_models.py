"""Models and data that are not a classifier's: each is searched from end to end, or refused in one line."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.utils.data import DataLoader, TensorDataset

import natonnx
from natonnx import Settings
from natonnx.errors import InputError
from natonnx.search import Step
from tests.search.conftest import tiny_model, tiny_split

SETTINGS = Settings(lookups=4, finetune_epochs=1, target_madds=0.65, max_drop=100, finalists=1)


class Mean:
    """The mean output should be the label; what training makes small is left open."""

    def score(self, outputs: Mapping[str, torch.Tensor], targets: torch.Tensor) -> torch.Tensor:
        (value,) = outputs.values()
        return -(value.flatten(1).mean(1) - targets.float()).abs()


def data(dtype: type[Any] = np.int64, count: int = 60) -> dict[str, Any]:
    split = tiny_split(count, 0)
    assert split.targets is not None
    return {"image": split.inputs["image"], "labels": split.targets.astype(dtype)}


def change(
    nodes: Sequence[onnx.NodeProto], outputs: Mapping[str, tuple[Any, ...]], constants: Mapping[str, Any]
) -> onnx.ModelProto:
    """The tiny classifier with further nodes, and other outputs."""
    model = tiny_model()
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    del model.graph.output[:]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()]
    model.graph.output.extend(infos)
    return model


def regressor() -> onnx.ModelProto:
    """Six numbers in two axes, which are no class scores."""
    nodes = [
        helper.make_node("Unsqueeze", ["logits", "last"], ["column"]),
        helper.make_node("Mul", ["column", "pair"], ["values"]),
    ]
    constants = {"last": np.array([2]), "pair": np.ones((1, 1, 2), np.float32)}
    return change(nodes, {"values": ("batch", 3, 2)}, constants)


def with_batch(size: int, model: onnx.ModelProto) -> onnx.ModelProto:
    for info in (*model.graph.input, *model.graph.output):
        info.type.tensor_type.shape.dim[0].dim_value = size
    return model


def squeezing() -> onnx.ModelProto:
    """A convolution behind the mean over the image: one value a channel and sample."""
    model = tiny_model()
    generator = np.random.default_rng(0)
    for name, shape in {"squeeze.weight": (16, 16, 1, 1), "squeeze.bias": (16,)}.items():
        value = (0.2 * generator.standard_normal(shape)).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    (dense,) = (position for position, node in enumerate(model.graph.node) if node.name == "dense")
    model.graph.node[dense].input[0] = "flat"
    nodes = [
        helper.make_node("GlobalAveragePool", ["last.relu"], ["squeezed"]),
        helper.make_node("Conv", ["squeezed", "squeeze.weight", "squeeze.bias"], ["excited"], "squeeze"),
        helper.make_node("Flatten", ["excited"], ["flat"]),
    ]
    for offset, node in enumerate(nodes):
        model.graph.node.insert(dense + offset, node)
    return model


@pytest.fixture
def search(tmp_path: Path) -> Callable[..., natonnx.Result]:
    def run(model: onnx.ModelProto, samples: Any, **further: Any) -> natonnx.Result:
        onnx.save(model, tmp_path / "model.onnx")
        return natonnx.optimize(tmp_path / "model.onnx", samples, settings=SETTINGS, threads=1, force=True, **further)

    return run


@pytest.mark.parametrize(
    ("model", "samples"),
    [
        (regressor(), data()),
        (tiny_model(), data(np.float32)),
        (tiny_model(), data(np.int32)),
        (tiny_model(), {**data(), "labels": data()["labels"] + 100}),
    ],
)
def test_an_objective_without_a_loss_takes_any_labels(
    search: Callable[..., natonnx.Result], model: onnx.ModelProto, samples: Any
) -> None:
    """Training follows the labels where they are classes, else the original model."""
    report = search(model, samples, objective=Mean()).report
    assert report["objective"]["name"].endswith("Mean")
    assert report["input"]["score"]["validation"] is not None
    (row,) = report["front"]
    assert row["images"] == report["images"]["output"] == 36  # of 60 samples
    assert row["score"]["validation"] is not None


def test_several_labels_for_one_class_are_refused(search: Callable[..., natonnx.Result]) -> None:
    samples = data()
    with pytest.raises(InputError, match=r"labels are \[2\] a sample"):
        search(tiny_model(), {**samples, "labels": np.stack([samples["labels"]] * 2, 1)})


def test_labels_are_no_use_to_the_scores_of_the_best_few(search: Callable[..., natonnx.Result]) -> None:
    best = helper.make_node("TopK", ["logits", "two"], ["best", "which"])
    model = change([best], {"best": ("batch", 2)}, {"two": np.array([2])})
    samples = data()
    assert search(model, {**samples, "labels": samples["labels"] % 2}).report["objective"]["name"] == "agreement"


@pytest.mark.parametrize("batchnorm", ["auto", "unfold"])
@pytest.mark.parametrize(("size", "count"), [(1, 60), (32, 40)])
def test_a_fixed_batch_needs_neither_statistics_nor_as_many_samples(
    search: Callable[..., natonnx.Result], size: int, count: int, batchnorm: str
) -> None:
    """The parts of 40 samples have 24, 8 and 8; behind the mean over an image, one sample has no variance."""
    report = search(with_batch(size, squeezing()), data(count=count), batchnorm=batchnorm).report
    assert report["input"]["latency_ms"] is not None
    assert [row["images"] for row in report["front"]] == [0.6 * count]


def test_a_search_on_shuffled_batches_resumes(tmp_path: Path) -> None:
    onnx.save(tiny_model(), tmp_path / "model.onnx")
    split = tiny_split(80, 0)
    assert split.targets is not None
    tensors = TensorDataset(torch.from_numpy(split.inputs["image"]), torch.from_numpy(split.targets))
    loaders = DataLoader(tensors, batch_size=16, shuffle=True), DataLoader(tensors, batch_size=16)

    def stop(step: Step) -> None:
        if step.stage == "train" and step.done >= 96:
            raise KeyboardInterrupt

    settings = replace(SETTINGS, finetune_epochs=2)
    arguments = (tmp_path / "model.onnx", loaders, tmp_path / "out.onnx")
    with pytest.raises(KeyboardInterrupt):
        natonnx.optimize(*arguments, settings=settings, threads=1, force=True, progress=stop)
    trained: list[int] = []

    def hear(step: Step) -> None:
        if step.stage == "train":
            trained.append(step.done)

    result = natonnx.optimize(*arguments, settings=settings, threads=1, force=True, resume=True, progress=hear)
    assert trained[:2] == [0, 80]  # what was saved is not trained again
    assert result.report["images"]["output"] == 160


def test_a_search_on_other_samples_does_not_resume(tmp_path: Path) -> None:
    """Whichever sample it is that differs."""
    onnx.save(tiny_model(), tmp_path / "model.onnx")
    samples, changed = data(count=900), data(count=900)
    changed["image"][-1] += 1

    def stop(step: Step) -> None:
        if step.stage == "train":
            raise KeyboardInterrupt

    arrays = {"train": samples, "val": data()}
    with pytest.raises(KeyboardInterrupt):
        natonnx.optimize(
            tmp_path / "model.onnx",
            arrays,
            tmp_path / "out.onnx",
            settings=SETTINGS,
            threads=1,
            force=True,
            progress=stop,
        )
    with pytest.raises(InputError, match="another model, data set or settings"):
        natonnx.optimize(
            tmp_path / "model.onnx",
            {**arrays, "train": changed},
            tmp_path / "out.onnx",
            settings=SETTINGS,
            threads=1,
            resume=True,
        )
