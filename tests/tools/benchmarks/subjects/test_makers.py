"""Every subject is made as it is for the table, but with one training step and a few samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from tools.benchmarks.subjects import detectors, fashion, hops, ocr, shapes, source_text, text
from tools.benchmarks.subjects.catalog import SUBJECTS
from tools.benchmarks.subjects.parts import Effort, make_parts, save_parts
from tools.benchmarks.subjects.subject import Subject
from tools.wheels import UnavailableError

if TYPE_CHECKING:
    from numpy.typing import NDArray

TINY = Effort({"train": 4, "val": 3, "test": 2}, 0.0)
FETCHED = [name for name in SUBJECTS if name.startswith("pp")]
BY_TORCH_EXPORT = ["vit", "two-outputs", "yolo-nms"]
TRAINED = [name for name in SUBJECTS if name not in FETCHED]
OUTPUTS: dict[str, list[tuple[int, ...]]] = {
    "bert": [(2, 8)],
    "vit": [(1000, 10)],
    "minilm": [(2, 48)],
    "yolo": [(2, 8, 16, 16), (2, 8, 8, 8), (2, 8, 4, 4)],
    "iresnet-face": [(2, 64)],
    "crnn": [(20, 2, 11)],
    "lstm-state": [(2, 20, 1), (2, 2, 48), (2, 2, 48)],
    "two-outputs": [(1000, 10), (1000, 4)],
}


def run(model: Path, inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    results: list[NDArray[Any]] = session.run(None, inputs)
    return results


def part(subject: Subject, cache: Path, name: str) -> dict[str, NDArray[Any]]:
    with np.load(subject.data(cache)) as arrays:
        return {key.removeprefix(f"{name}/"): arrays[key] for key in arrays if key.startswith(f"{name}/")}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in BY_TORCH_EXPORT else []) for name in TRAINED]
)
def test_trained_subject(name: str, tmp_path: Path) -> None:
    subject = SUBJECTS[name]
    assert subject.make(tmp_path, TINY)
    assert not subject.make(tmp_path, TINY)  # it is there
    model = onnx.load(subject.model(tmp_path))
    onnx.checker.check_model(model, full_check=True)
    if name == "efficientnet":
        pictures = {each: sorted((subject.data(tmp_path) / each).glob("*.png")) for each in ("train", "val", "test")}
        assert {each: len(paths) for each, paths in pictures.items()} == dict.fromkeys(pictures, 500)
        with Image.open(pictures["test"][0]) as picture:
            assert (picture.mode, picture.size) == ("RGB", (32, 32))
        return
    parts = {each: part(subject, tmp_path, each) for each in ("train", "val", "test")}
    for arrays in parts.values():
        assert set(arrays) - {"labels"} == {info.name for info in model.graph.input}
        assert ("labels" in arrays) == (subject.objective == "labels")
    first = model.graph.input[0].name
    assert parts["val"][first][:2].tobytes() != parts["test"][first][:2].tobytes()
    results = run(subject.model(tmp_path), {info.name: parts["test"][info.name] for info in model.graph.input})
    assert [result.shape for result in results] == OUTPUTS.get(name, [result.shape for result in results])
    assert all(np.isfinite(result).all() for result in results)


def test_same_data_by_the_same_seed() -> None:
    def make(generator: np.random.Generator, count: int, _part: str) -> dict[str, NDArray[np.generic]]:
        return {"x": generator.random(count)}

    first, again, other = (make_parts(make, seed, TINY) for seed in (1, 1, 2))
    assert {name: len(arrays["x"]) for name, arrays in first.items()} == {"train": 4, "val": 3, "test": 2}
    assert all(np.array_equal(first[name]["x"], again[name]["x"]) for name in first)
    values = [float(value) for parts in (first, other) for arrays in parts.values() for value in arrays["x"]]
    assert len(set(values)) == len(values)


def test_archive_has_parts_before_the_names(tmp_path: Path) -> None:
    save_parts({"train": {"x": np.zeros(2)}, "test": {"x": np.ones(1), "labels": np.array([3])}}, tmp_path / "d.npz")
    with np.load(tmp_path / "d.npz") as arrays:
        assert sorted(arrays) == ["test/labels", "test/x", "train/x"]


def test_what_breaks_off_leaves_nothing_that_looks_made(tmp_path: Path) -> None:
    def maker(folder: Path, _cache: Path, _effort: Effort) -> None:
        (folder / "model.onnx").write_bytes(b"half")
        raise UnavailableError("no registry")

    subject = Subject("one", "a test", maker, "labels", 1)
    with pytest.raises(UnavailableError):
        subject.make(tmp_path, TINY)
    assert not subject.model(tmp_path).exists()


# Data


def test_questions_have_the_answer_that_following_the_pairs_gives() -> None:
    asked = hops.questions(np.random.default_rng(0), 300)
    assert asked.tokens.max() < hops.VOCABULARY
    for tokens, mask, label in zip(*asked, strict=True):
        pairs = {(token - 1) // 8: (token - 1) % 8 for token in tokens[1:] if token}
        times, name = divmod(int(tokens[0]) - 65, 8)
        for _ in range(times + 1):
            name = int(pairs[name])
        assert name == label
        assert mask.sum() == 1 + len(pairs)
        assert 5 <= len(pairs) <= 8


def test_parts_of_the_library_do_not_overlap() -> None:
    for module in ("argparse", "typing"):
        train, val, test = (source_text._stretch(module, each) for each in ("train", "val", "test"))
        assert min(map(len, (train, val, test))) > 1000
        assert val[:200] not in train + test
        assert test[:200] not in train + val


def test_neighbouring_stretches_are_padded_rows() -> None:
    for tokens, mask in source_text.sentences(np.random.default_rng(0), 20, "train", 24, 100):
        assert tokens.shape == mask.shape == (20, 24)
        assert ((tokens > 0) == mask).all()
        assert tokens.max() < 100
        assert (np.diff(mask, axis=1) <= 0).all()  # ones, then zeros


def test_targets_give_the_boxes_back() -> None:
    generator = np.random.default_rng(0)
    scenes = [shapes.scene(generator) for _ in range(20)]
    maps = shapes.targets([boxes for _, boxes in scenes])
    found = []
    for stride, goals in zip(shapes.STRIDES, maps, strict=True):
        for row, y, x in np.argwhere(goals[:, 4] > 0):
            left, top, right, bottom = goals[row, :4, y, x] * stride
            middle = ((x + 0.5) * stride, (y + 0.5) * stride)
            sides = (middle[0] - left, middle[1] - top, middle[0] + right, middle[1] + bottom)
            found.append((row, int(goals[row, 5, y, x]), *np.round(sides, 3)))
    boxes = [(row, box.kind, *np.round(box[1:], 3)) for row, (_, each) in enumerate(scenes) for box in each]
    near = [any(one[:2] == box[:2] and np.allclose(one[2:], box[2:], atol=0.01) for box in boxes) for one in found]
    assert all(near)
    assert len(boxes) - 4 <= len(found) <= len(boxes)  # two shapes may claim one cell


def test_suppression_keeps_the_best_of_overlapping_boxes() -> None:
    first, second = [[0, 0, 9, 9], [1, 0, 9, 9], [20, 20, 30, 30]], [[0, 0, 5, 5], [50, 50, 60, 60], [0, 0, 5, 4]]
    boxes = np.array([first, second], np.float32)
    scores = np.array([[[0.6, 0.9, 0.8]], [[0.1, 0.7, 0.2]]], np.float32)
    infos = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", *sizes])
        for name, sizes in (("in_boxes", (3, 4)), ("in_scores", (1, 3)), ("boxes", (3, 4)), ("scores", (1, 3)))
    ]
    nodes = [onnx.helper.make_node("Identity", [f"in_{name}"], [name]) for name in ("boxes", "scores")]
    graph = onnx.helper.make_graph(nodes, "g", infos[:2], infos[2:])
    opset = [onnx.helper.make_opsetid("", 18)]
    model = detectors.with_suppression(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9))
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    detections, selected = session.run(None, {"in_boxes": boxes, "in_scores": scores})
    assert selected.tolist() == [[0, 0, 1], [0, 0, 2], [1, 0, 1]]
    assert detections.tolist() == [boxes[0, 1].tolist(), boxes[0, 2].tolist(), boxes[1, 1].tolist()]


def test_lines_are_dark_on_light_and_fit() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        image = text.line(generator, text.phrase(generator, 2), 48)
        assert image.shape[0] == 48
        assert image.shape[2] == 3
        assert np.median(image) > 150 > 110 > image.min()
    assert text.page(generator, 128).shape == (128, 128, 3)


def test_parts_of_the_pictures_are_disjoint() -> None:
    pictures = {name: {image.tobytes() for image in images} for name, (images, _) in fashion._pictures().items()}
    assert {name: len(images) for name, images in pictures.items()} == {"train": 2000, "val": 1000, "test": 1000}
    assert not pictures["train"] & (pictures["val"] | pictures["test"])
    assert not pictures["val"] & pictures["test"]


# Fetched models


@pytest.mark.parametrize("name", FETCHED)
def test_fetched_subject(name: str, tmp_path: Path) -> None:
    subject, cache = SUBJECTS[name], Path.home() / ".cache" / "natonnx-subjects"
    folder = tmp_path / name
    folder.mkdir()
    try:
        subject.maker(folder, cache, Effort({"test": 24}, 0.0))
    except UnavailableError as error:
        pytest.skip(str(error))
    arrays = part(subject, tmp_path, "test")
    scores = run(subject.model(tmp_path), {"x": arrays["x"]})[0]
    if name == "ppocr-detector":  # some of each page is text, most is not
        assert 0.02 < (scores > 0.3).mean() < 0.5
    elif name == "ppocr-recogniser":  # class 0 is the blank
        assert (scores.argmax(-1) != 0).any(-1).all()
    else:
        assert (scores.argmax(-1) == arrays["labels"]).mean() > 0.9


def test_turned_lines_are_of_both_kinds() -> None:
    images, labels = ocr.turned_lines(np.random.default_rng(0), 50)
    assert set(labels.tolist()) == {0, 1}
    assert all(image.shape[0] == 48 for image in images)
