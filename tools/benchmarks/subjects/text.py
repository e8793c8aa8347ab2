"""Text rendered by Pillow: lines and pages in many fonts, dark ink on light grey, without limit and by seed."""

import functools
import string
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

__all__ = ["Pixels", "digits", "line", "page", "phrase"]

Pixels = npt.NDArray[np.uint8]

_FOLDER = Path("/usr/share/fonts/truetype/dejavu")  # Debian's fonts-dejavu
_CONSONANTS, _VOWELS = "bcdfghjklmnpqrstvwz", "aeiou"


@functools.cache
def _font(index: int, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """One of the DejaVu faces, in turn; Pillow's own where they are not installed."""
    faces = sorted(path for path in _FOLDER.glob("DejaVuSans*.ttf") if "Math" not in path.name)
    faces += sorted(_FOLDER.glob("DejaVuSerif*.ttf"))
    if not faces:
        return ImageFont.load_default(size)
    return ImageFont.truetype(str(faces[index % len(faces)]), size)


def _word(generator: np.random.Generator) -> str:
    """A pronounceable word, capitalised or not, or a number."""
    if generator.random() < 0.2:
        return digits(generator, int(generator.integers(1, 5)))
    pairs = generator.integers(1, 4)
    word = "".join(
        generator.choice(list(_CONSONANTS)) + generator.choice(list(_VOWELS)) for _ in range(int(pairs))
    ) + str(generator.choice(["", "n", "r", "s", "t"]))
    return word.capitalize() if generator.random() < 0.4 else word


def phrase(generator: np.random.Generator, words: int) -> str:
    """Return words with spaces between."""
    return " ".join(_word(generator) for _ in range(words))


def digits(generator: np.random.Generator, count: int) -> str:
    """Return that many decimal digits."""
    return "".join(generator.choice(list(string.digits), count))


def line(generator: np.random.Generator, text: str, height: int) -> Pixels:
    """Render one line of text, cut tight but for a margin, with light noise.

    Returns:
        RGB [height, width, 3], as wide as the text is.
    """
    font = _font(int(generator.integers(1 << 16)), max(8, int(height * generator.uniform(0.55, 0.75))))
    left, top, right, bottom = (int(side) for side in font.getbbox(text))
    margin = [int(side) for side in generator.integers(2, max(3, height // 6), 4)]
    size = (right - left + margin[0] + margin[1], bottom - top + margin[2] + margin[3])
    image = Image.new("RGB", size, _grey(generator, 170, 256))
    ImageDraw.Draw(image).text((margin[0] - left, margin[2] - top), text, _grey(generator, 0, 91), font)
    image = image.resize((max(1, round(size[0] * height / size[1])), height), Image.Resampling.BILINEAR)
    return _noisy(generator, image)


def page(generator: np.random.Generator, size: int) -> Pixels:
    """Render a page with lines of several sizes that start anywhere, on a grey ground.

    Returns:
        RGB [size, size, 3].
    """
    image = Image.new("RGB", (size, size), _grey(generator, 170, 256))
    draw = ImageDraw.Draw(image)
    y = int(generator.integers(2, size // 4))
    while y < size - 12:
        height = int(generator.integers(10, max(12, size // 6)))
        font = _font(int(generator.integers(1 << 16)), height)
        x = int(generator.integers(0, size // 3))
        draw.text((x, y), phrase(generator, int(generator.integers(1, 4))), _grey(generator, 0, 91), font)
        y += height + int(generator.integers(4, size // 8))
    return _noisy(generator, image)


def _grey(generator: np.random.Generator, low: int, high: int) -> tuple[int, int, int]:
    value = int(generator.integers(low, high))
    return value, value, value


def _noisy(generator: np.random.Generator, image: Image.Image) -> Pixels:
    values = np.asarray(image, np.float64)
    noise = generator.normal(0, generator.uniform(0, 6), values.shape)
    noisy: Pixels = (values + noise).clip(0, 255).astype(np.uint8)
    return noisy
