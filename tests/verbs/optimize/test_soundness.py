"""What is no number, outweighs all others or tells nothing is one line before the search, and forced makes no NaN."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

import natonnx
from natonnx import Settings
from natonnx.errors import InputError
from natonnx.session import run, session
from tests.cli import tiny

QUICK = Settings(lookups=2, finetune_epochs=0.1, target_madds=0.8, max_drop=100.0)


def edited(**changes: Callable[[np.ndarray], None]) -> onnx.ModelProto:
    """The tiny model with some of its weights changed, by the name without ".weight"."""
    model = tiny.model()
    for tensor in model.graph.initializer:
        name = tensor.name.removesuffix(".weight")
        if name in changes:
            value = numpy_helper.to_array(tensor).copy()
            changes[name](value)
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    return model


def behind(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    """The tiny model with more nodes behind it, from `inner` to `scores`."""
    model = tiny.model()
    model.graph.node[-1].output[0] = "inner"
    model.graph.node.extend(nodes)
    return model


def data(**changes: Callable[[Any], Any]) -> dict[str, Any]:
    """The tiny data set, 300 samples of it for validation, some of its arrays changed."""
    given = tiny.arrays()
    parts = {"x_train": given["x_train"][:200], "y_train": given["y_train"][:200]}
    parts |= {"x_val": given["x_train"][200:], "y_val": given["y_train"][200:]}
    return {**parts, **{name: change(parts[name].copy()) for name, change in changes.items()}}


def put(position: Any, value: float) -> Callable[[Any], Any]:
    def change(array: Any) -> Any:
        array[position] = value
        return array

    return change


def optimize(folder: Path, model: onnx.ModelProto, given: Any, **options: Any) -> natonnx.Result:
    onnx.save(model, folder / "model.onnx")
    return natonnx.optimize(folder / "model.onnx", given, threads=1, **{"settings": QUICK, **options})


def refused(folder: Path, model: onnx.ModelProto, given: Any, match: str, **options: Any) -> None:
    with pytest.raises(InputError, match=match) as caught:
        optimize(folder, model, given, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_are_named(tmp_path: Path, value: float) -> None:
    def spoil(weight: np.ndarray) -> None:
        weight.flat[[1, 5]] = value

    kind = "NaN" if np.isnan(value) else "infinity"
    match = rf"model\.onnx: its weight 'two\.weight' holds {kind} \(2 of 576 values\), which no training mends"
    refused(tmp_path, edited(two=spoil), data(), match, force=True)


@pytest.mark.parametrize("part", ["x_train", "x_val"])
@pytest.mark.parametrize("value", [1e30, -1e12])
def test_a_sample_that_outweighs_all_others_is_named(tmp_path: Path, part: str, value: float) -> None:
    name = {"x_train": "training", "x_val": "validation"}[part]
    match = f"{name} sample 17 .the first is 0. makes the model give up to .*: it holds .*, the usual sample up to "
    refused(tmp_path, tiny.model(), data(**{part: put((17, 0, 0, 0), value)}), match)


def test_heavy_tailed_data_is_warned_of_at_most(tmp_path: Path) -> None:
    """Samples of 10⁶ times the usual size, but of all sizes between."""
    sizes = 10 ** np.linspace(0, 6, 200).reshape(-1, 1, 1, 1)
    scaled = data(x_train=lambda x: (x * sizes).astype(np.float32))
    optimize(tmp_path, tiny.model(), scaled, settings=Settings(lookups=2, training=False))


@pytest.mark.parametrize("value", [-1e31, -np.inf])
def test_a_value_that_only_a_mask_may_have_is_named_where_it_is_none(tmp_path: Path, value: float) -> None:
    model = behind(helper.make_node("Sub", ["inner", "bias"], ["scores"]))
    model.graph.input.append(helper.make_tensor_value_info("bias", onnx.TensorProto.FLOAT, ["batch", 3]))
    given = data()
    arrays = {f"{part}/{tiny.INPUT}": given[f"x_{part}"] for part in ("train", "val")}
    arrays |= {f"{part}/bias": np.zeros((len(given[f"x_{part}"]), 3), np.float32) for part in ("train", "val")}
    arrays["val/bias"][31, 1] = value
    refused(tmp_path, model, arrays, "validation sample 31 .the first is 0. makes the model give")
    arrays["val/bias"][31, 1] = np.inf
    refused(tmp_path, model, arrays, "bias holds infinite values, in sample 31 of 300")


@pytest.mark.parametrize("force", [False, True])
def test_validation_that_is_training_data_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, force: bool
) -> None:
    given = data()
    given |= {"x_val": np.r_[given["x_train"][:160], given["x_val"][:140]], "x_test": given["x_val"][:9]}
    given |= {"y_val": np.r_[given["y_train"][:160], given["y_val"][:140]], "y_test": given["y_val"][:9]}
    told = "160 of 300 validation samples are training samples too, which cannot tell how others fare"
    if not force:
        refused(tmp_path, tiny.model(), given, told)
        return
    optimize(tmp_path, tiny.model(), given, force=True, settings=Settings(lookups=2, training=False))
    assert told in caplog.text
    assert "9 of 9 test samples are training or validation samples too" in caplog.text


def test_a_sample_is_named_by_its_place_in_data_that_is_divided(tmp_path: Path) -> None:
    given = {"images": put(123, 1e25)(tiny.arrays()["x_train"].copy()), "labels": tiny.arrays()["y_train"]}
    refused(tmp_path, tiny.model(), given, "sample 123 .the first is 0. makes the model")


def test_a_training_sample_of_which_the_model_makes_nan_is_named_with_the_node(tmp_path: Path) -> None:
    """Of numbers that are nothing unusual themselves: the logarithm of a negative one."""
    nodes = [
        helper.make_node("ReduceMax", [tiny.INPUT], ["most"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Log", ["most"], ["log"]),
        helper.make_node("Unsqueeze", ["log", "axis"], ["column"]),
        helper.make_node("Add", ["inner", "column"], ["scores"]),
    ]
    model = behind(*nodes)
    model.graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "axis"))
    match = "training sample 3 .* makes the model give NaN or infinity .Log makes the first NaN, in 'log'.; remove"
    refused(tmp_path, model, data(x_train=put(3, -1.0)), match)
    few = optimize(tmp_path, model, data(x_val=put(3, -1.0)), settings=Settings(lookups=2, training=False))
    validation = few.report["input"]["score"]["validation"]
    assert validation is not None
    assert validation < 1  # wrong, in β and in all others


@pytest.mark.parametrize("force", [False, True])
def test_a_model_whose_outputs_are_nan_is_named(tmp_path: Path, force: bool) -> None:
    nodes = [
        helper.make_node("Sub", ["inner", "inner"], ["zero"]),
        helper.make_node("Div", ["zero", "zero"], ["scores"]),
    ]
    match = "for 300 of 300 validation samples .Div makes the first NaN, in 'scores'.; export a model whose"
    for objective in ("auto", "agreement"):
        refused(tmp_path, behind(*nodes), data(), match, objective=objective, force=force)


def test_a_mask_of_minus_infinity_stays_usable(tmp_path: Path) -> None:
    """One class is out of the question, for all samples: the others are scored and trained as ever."""
    model = behind(helper.make_node("Add", ["inner", "mask"], ["scores"]))
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, -np.inf, 0], np.float32), "mask"))
    result = optimize(tmp_path, model, data(), objective="agreement")
    assert result.model is not None
    scores = run(session(result.model), {tiny.INPUT: data()["x_val"]})["scores"]
    assert np.isneginf(scores[:, 1]).all()
    assert np.isfinite(scores[:, [0, 2]]).all()
    assert result.report["output"] is not None
    assert 0.4 < result.report["output"]["score"]["validation"] <= 1  # type: ignore[operator]


@pytest.mark.parametrize("options", [{}, {"settings": Settings(algorithm="paper", epochs=1, finetune_epochs=1)}])
def test_what_is_forced_makes_no_model_of_nan(tmp_path: Path, options: dict[str, Any]) -> None:
    given = data(x_train=put((17, 0, 0, 0), 3e38))
    result = optimize(tmp_path, tiny.model(), given, force=True, **options)
    if result.model is not None:
        assert np.isfinite(run(session(result.model), {tiny.INPUT: given["x_val"]})["scores"]).all()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"x_val": lambda x: x[:2], "y_val": lambda y: y[:2]}, "2 validation samples cannot tell a loss of 5 points"),
        ({"x_val": lambda x: x[np.arange(300) % 2]}, "only 2 of 300 validation samples differ, which cannot tell"),
        ({"y_val": lambda y: 0 * y}, "all 300 validation samples have the label 0, which cannot tell"),
        (
            {"y_val": lambda y: np.random.default_rng(0).integers(0, 3, len(y))},
            "% of the validation samples right, and",
        ),
        ({"y_val": lambda y: np.where(np.arange(300) < 290, 0, y)}, "% of the validation samples right, and always"),
    ],
)
def test_validation_that_tells_nothing_is_refused(tmp_path: Path, changes: dict[str, Any], match: str) -> None:
    refused(tmp_path, tiny.model(), data(**changes), match)


def test_the_same_answer_for_every_sample_tells_nothing(tmp_path: Path) -> None:
    def zero(weight: np.ndarray) -> None:
        weight[:] = 0

    match = "says the same of all 300 validation samples"
    refused(tmp_path, edited(head=zero), data(), match, objective="agreement")


class Few:
    """An objective of one's own."""

    unit = ""

    def score(self, outputs: Any, targets: Any) -> Any:
        return -((outputs["scores"][:, 0] - targets) ** 2)


