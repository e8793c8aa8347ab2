"""Decode pictures: grey or RGB, upright, 8 bits a channel, of the model's size."""

import io
import math
import warnings
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from natonnx.data.batches import Array
from natonnx.data.dataset import Layout
from natonnx.data.layout import Shape, layout_of, text
from natonnx.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["SUFFIXES", "PictureFormat", "Remarks", "counted", "decode", "picture_format", "prepare"]

SUFFIXES = {".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
_MODES = {1: "L", 3: "RGB", None: "RGB"}
_TRANSPARENT = ("LA", "La", "PA", "RGBA", "RGBa")
_WORDS = {
    "1": "black-and-white",
    "L": "grey",
    "LA": "grey",
    "La": "grey",
    "P": "palette",
    "PA": "palette",
    "RGB": "RGB",
    "RGBA": "RGB",
    "RGBa": "RGB",
}
_ORIENTATION = 0x0112  # the EXIF tag
_PHOTOMETRIC, _LEAST, _MOST = 262, 340, 341  # TIFF's tags
_WHITE_IS_ZERO = 0
_OPAQUE = 255


@dataclass(frozen=True)
class PictureFormat:
    """What pictures are made.

    Attributes:
        mode: Of Pillow: ``L`` for one channel, ``RGB`` for three.
        height: In pixels; None for any.
        width: In pixels; None for any.
    """

    mode: str
    height: int | None
    width: int | None


@dataclass
class Remarks:
    """What was done to pictures.

    Attributes:
        counts: Of how many, by what.
        resized: How many were resized.
        sizes: The least and the largest size, height and width, of these.
        to: The size that they have now.
    """

    counts: Counter[str] = field(default_factory=Counter)
    resized: int = 0
    sizes: tuple[tuple[int, int], ...] = ()
    to: tuple[int, int] | None = None

    def count(self, what: str) -> None:
        """Count a picture that something was done to."""
        self.counts[what] += 1

    def resize(self, size: tuple[int, int], to: tuple[int, int]) -> None:
        """Note a picture of another size, height and width."""
        self.add(Remarks(resized=1, sizes=(size,), to=to))

    def add(self, other: "Remarks") -> None:
        """Add what was done to other pictures."""
        self.counts.update(other.counts)
        self.resized += other.resized
        sizes = (*self.sizes, *other.sizes)
        self.sizes, self.to = (min(sizes), max(sizes)) if sizes else (), other.to or self.to

    def notes(self, suffix: str = "") -> tuple[str, ...]:
        """Return a sentence for each kind of thing, with what they end in."""
        notes = [counted(count, what) for what, count in self.counts.items()]
        if self.to is not None:
            least, most = self.sizes
            sizes = text(least) if least == most else f"{text(least)} to {text(most)}"
            notes.append(f"{counted(self.resized, 'pictures')} of {sizes} resized to {text(self.to)} (bilinear)")
        return tuple(f"{note}{suffix}" for note in notes)


def counted(count: int, what: str) -> str:
    """Write a number of pictures."""
    return f"{count:,} {what.replace('pictures', 'picture', 1) if count == 1 else what}"


def picture_format(shape: Shape, layout: Layout | None, where: str) -> PictureFormat:
    """Say what pictures a model takes.

    Args:
        shape: The model's input without the batch axis.
        layout: Of the model's input, where its shape does not tell.
        where: The source, for messages.

    Raises:
        InputError: If it takes none.
    """
    if len(shape) == 2:
        return PictureFormat("L", shape[0], shape[1])
    if len(shape) != 3:
        raise InputError(f"{where}: a folder of images needs an image model, but this model's input is {text(shape)}")
    channels, height, width = shape
    if (layout or layout_of(shape, where)) == "NHWC":
        height, width, channels = shape
    if channels not in _MODES:
        raise InputError(f"{where}: images have 1 or 3 channels, but the model's input {text(shape)} has {channels}")
    return PictureFormat(_MODES[channels], height, width)


def decode(content: bytes, name: str, made: PictureFormat, remarks: Remarks) -> Array:
    """Decode a picture.

    Where a model leaves height and width open, it keeps its size; where it leaves one open, its proportions.

    Args:
        content: Of its file.
        name: Of its file, for messages.
        made: What it is made.
        remarks: Told what was done.

    Returns:
        uint8 ``[H, W]`` or ``[H, W, 3]``.

    Raises:
        InputError: If it cannot be read.
    """
    from PIL import Image, ImageOps

    try:
        if name.lower().endswith(".png"):
            with Image.open(io.BytesIO(content)) as checked:
                checked.verify()  # its checksums
        with Image.open(io.BytesIO(content)) as opened:
            stored = _stored_as(opened)
            pixels_range = _declared_range(opened, stored)
            if getattr(opened, "n_frames", 1) > 1:
                remarks.count("pictures of several frames or pages: the first was taken")
            opened.load()
            is_turned = opened.getexif().get(_ORIENTATION, 1) in range(2, 9)
            upright = ImageOps.exif_transpose(opened) if is_turned else opened
        grey = _to_8_bits(upright, pixels_range, name, remarks, unsigned=stored in ("I;32", "I;32N", "I;32B"))
        image = _to_mode(grey, made.mode, remarks)
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: has too many pixels to be read: make it smaller, or remove it") from error
    except (InputError, MemoryError):
        raise
    except Exception as error:  # whatever damage makes a decoder raise, TypeError among it
        raise InputError(f"{name}: cannot be read as an image: mend or remove it") from error
    if is_turned:
        remarks.count("pictures turned upright, as EXIF says")
    if ";16" in stored and not upright.mode.startswith("I"):
        remarks.count("pictures of 16 bits a colour read with 8")
    height, width = _size(image, made)
    if (image.height, image.width) != (height, width):
        remarks.resize((image.height, image.width), (height, width))
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image)


