"""Scenes of coloured shapes on noise, with their boxes: what the detectors are trained on."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

__all__ = ["CLASSES", "SIZE", "STRIDES", "Box", "scene", "targets"]

SIZE = 64
STRIDES = (4, 8, 16)
CLASSES = 3
"""Disc, rectangle, triangle."""

_LARGEST = (14, 26, SIZE)


class Box(NamedTuple):
    """A shape: its class, and its sides in pixels."""

    kind: int
    left: float
    top: float
    right: float
    bottom: float


def scene(generator: np.random.Generator) -> tuple[npt.NDArray[np.float32], list[Box]]:
    """Draw one to four shapes.

    Returns:
        Pixels ``[3, 64, 64]`` from 0 to 1, and the boxes.
    """
    image = Image.new("RGB", (SIZE, SIZE), _color(generator, 0, 100))
    draw, boxes = ImageDraw.Draw(image), []
    for _ in range(int(generator.integers(1, 5))):
        width, height = np.exp(generator.uniform(np.log(8), np.log(40), 1) + generator.uniform(-0.3, 0.3, 2))
        left, top = generator.uniform(0, SIZE - width), generator.uniform(0, SIZE - height)
        box = Box(int(generator.integers(0, CLASSES)), left, top, left + width, top + height)
        corners, color = (box.left, box.top, box.right, box.bottom), _color(generator, 140, 256)
        if box.kind == 0:
            draw.ellipse(corners, color)
        elif box.kind == 1:
            draw.rectangle(corners, color)
        else:
            draw.polygon([(left, box.bottom), (box.right, box.bottom), (left + width / 2, top)], color)
        boxes.append(box)
    pixels = np.asarray(image, np.float32).transpose(2, 0, 1) / 255
    noisy = pixels + generator.normal(0, 0.05, pixels.shape).astype(np.float32)
    return noisy.clip(0, 1), boxes


def targets(scenes: list[list[Box]]) -> list[npt.NDArray[np.float32]]:
    """Say what a detector's maps should hold: a box belongs to the cell of its middle, at the stride of its size.

    Returns:
        By stride ``[N, 6, 64/stride, 64/stride]``: left, top, right and bottom as distances from the cell's middle in
        cells, 1 where there is an object, its class.
    """
    maps = [np.zeros((len(scenes), 6, SIZE // stride, SIZE // stride), np.float32) for stride in STRIDES]
    for row, boxes in enumerate(scenes):
        for kind, left, top, right, bottom in boxes:
            side = max(right - left, bottom - top)
            scale = next(i for i, largest in enumerate(_LARGEST) if side <= largest or i == len(_LARGEST) - 1)
            stride = STRIDES[scale]
            x, y = int((left + right) / 2 / stride), int((top + bottom) / 2 / stride)
            middle = ((x + 0.5) * stride, (y + 0.5) * stride)
            sides = (middle[0] - left, middle[1] - top, right - middle[0], bottom - middle[1])
            maps[scale][row, :, y, x] = [*(distance / stride for distance in sides), 1, kind]
    return maps


def _color(generator: np.random.Generator, low: int, high: int) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in generator.integers(low, high, 3))
    return red, green, blue