def test_an_objective_of_ones_own_takes_as_many_samples(tmp_path: Path) -> None:
    few = {"x_val": lambda x: x[:1], "y_val": lambda y: y[:1]}
    match = "1 validation sample cannot tell which of two models is better: give at least 100"
    refused(tmp_path, tiny.model(), data(**few), match, objective=Few())


class Own:
    """An objective that says what it is told to."""

    def __init__(self, say: Callable[[Any, Any], Any], loss: Callable[[Any], Any] | None = None) -> None:
        self.score = lambda outputs, targets: say(outputs["scores"], targets)
        if loss is not None:
            self.loss = lambda outputs, _targets: loss(outputs["scores"])


def right(scores: Any, labels: Any) -> Any:
    return (scores.argmax(1) == labels).float()


@pytest.mark.parametrize(
    ("objective", "match"),
    [
        (Own(lambda scores, _: torch.ones(len(scores))), "scores 250 samples the same whatever the model gives"),
        (Own(lambda scores, _: torch.rand(len(scores))), "scores the same outputs otherwise when asked again"),
        (Own(lambda scores, _: scores[:, 0] * 1j), r"returned \(250,\) of complex numbers for 250 samples"),
        (Own(right, lambda _: torch.tensor(1.0)), "returned a number without a gradient: compute it from the outputs"),
        (
            Own(right, lambda scores: scores.sum() * 1j),
            r"returned \(\) of torch.complex64; it must be a floating-point",
        ),
        (Own(lambda _scores, _: sys.exit(5)), r"ended the program \(5\): return or raise instead"),
    ],
)
def test_an_objective_that_tells_nothing_is_refused(tmp_path: Path, objective: Own, match: str) -> None:
    refused(tmp_path, tiny.model(), data(), match, objective=objective)


def test_an_objective_may_write_into_what_it_is_given(tmp_path: Path) -> None:
    def say(scores: Any, labels: Any) -> Any:
        found = right(scores, labels)
        scores.zero_(), labels.zero_()
        return found

    settings = Settings(lookups=2, training=False)
    before = optimize(tmp_path, tiny.model(), data(), objective=Own(right), settings=settings).report["input"]
    after = optimize(tmp_path, tiny.model(), data(), objective=Own(say), settings=settings).report["input"]
    assert before["score"] == after["score"]


@pytest.mark.parametrize("reward", [lambda _model: 0.5, lambda model: 0 * float(model(data()["x_val"]).max())])
def test_a_reward_that_tells_nothing_is_refused(tmp_path: Path, reward: Any) -> None:
    refused(tmp_path, tiny.model(), data(), "whatever the model gives .it was tried with wrong outputs", reward=reward)
