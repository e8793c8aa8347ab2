"""`natonnx optimize` on models of any inputs and outputs: what it reports, against onnxruntime and numpy alone."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import natonnx
from natonnx import Settings, Thresholds
from natonnx.contract.edits import parse_edits
from natonnx.contract.optimize import OptimizeReport
from tests.cli.tiny import ROOT
from tests.contract.conforms import require_payload
from tools.upkeep.check_readme.models import KINDS

Array = npt.NDArray[Any]

SMALL = Settings(lookups=6, finetune_epochs=1, target_madds=0.9, max_drop=100, finalists=1)
TRAIN, HELD_OUT = 64, 40

TOP1, PROBABILITIES, COSINE, VARIANCE = (
    "top-1 agreement", "explained variance of probabilities", "cosine", "explained variance",
)  # fmt: skip
MEASURES = {
    "bert": {"logits": TOP1},
    "minilm": {"sentence_embedding": COSINE},
    "detector": {"map": PROBABILITIES},
    "recogniser": {"characters": TOP1},
    "twohead": {"scores": TOP1, "box": VARIANCE},
    "efficientnet": {"scores": TOP1},
}

SHAPES = {
    name: {key: value.shape for key, value in kind.inputs(1, np.random.default_rng(0)).items()}
    for name, kind in KINDS.items()
}
"""Of one sample: what costs are counted for where the file leaves sizes open."""


def run(model: Path, inputs: Mapping[str, Array]) -> dict[str, Array]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return dict(zip([out.name for out in session.get_outputs()], session.run(None, dict(inputs)), strict=True))


def agreement(measure: str, before: Array, after: Array) -> float:
    """How well one output agrees with the original's, by the definition in docs/design/objective.md."""
    if measure == TOP1:
        return float(np.mean(before.argmax(-1) == after.argmax(-1)))
    if measure == COSINE:
        norms = np.linalg.norm(before, axis=-1) * np.linalg.norm(after, axis=-1)
        return float(np.mean(np.sum(before * after, -1) / norms))
    errors = np.square(before - after).reshape(len(before), -1).mean(1)
    return float(np.mean(np.maximum(1 - errors / before.var(0).mean(), -1)))


def arrays(name: str) -> dict[str, dict[str, Array]]:
    chance = np.random.default_rng(7)
    sizes = {"train": TRAIN, "val": HELD_OUT, "test": HELD_OUT}
    return {part: KINDS[name].inputs(count, chance) for part, count in sizes.items()}


def save(folder: Path, name: str) -> Path:
    path = folder / f"{name}.onnx"
    onnx.save(KINDS[name].make(), path)
    return path


def optimized(model: Path, data: Any, **options: Any) -> tuple[Any, Path]:
    """Run it; the target is within reach, so that there is a better model."""
    output = model.with_name("better.onnx")
    result = natonnx.optimize(model, data, output, settings=SMALL, threads=1, force=True, **options)
    require_payload(result.report, OptimizeReport)
    report: Any = result.report
    assert report["status"] == "improved"
    assert all(check["passed"] for check in report["checks"])
    reading = natonnx.ParseOptions(input_shapes=SHAPES[model.stem])
    found = natonnx.inspect(output, reading)["cost"]["madds"]
    assert found == report["output"]["madds"] <= 0.9 * report["input"]["madds"]
    return report, output


@pytest.mark.parametrize("name", MEASURES)
def test_agreement_is_that_of_numpy(name: str, tmp_path: Path) -> None:
    model, parts = save(tmp_path, name), arrays(name)
    np.savez(
        tmp_path / "data.npz",
        allow_pickle=False,
        **{f"{part}/{key}": x for part, of in parts.items() for key, x in of.items()},
    )
    report, output = optimized(model, tmp_path / "data.npz")

    assert report["objective"]["name"] == "agreement"
    assert {row["name"]: row["measure"] for row in report["objective"]["outputs"]} == MEASURES[name]
    for split in ("val", "test"):
        key = "test" if split == "test" else "validation"
        before, after = run(model, parts[split]), run(output, parts[split])
        expected = {out: agreement(kind, before[out], after[out]) for out, kind in MEASURES[name].items()}
        assert report["output"]["outputs"][key] == pytest.approx(expected, abs=1e-4)
        assert report["output"]["score"][key] == pytest.approx(np.mean(list(expected.values())), abs=1e-4)
        assert report["input"]["score"][key] == pytest.approx(1, abs=1e-6)
    assert any(np.abs(before[out] - after[out]).max() > 1e-3 for out in before)

    checked = natonnx.check(output, model, Thresholds(min_agreement=0), tmp_path / "data.npz")
    assert [gate["value"] for gate in checked["gates"]] == pytest.approx(list(expected.values()), abs=1e-4)


