"""A promise end to end: what is written, what is refused, and what is said of it."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from scipy import stats

import natonnx
from natonnx import InputError, Settings
from natonnx.contract.optimize import ConstraintRow, OptimizeReport
from natonnx.contract.schema import finite
from natonnx.session import run, session
from natonnx.verbs.optimize.result import Result
from tests.cli import tiny
from tests.contract.conforms import require_payload

Arrays = dict[str, npt.NDArray[Any]]
NOTE = "has no test part: half of the validation samples, drawn by chance (seed 0), are put aside as one"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.fill(tmp_path_factory.mktemp("promise")) / "model.onnx"


def arrays(test: int | None) -> Arrays:
    """200 training and 160 validation samples, and some for a test."""
    images, labels = tiny.arrays()["x_train"], tiny.arrays()["y_train"]
    cuts = {"train": slice(0, 200), "val": slice(200, 360)}
    if test is not None:
        cuts["test"] = slice(360, 360 + test)
    return {f"{x}_{name}": of[cut] for name, cut in cuts.items() for x, of in (("x", images), ("y", labels))}


def optimize(model: Path, data: Arrays, max_drop: float, **changed: Any) -> Result:
    fields = {"lookups": 3, "training": False, "target_madds": 0.7, "confidence": 0.95, **changed}
    return natonnx.optimize(model, data, settings=Settings(max_drop=max_drop, **fields), force=True)


def promise(report: OptimizeReport) -> ConstraintRow:
    (row,) = [row for row in report["constraints"] if row["name"] == "promise"]
    require_payload(finite(report), OptimizeReport)
    return row


def answers(model: onnx.ModelProto, images: npt.NDArray[Any], labels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    right: npt.NDArray[np.bool_] = run(session(model), {tiny.INPUT: images})["scores"].argmax(1) == labels
    return right


def test_a_promise_that_is_kept(model: Path) -> None:
    data = arrays(140)
    result = optimize(model, data, 10.0)
    assert result.model is not None
    row = promise(result.report)
    before, after = (answers(each, data["x_test"], data["y_test"]) for each in (onnx.load(model), result.model))
    lost = int((before & ~after).sum())
    high = stats.binomtest(lost, 140).proportion_ci(0.9, "exact").high  # of losses alone
    assert row["met"]
    assert row["value"] is not None
    assert row["value"] <= row["limit"] == 10.0
    assert row["value"] == pytest.approx(100 * high, rel=0.15)
    basis = row["promise"]
    assert (basis["confidence"], basis["split"], basis["samples"], basis["enough"]) == (0.95, "test", 140, None)
    assert basis["lost"] == pytest.approx(100 * (before.mean() - after.mean()))
    (made,) = result.report["front"]
    assert made["met"] is True
    assert 100 * made["lost_at_most"] == pytest.approx(row["value"])
    said = f"test accuracy lost, upper bound at 95 % confidence | +{np.ceil(100 * row['value']) / 100:.2f} points"
    assert said in result.markdown().replace("\\", "")
    assert "upper bound at 95 % confidence" in result.html()


def test_too_few_samples_for_a_promise(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of 40 samples of which none is lost, more than 7 points cannot be ruled out; about 150 would rule out 2."""
    with caplog.at_level(logging.WARNING):
        result = optimize(model, arrays(40), 2.0)
    assert (
        "of a model that scores the same on all 40 test samples they rule out a loss above 7.24 points" in caplog.text
    )
    assert "to rule out one above 2 takes a model that gains, or about 150 samples" in caplog.text
    assert not result.improved
    row, report = promise(result.report), result.report
    assert not row["met"]
    assert row["value"] is not None
    assert row["value"] >= 100 * (1 - 0.05 ** (1 / 40)) * 0.99
    assert (report["status"], report["output"]) == ("unchanged", None)
    nearest = report["nearest"]
    assert nearest is not None
    assert (nearest["front"], nearest["samples"]) == (1, None)
    assert nearest["option"] == f"--max-drop {np.ceil(10 * row['value']) / 10:g}"
    assert report["front"][0]["met"] is False
    if row["promise"]["lost"] < 2:
        assert (row["promise"]["enough"] or 0) >= 149
        assert "that lose as much would be enough" in result.markdown()


def test_without_a_test_part_half_of_validation_is_put_aside(model: Path) -> None:
    report = optimize(model, arrays(None), 10.0).report
    assert NOTE in report["data"]["notes"]
    assert report["data"]["samples"] == {"train": 200, "validation": 80, "test": 80}
    assert promise(report)["promise"]["samples"] == 80
    plain = natonnx.optimize(
        model, arrays(None), settings=Settings(lookups=3, training=False, target_madds=0.7, max_drop=10.0), force=True
    ).report
    assert plain["data"]["samples"]["test"] is None
    assert [row["name"] for row in plain["constraints"]] == ["madds", "lost"]
    assert "lost_at_most" not in plain["front"][0]


def test_agreement_and_an_objective_of_ones_own_are_promised_too(model: Path) -> None:
    class Margin:
        measure = "margin"

        def score(self, outputs: Any, _targets: Any) -> Any:
            return outputs["scores"].softmax(1).amax(1)

    for objective, max_drop in (("agreement", 60.0), (Margin(), 0.9)):
        settings = Settings(lookups=3, training=False, target_madds=0.7, confidence=0.9, max_drop=max_drop)
        report = natonnx.optimize(model, arrays(140), objective=objective, settings=settings, force=True).report
        row = promise(report)
        assert row["value"] is not None
        assert row["met"] == (row["value"] <= row["limit"])
        assert row["value"] > row["promise"]["lost"]
        assert row["label"] == f"test {report['objective']['measure']} lost, upper bound at 90 % confidence"


def test_samples_that_are_all_alike_are_no_evidence(model: Path) -> None:
    data = arrays(140)
    data["x_test"], data["y_test"] = (np.repeat(data[name][:20], 7, 0) for name in ("x_test", "y_test"))
    settings = Settings(lookups=3, training=False, target_madds=0.7, confidence=0.95, max_drop=10.0)
    with pytest.raises(InputError, match="only 20 of 140 test samples differ, which cannot tell a loss of 5 points"):
        natonnx.optimize(model, data, settings=settings)


def test_a_reward_has_no_pairs(model: Path) -> None:
    with pytest.raises(InputError, match=r"confidence 0\.95 is for scores of samples.* leave one of them out"):
        natonnx.optimize(model, arrays(40), reward=lambda _model: 0.0, settings=Settings(confidence=0.95))


def test_what_validation_refuses_is_told_with_its_bound(model: Path) -> None:
    """The option that would accept it is held to the promise as well."""
    data = arrays(140)
    data["y_val"] = data["y_val"].copy()
    data["y_val"][:40] = (answers_of(model, data["x_val"][:40]) + 1) % 3  # wrong before, whatever comes after
    given = answers_of(model, data["x_val"])
    data["y_val"][40:] = given[40:]
    report = optimize(model, data, 0.0, target_madds=0.3).report
    rows = {row["name"]: row for row in report["constraints"]}
    assert not rows["promise"]["met"]
    assert report["nearest"] is not None
    if report["nearest"]["option"] is not None:
        values = [row["value"] or 0.0 for row in rows.values() if row["unit"] is not None and not row["met"]]
        assert report["nearest"]["option"] == f"--max-drop {np.ceil(10 * max(values)) / 10:g}"


def answers_of(path: Path, images: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    found: npt.NDArray[np.int64] = run(session(onnx.load(path)), {tiny.INPUT: images})["scores"].argmax(1)
    return found