def prepare() -> None:
    """Load all of Pillow before several threads ask for parts of it, and let it not warn of what is large but legal.

    That warning is switched for the whole process: no thread can have its own filter of warnings.
    """
    from PIL import Image

    Image.init()
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def _stored_as(image: "Image.Image") -> str:
    """Return what Pillow calls the layout of the pixels in a file that it has opened; "" where it has no name."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else ""
    if not isinstance(arguments, tuple):
        return str(arguments or "")
    is_deep = image.format == "PPM" and len(arguments) > 1 and arguments[1] > 255
    return f"{arguments[0]};16" if is_deep else str(arguments[0])


def _declared_range(image: "Image.Image", stored: str) -> tuple[float, float] | None:
    """Return the values that are black and white in a grey picture of more than 8 bits; None where none is declared.

    16 bits are all used, as are 12 (TIFF); of 32 bits and of floating-point numbers, the tags SMinSampleValue and
    SMaxSampleValue say that (TIFF 6.0, section 19).
    """
    tags = getattr(image, "tag_v2", {})
    if image.mode.startswith("I;16") or (image.mode == "I" and (image.format == "PPM" or stored.startswith("I;16B"))):
        white = 4095 if stored == "I;12" else 65535
        return (white, 0) if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else (0, white)
    low, high = (tags.get(tag, math.nan) for tag in (_LEAST, _MOST))
    low, high = (float(end[0] if isinstance(end, tuple) else end) for end in (low, high))
    return (low, high) if math.isfinite(high - low) and low < high else None


def _to_8_bits(
    image: "Image.Image", pixels_range: tuple[float, float] | None, name: str, remarks: Remarks, *, unsigned: bool
) -> "Image.Image":
    from PIL import Image

    if not image.mode.startswith(("I", "F")):
        return image
    _count_transparency(image, remarks)
    raw = np.asarray(image)
    pixels = (raw.view(np.uint32) if unsigned else raw).astype(np.float64)
    if not np.isfinite(pixels).all():
        raise InputError(f"{name}: has pixels that are NaN or infinite: mend or remove it")
    has = f"has pixels from {pixels.min():.9g} to {pixels.max():.9g}"
    if pixels_range is None and image.mode == "F":
        raise InputError(
            f"{name}: has floating-point pixels, whose range natonnx cannot know: save it with 8 or 16 bits"
        )
    if pixels_range is None:
        raise InputError(f"{name}: {has}: save it with 8 or 16 bits, as natonnx cannot know what is white")
    black, white = pixels_range
    scaled = (pixels - black) / (white - black)
    if scaled.min() < 0 or scaled.max() > 1:
        raise InputError(f"{name}: {has}, but declares {black:g} to {white:g}: save it with 8 or 16 bits")
    what = "floating-point numbers" if image.mode == "F" else "12 bits" if 4095 in pixels_range else "16 bits"
    remarks.count(f"grey pictures of {what} scaled to 8 bits")
    return Image.fromarray(np.round(255 * scaled).astype(np.uint8))


def _count_transparency(image: "Image.Image", remarks: Remarks) -> None:
    has_alpha = image.mode in _TRANSPARENT and image.getchannel(len(image.getbands()) - 1).getextrema()[0] != _OPAQUE
    if has_alpha or "transparency" in image.info:
        remarks.count("pictures with transparency: it was dropped")


def _to_mode(image: "Image.Image", mode: str, remarks: Remarks) -> "Image.Image":
    _count_transparency(image, remarks)
    was = _WORDS.get(image.mode, image.mode)
    if was != _WORDS[mode]:
        remarks.count(f"{was} pictures made {_WORDS[mode]}")
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")  # Pillow warns of palettes with transparency that become anything else
    if image.mode in ("HSV", "LAB"):
        image = image.convert("RGB")  # Pillow makes nothing else of these
    return image if image.mode == mode else image.convert(mode)


def _size(image: "Image.Image", made: PictureFormat) -> tuple[int, int]:
    """Return the height and width that a picture is to have."""
    if made.height is None and made.width is None:
        return image.height, image.width
    if made.width is None:
        assert made.height is not None
        return made.height, max(1, round(image.width * made.height / image.height))
    if made.height is None:
        return max(1, round(image.height * made.width / image.width)), made.width
    return made.height, made.width