def test_pictures_without_classes_are_followed_and_with_classes_judged(tmp_path: Path) -> None:
    model, chance = save(tmp_path, "efficientnet"), np.random.default_rng(3)
    kinds = {"cat": 7, "dog": 2}
    tint = {"cat": [200, 60, 60], "dog": [40, 60, 220]}
    pictures: dict[str, list[Array]] = {part: [] for part in ("train", "val", "test")}
    for part, made in pictures.items():
        for i in range(HELD_OUT):
            kind = ("cat", "dog")[i % 2]
            pixels = np.clip(chance.normal(tint[kind], 60, (32, 32, 3)), 0, 255).astype(np.uint8)
            made.append(pixels)
            for place in (tmp_path / "pictures" / part, tmp_path / "classes" / part / kind):
                place.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(place / f"{i:02}.png")
    (tmp_path / "classes.txt").write_text("".join(f"{name} {index}\n" for name, index in kinds.items()))
    values = (np.stack(pictures["test"]).transpose(0, 3, 1, 2) / 255.0 - 0.5) / 0.25
    inputs = {"image": values.astype(np.float32)}
    preprocessing = {"mean": 0.5, "std": 0.25}

    report, output = optimized(model, tmp_path / "pictures", preprocessing=preprocessing)
    assert report["objective"]["name"] == "agreement"
    same = agreement(TOP1, run(model, inputs)["scores"], run(output, inputs)["scores"])
    assert report["output"]["score"]["test"] == pytest.approx(same)

    output.unlink()
    options = {"preprocessing": preprocessing, "classes": tmp_path / "classes.txt"}
    report, output = optimized(model, tmp_path / "classes", **options)
    assert report["objective"]["name"] == "labels"
    labels = np.array([kinds[("cat", "dog")[i % 2]] for i in range(HELD_OUT)])
    for row, path in ((report["input"], model), (report["output"], output)):
        assert row["score"]["test"] == pytest.approx(np.mean(run(path, inputs)["scores"].argmax(-1) == labels))


def test_a_function_may_return_loaders(tmp_path: Path) -> None:
    model, parts = save(tmp_path, "recogniser"), arrays("recogniser")

    def loaders() -> tuple[Any, ...]:
        return tuple(DataLoader(TensorDataset(torch.from_numpy(of["image"])), 16) for of in parts.values())

    report, output = optimized(model, loaders)
    assert report["data"]["samples"] == {"train": TRAIN, "validation": HELD_OUT, "test": HELD_OUT}
    before, after = (run(path, parts["test"])["characters"] for path in (model, output))
    assert report["output"]["score"]["test"] == pytest.approx(agreement(TOP1, before, after), abs=1e-4)


def own_objective() -> Any:
    """An object of the class that docs/python.md shows."""
    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(class Overlap:\n.*?)^```", page, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)  # noqa: S102 # our own page
    return names["Overlap"]()


def test_an_objective_of_ones_own(tmp_path: Path) -> None:
    model, parts = save(tmp_path, "detector"), arrays("detector")
    report, output = optimized(model, parts, objective=own_objective())
    assert (report["objective"]["measure"], report["objective"]["unit"]["symbol"]) == ("IoU", "%")
    before, after = (run(path, parts["test"])["map"].reshape(HELD_OUT, -1) > 0.5 for path in (model, output))
    overlap = np.mean((before & after).sum(1) / np.maximum((before | after).sum(1), 1))
    assert report["output"]["score"]["test"] == pytest.approx(overlap, abs=1e-3)


def test_what_came_nearest_is_counted_in_samples_where_they_are_right_or_wrong(tmp_path: Path) -> None:
    """Agreement by a cosine has no such samples, that by classes has."""
    for name, counted in (("minilm", False), ("recogniser", False), ("efficientnet", True)):
        model = save(tmp_path, name)
        settings = replace(SMALL, max_drop=0, training=False)
        report: Any = natonnx.optimize(model, arrays(name), settings=settings, threads=1, force=True).report
        assert report["status"] == "unchanged"
        assert (report["nearest"]["samples"] is not None) == counted
        lost = report["front"][report["nearest"]["front"] - 1]["lost"]
        assert not counted or report["nearest"]["samples"] == math.ceil(round(lost * HELD_OUT, 6))


def test_a_reward_of_ones_own_over_named_inputs(tmp_path: Path) -> None:
    model, parts = save(tmp_path, "bert"), arrays("bert")

    def confident(runnable: natonnx.RunnableModel) -> float:
        return float(runnable(parts["val"])["logits"].max(-1).mean())

    report, output = optimized(model, parts, reward=confident)
    for row, path in ((report["input"], model), (report["output"], output)):
        assert row["score"]["validation"] == pytest.approx(run(path, parts["val"])["logits"].max(-1).mean(), rel=1e-4)
    json.dumps(report)


@pytest.mark.parametrize("name", ["bert", "recogniser"])
def test_the_edits_are_replayed_with_the_sizes_that_the_data_gave(name: str, tmp_path: Path) -> None:
    """A note says which; where the file leaves none open, there is none."""
    model = save(tmp_path, name)
    report, output = optimized(model, arrays(name))
    noted = re.findall(r"--input-shape (\S+):([\d,]+)", " ".join(report["data"]["notes"]))
    shapes = {key: tuple(map(int, sizes.split(","))) for key, sizes in noted}
    assert all(sizes[1:] == SHAPES[name][key][1:] for key, sizes in shapes.items())
    edits = parse_edits(json.dumps(report["edits"]), "the report")
    again, checks = natonnx.apply(
        model, edits, tmp_path / "again.onnx", reading=natonnx.ParseOptions(input_shapes=shapes)
    )
    assert all(check.passed for check in checks)
    kinds = [[node.op_type for node in onnx.load(path).graph.node] for path in (again, output)]
    assert kinds[0] == kinds[1]
