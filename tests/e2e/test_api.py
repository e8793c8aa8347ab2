"""`natonnx.optimize` as a Python program uses it."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import natonnx
from natonnx import InputError, Result, RunnableModel, Settings, Step
from natonnx.contract.schema import finite
from natonnx.policy import PROPOSERS
from natonnx.session import run, session
from tests.cli import tiny

SETTINGS = Settings(lookups=5, finetune_epochs=1, target_madds=0.55, max_drop=20)
IMPOSSIBLE = Settings(lookups=2, training=False, target_madds=0.01)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.fill(tmp_path_factory.mktemp("api"))


@pytest.fixture(scope="module")
def steps() -> list[Step]:
    return []


@pytest.fixture(scope="module")
def result(folder: Path, steps: list[Step]) -> Result:
    before = tiny.snapshot(folder)
    found = natonnx.optimize(folder / "model.onnx", tiny.arrays(), settings=SETTINGS, threads=1, progress=steps.append)
    assert tiny.snapshot(folder) == before  # nothing is written unless it is asked for
    return found


def test_a_better_model_that_is_written_when_it_is_asked_for(result: Result, tmp_path: Path) -> None:
    assert result.improved
    assert result.model is not None
    assert result.output is None
    onnx.checker.check_model(result.model, full_check=True)
    report: Any = result.report
    assert report["status"] == "improved"
    assert report["output"]["path"] is None
    assert report["output"]["madds"] <= 0.55 * report["input"]["madds"]
    path = result.save(tmp_path / "better.onnx")
    assert path == tmp_path / "better.onnx"
    assert path.stat().st_size == report["output"]["size_bytes"]
    assert onnx.load(path) == result.model
    assert [entry.name for entry in tmp_path.iterdir()] == ["better.onnx"]


def test_edits_are_what_apply_replays(result: Result, folder: Path, tmp_path: Path) -> None:
    """The same architecture; with the input's weights, so only its form is the same."""
    assert result.edits
    path, _ = natonnx.apply(folder / "model.onnx", result.edits, tmp_path / "replayed.onnx")
    report: Any = result.report
    assert natonnx.inspect(path)["cost"] == {key: report["output"][key] for key in ("params", "madds")}
    assert result.model is not None
    kinds = [[node.op_type for node in model.graph.node] for model in (onnx.load(path), result.model)]
    assert kinds[0] == kinds[1]


def test_the_report_tells_the_file_s_own_accuracy(result: Result) -> None:
    assert result.model is not None
    arrays = tiny.arrays()
    scores = run(session(result.model), {tiny.INPUT: arrays["x_test"]})["scores"]
    share = float((scores.argmax(1) == arrays["y_test"]).mean())
    assert result.report["output"] is not None
    assert result.report["output"]["score"]["test"] == pytest.approx(share)


def test_html_needs_no_command(result: Result) -> None:
    page = result.html()
    assert page.startswith("<!DOCTYPE html>")
    assert "Command line" not in page
    assert 'id="before-and-after"' in page


def test_markdown_names_no_file_that_was_not_written(result: Result) -> None:
    text = result.markdown()
    assert text.startswith("## natonnx optimize: improved\n")
    assert "became" not in text.splitlines()[2]
    assert "None" not in text


def test_progress_is_a_function_of_steps(result: Result, steps: list[Step]) -> None:
    assert list(dict.fromkeys(step.stage for step in steps)) == ["look up", "remove", "train"]
    looked = [step for step in steps if step.stage == "look up"]
    assert [(step.done, step.total) for step in looked] == [(done, 5) for done in range(6)]
    assert len(result.report["scored"]) == 5
    trained = [step.done for step in steps if step.stage == "train"]
    assert trained == sorted(trained)
    assert trained[-1] == result.report["images"]["training"]


def test_the_steps_of_algorithm_1_have_the_numbers_of_its_history(folder: Path) -> None:
    steps: list[Step] = []
    paper = Settings(algorithm="paper", epochs=2, finetune_epochs=0, evaluated=2, finalists=1)
    found = natonnx.optimize(folder / "model.onnx", tiny.arrays(), settings=paper, threads=1, progress=steps.append)
    assert list(dict.fromkeys(step.stage for step in steps)) == ["search", "select", "fine-tune"]
    epochs = [dict(step.values) for step in steps if step.stage == "search" and step.done]
    assert [finite(values) for values in epochs] == found.report["history"]
    assert found.report["finetuned_input"] is not None


