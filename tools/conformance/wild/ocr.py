"""The PP-OCR models of one pinned wheel: real, trained, and exported by Paddle with every weight a Constant node."""

from pathlib import Path

from tools.wheels import RAPIDOCR, UnavailableError, member

__all__ = ["OCR", "OCR_SHAPES", "UnavailableError", "ocr_model"]

OCR: dict[str, str] = {
    "detector": "ch_PP-OCRv4_det_infer.onnx",
    "recogniser": "ch_PP-OCRv4_rec_infer.onnx",
    "orientation": "ch_ppocr_mobile_v2.0_cls_infer.onnx",
}
"""File of each model in the wheel."""

OCR_SHAPES: dict[str, tuple[int, ...]] = {
    "detector": (1, 3, 64, 64),
    "recogniser": (1, 3, 48, 64),
    "orientation": (1, 3, 48, 192),
}
"""Small sizes that the open axes of the inputs admit."""


def ocr_model(name: str, cache: Path) -> Path:
    """Path of a PP-OCR model, fetched into a folder on the first call.

    Args:
        name: One of `OCR`.
        cache: Folder outside the repository: the models are never committed.

    Raises:
        UnavailableError: See `tools.wheels.member`.
    """
    path = cache / OCR[name]
    if not path.exists():
        content = member(RAPIDOCR, f"rapidocr_onnxruntime/models/{OCR[name]}", cache)
        path.write_bytes(content)
    return path
