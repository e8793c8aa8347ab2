"""Shifts and flips of a batch."""

import subprocess
import sys
from typing import Literal

import pytest
import torch

from natonnx.data import random_shift_flip


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shifted(image: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """A plain, slow shift of one image that repeats the edge."""
    _, height, width = image.shape
    padded = torch.nn.functional.pad(image[None], (2, 2, 2, 2), mode="replicate")[0]
    return padded[:, 2 + down : 2 + down + height, 2 + right : 2 + right + width]


@pytest.mark.parametrize("kind", ["shift", "shift-flip"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_image_is_a_small_shift_of_itself_or_its_mirror(
    kind: Literal["shift", "shift-flip"], channels: int
) -> None:
    batch = torch.rand(64, channels, 28, 32, generator=generator(1))
    moved = random_shift_flip(batch, kind, generator())
    assert moved.shape == batch.shape
    found = set()
    for before, after in zip(batch, moved, strict=True):
        moves = [(y, x, flip) for y in range(-2, 3) for x in range(-2, 3) for flip in (False, True)]
        fits = [m for m in moves if torch.equal(after, shifted(before.flip(2) if m[2] else before, m[0], m[1]))]
        assert len(fits) == 1
        found.update(fits)
    assert len(found) > 10
    assert {flip for _, _, flip in found} == ({False, True} if kind == "shift-flip" else {False})


def test_the_generator_decides() -> None:
    batch = torch.rand(8, 1, 28, 28)
    once, again = (random_shift_flip(batch, "shift-flip", generator(5)) for _ in range(2))
    assert torch.equal(once, again)
    assert not torch.equal(once, random_shift_flip(batch, "shift-flip", generator(6)))


@pytest.mark.parametrize("shape", [(8, 32), (8, 28, 28), (8, 28, 28, 1), (8, 16, 28, 28)])
def test_what_is_no_image_is_returned_unchanged(shape: tuple[int, ...]) -> None:
    batch = torch.rand(shape)
    assert random_shift_flip(batch, "shift-flip", generator()) is batch


def test_none_changes_nothing() -> None:
    batch = torch.rand(2, 1, 28, 28)
    assert random_shift_flip(batch, "none", generator()) is batch


def test_images_below_14_pixels_are_flipped_but_not_shifted() -> None:
    batch = torch.rand(16, 1, 8, 8)
    moved = random_shift_flip(batch, "shift-flip", generator())
    assert all(torch.equal(b, a) or torch.equal(b.flip(2), a) for b, a in zip(batch, moved, strict=True))
    assert torch.equal(random_shift_flip(batch, "shift", generator()), batch)


def test_the_data_room_imports_neither_torch_nor_pillow() -> None:
    code = "import natonnx.data, sys; print([m for m in ('torch', 'PIL', 'onnx') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