def test_repr_is_short(result: Result) -> None:
    assert len(repr(result)) < 1000
    assert "edits=" in repr(result)


def test_save_keeps_to_the_rules_of_every_output(result: Result, folder: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.onnx"
    theirs.write_bytes(b"theirs")
    for place, message in ((theirs, "give --force"), (folder / "model.onnx", "never changed"), (tmp_path, "folder")):
        with pytest.raises(InputError, match=message):
            result.save(place)
    with pytest.raises(InputError, match="never changed"):
        result.save(folder / "model.onnx", force=True)
    assert theirs.read_bytes() == b"theirs"
    assert onnx.load(result.save(theirs, force=True)) == result.model
    assert result.save(theirs) == theirs  # natonnx wrote it


def test_the_input_is_safe_wherever_the_program_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.fill(tmp_path) / "model.onnx"
    monkeypatch.chdir(tmp_path)
    found = natonnx.optimize("model.onnx", tiny.arrays(), settings=SETTINGS, threads=1)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "model.onnx").write_bytes(b"another")
    monkeypatch.chdir(tmp_path / "sub")
    with pytest.raises(InputError, match="never changed"):
        found.save(model, force=True)
    assert model.read_bytes() == tiny.model_bytes()
    model.rename(tmp_path / "moved.onnx")
    for _ in range(2):
        assert found.save(tmp_path / "out.onnx").exists()


def test_where_the_input_stands_there_is_nothing_to_save(folder: Path, tmp_path: Path) -> None:
    found = natonnx.optimize(folder / "model.onnx", tiny.arrays(), tmp_path / "out.onnx", settings=IMPOSSIBLE)
    assert not found.improved
    assert (found.edits, found.model, found.output, found.report["output"]) == ((), None, None, None)
    with pytest.raises(InputError, match=r"nothing to save, no better architecture was found"):
        found.save(tmp_path / "out.onnx")
    assert not list(tmp_path.iterdir())


def test_resume_needs_the_output_that_its_state_lies_beside(folder: Path) -> None:
    with pytest.raises(InputError, match="give the same output"):
        natonnx.optimize(folder / "model.onnx", tiny.arrays(), resume=True)


def as_torch(*, loader: bool) -> dict[str, Any]:
    arrays = tiny.arrays()
    sets: dict[str, Any] = {
        part: TensorDataset(torch.from_numpy(arrays[f"x_{part}"]), torch.from_numpy(arrays[f"y_{part}"]))
        for part in ("train", "test")
    }
    return {part: DataLoader(data, batch_size=32) for part, data in sets.items()} if loader else sets


@pytest.mark.parametrize("loader", [False, True])
def test_torch_data_gives_what_arrays_give(result: Result, folder: Path, loader: bool) -> None:
    found = natonnx.optimize(folder / "model.onnx", as_torch(loader=loader), settings=SETTINGS, threads=1)
    assert found.edits == result.edits
    assert found.report["scored"] == result.report["scored"]
    assert found.model == result.model


def test_a_model_s_preprocessing_is_not_for_what_torch_prepared(tmp_path: Path) -> None:
    """Raw data gets what the metadata says; floating-point numbers from torch had transforms of their own."""
    onnx.save(tiny.model(natonnx_mean="3", natonnx_std="0.5"), tmp_path / "model.onnx")
    raw = {name: array * 0.5 + 3 if name[0] == "x" else array for name, array in tiny.arrays().items()}
    limits = natonnx.Thresholds(min_accuracy=0.9)
    for data in (raw, as_torch(loader=True)):
        assert natonnx.check(tmp_path / "model.onnx", tmp_path / "model.onnx", limits, data)["status"] == "passed"
    assert natonnx.check(tmp_path / "model.onnx", tmp_path / "model.onnx", limits, tiny.arrays())["status"] == "failed"
    twice = natonnx.check(
        tmp_path / "model.onnx", tmp_path / "model.onnx", limits, as_torch(loader=False), preprocessing={"mean": (3.0,)}
    )
    assert twice["status"] == "failed"  # unless it is said


