"""The PP-OCR models of one pinned wheel: real, trained, and exported by Paddle with every weight a Constant node."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

__all__ = ["OCR", "OCR_SHAPES", "UnavailableError", "ocr_model"]

REQUIREMENT = "rapidocr-onnxruntime==1.4.4"  # Apache-2.0
WHEEL = "rapidocr_onnxruntime-1.4.4-py3-none-any.whl"
SHA256 = "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf"

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


class UnavailableError(Exception):
    """A model that cannot be had here, and why."""


def ocr_model(name: str, cache: Path) -> Path:
    """Path of a PP-OCR model, fetched into a folder on the first call.

    Args:
        name: One of `OCR`.
        cache: Folder outside the repository: the models are never committed.

    Raises:
        UnavailableError: If the wheel cannot be downloaded, or is not the one expected.
    """
    path = cache / OCR[name]
    if not path.exists():
        wheel = _wheel(cache)
        with zipfile.ZipFile(wheel) as archive:
            path.write_bytes(archive.read(f"rapidocr_onnxruntime/models/{OCR[name]}"))
    return path


def _wheel(cache: Path) -> Path:
    """Download the wheel without its dependencies: they would bring a second onnxruntime."""
    cache.mkdir(parents=True, exist_ok=True)
    wheel = cache / WHEEL
    if not wheel.exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(cache), REQUIREMENT]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if not wheel.exists():
            reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise UnavailableError(f"{REQUIREMENT} cannot be downloaded: {reason}")
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != SHA256:
        raise UnavailableError(f"{wheel}: SHA-256 is {found}, not {SHA256}; delete it")
    return wheel