def test_benchmark_takes_data_in_memory(folder: Path) -> None:
    conditions = natonnx.Conditions(seconds=0.05)
    loader = DataLoader(as_torch(loader=False)["test"], batch_size=16, shuffle=True)
    payload: Any = natonnx.benchmark([folder / "model.onnx"] * 2, loader, conditions=conditions)
    accuracies = [row["score"]["test"] for row in payload["models"]]
    assert accuracies[0] == accuracies[1] > 0.8  # read once: both models see the same samples
    assert payload["data"]["name"] == "TensorDataset"


def test_a_reward_of_one_s_own(folder: Path) -> None:
    """Each class of the test's own samples is worth something else."""
    arrays, worth = tiny.arrays(), np.array([3.0, 1.0, 0.0])
    labels = arrays["y_train"]

    def reward(model: RunnableModel) -> float:
        right = model(arrays["x_train"]).argmax(1) == labels
        return float((right * worth[labels]).mean())

    found = natonnx.optimize(folder / "model.onnx", arrays, reward=reward, settings=SETTINGS, threads=1)
    assert found.model is not None
    names = {limit["name"]: limit for limit in found.report["constraints"]}
    assert set(names) == {"madds", "lost"}
    runtime = session(found.model)
    scores = run(runtime, {tiny.INPUT: arrays["x_train"]})["scores"]
    report: Any = found.report
    before, after = (report[part]["score"]["validation"] for part in ("input", "output"))
    assert after == pytest.approx(((scores.argmax(1) == labels) * worth[labels]).mean())
    assert names["lost"]["value"] == pytest.approx(before - after)
    assert "validation reward lost" in found.html()


def test_a_search_resumes_with_the_same_reward_only(tmp_path: Path) -> None:
    tiny.fill(tmp_path)
    arrays = tiny.arrays()

    def accuracy(model: RunnableModel) -> float:
        return float((model(arrays["x_train"]).argmax(1) == arrays["y_train"]).mean())

    def other(model: RunnableModel) -> float:
        return -1000 * accuracy(model)

    def run_it(reward: Any, *, resume: bool, stop: bool) -> Result:
        def progress(step: Step) -> None:
            if stop and (step.stage, step.done > 100) == ("train", True):
                raise KeyboardInterrupt

        return natonnx.optimize(
            tmp_path / "model.onnx",
            arrays,
            tmp_path / "out.onnx",
            reward=reward,
            settings=SETTINGS,
            threads=1,
            resume=resume,
            progress=progress,
        )

    with pytest.raises(KeyboardInterrupt):
        run_it(accuracy, resume=False, stop=True)
    for reward in (other, None):
        with pytest.raises(InputError, match="another model, data set or settings"):
            run_it(reward, resume=True, stop=False)
    resumed = run_it(accuracy, resume=True, stop=False)
    assert resumed.edits == run_it(accuracy, resume=False, stop=False).edits


def test_a_reward_that_the_file_cannot_serve_ends_it_before_the_search(folder: Path) -> None:
    def wrong(model: RunnableModel) -> float:
        return float(model(np.zeros((2, 1, 6, 6))).mean())

    seen: list[Step] = []
    with pytest.raises(InputError, match="it takes any number of 1×8×8"):
        natonnx.optimize(folder / "model.onnx", tiny.arrays(), reward=wrong, settings=SETTINGS, progress=seen.append)
    assert not seen


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reward": "likelihood"}, r"reward 'likelihood' is no function .* for Settings\(reward=...\)"),
        ({"settings": Settings(max_drop=500)}, "from 0 to 100"),
        ({"threads": 0}, "threads 0 must be at least 1"),
        ({"batchnorm": "unfolded"}, "unknown batchnorm 'unfolded': choose one of auto, keep, unfold"),
        ({"device": "gpu"}, "unknown device 'gpu': choose one of auto, cpu, cuda"),
        ({"preprocessing": {"means": (0.5,)}}, "unknown preprocessing 'means': choose of mean, std"),
    ],
)
def test_bad_arguments_are_one_line(folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        natonnx.optimize(folder / "model.onnx", tiny.arrays(), **options)


def test_the_report_is_json_and_the_caller_s_own(result: Result) -> None:
    assert json.loads(json.dumps(result.report, allow_nan=False)) == result.report


def test_what_a_reward_raises_reaches_the_caller(folder: Path) -> None:
    def broken(_model: RunnableModel) -> float:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        natonnx.optimize(folder / "model.onnx", tiny.arrays(), reward=broken, settings=IMPOSSIBLE)


def test_a_model_that_guesses_is_told_of(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Wrong preprocessing makes any search look like a success."""
    told = r"is the preprocessing \(mean, std, scale, layout\) the one"
    for mean, guesses in ((0.0, False), (30.0, True)):
        options: dict[str, Any] = {"settings": IMPOSSIBLE, "preprocessing": {"mean": (mean,)}, "threads": 1}
        if guesses:
            with pytest.raises(InputError, match=told):
                natonnx.optimize(folder / "model.onnx", tiny.arrays(), **options)
        caplog.clear()
        natonnx.optimize(folder / "model.onnx", tiny.arrays(), **options, force=guesses)
        assert bool(re.search(told, caplog.text)) == guesses


def test_a_model_that_hardly_does_better_than_guessing_is_told_of(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of 102 labels, 34 of each class: those of one class are right, and six more; but 39 right ones may be luck."""
    arrays = dict(tiny.arrays())
    arrays["x_val"], labels = arrays["x_train"][:102], arrays["y_train"][:102]
    arrays["x_train"], arrays["y_train"] = arrays["x_train"][102:], arrays["y_train"][102:]
    arrays["y_val"] = np.where((labels == 0) | (np.arange(102) < 9), labels, tiny.CLASSES - labels)
    found = natonnx.optimize(folder / "model.onnx", arrays, settings=IMPOSSIBLE, threads=1)
    assert found.report["input"]["score"]["validation"] == pytest.approx(40 / 102)
    assert "gets 39.2 % of the validation samples right, and always the same class 33.3 %; do the labels" in caplog.text
    arrays["y_val"] = np.where(np.arange(102) < 39, labels, (labels + 1) % tiny.CLASSES)
    with pytest.raises(InputError, match=r"same class 33\.3 %, which 102 samples cannot tell from luck"):
        natonnx.optimize(folder / "model.onnx", arrays, settings=IMPOSSIBLE, threads=1)


def test_few_validation_samples_are_no_matter_to_a_reward_of_ones_own(folder: Path) -> None:
    arrays = {name: value[:60] for name, value in tiny.arrays().items()}
    with pytest.raises(InputError, match="12 validation samples cannot tell a loss of 5 points: give at least 100"):
        natonnx.optimize(folder / "model.onnx", arrays, settings=IMPOSSIBLE)
    found = natonnx.optimize(
        folder / "model.onnx", arrays, settings=IMPOSSIBLE, reward=lambda model: model(arrays["x_train"]).max()
    )
    assert found.report["data"]["samples"]["validation"] == 12


@pytest.mark.parametrize("learner", PROPOSERS)
def test_every_proposer_is_a_learner(learner: str, folder: Path) -> None:
    settings = replace(SETTINGS, learner=learner, training=False)
    found = natonnx.optimize(folder / "model.onnx", tiny.arrays(), settings=settings, threads=1)
    assert found.report["learner"] == learner
    assert found.improved
    assert 0 < len(found.report["scored"]) <= 5


def test_every_model_that_was_made_is_written_where_that_is_asked_for(folder: Path, tmp_path: Path) -> None:
    settings = Settings(lookups=5, training=False, target_madds=(0.55, 0.06), max_drop=100)
    place = tmp_path / "front"
    found = natonnx.optimize(folder / "model.onnx", tiny.arrays(), settings=settings, threads=1, front=place)
    rows = found.report["front"]
    assert {str(path) for path in place.iterdir()} == {row["path"] for row in rows}
    assert len(rows) == 2
    assert found.output is None
    assert [entry.name for entry in tmp_path.iterdir()] == ["front"]
    assert onnx.load(found.save(tmp_path / "best.onnx")) == onnx.load(str(rows[1]["path"]))
    with pytest.raises(InputError, match="is not empty"):
        natonnx.optimize(folder / "model.onnx", tiny.arrays(), settings=settings, front=place)
    with pytest.raises(InputError, match="is no folder"):
        natonnx.optimize(folder / "model.onnx", tiny.arrays(), settings=settings, front=tmp_path / "best.onnx")


def test_one_model_is_measured_alone(folder: Path) -> None:
    payload = natonnx.benchmark(str(folder / "model.onnx"), conditions=natonnx.Conditions(seconds=0.05))
    assert len(payload["models"]) == 1
