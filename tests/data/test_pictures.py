"""Folders of pictures: with class folders or without, and what becomes of each kind of picture."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from natonnx.data import ArrayBatches, Batches, load
from natonnx.errors import InputError
from tests.data.conftest import BYTE, image_model, images

Folder = Callable[..., Path]


def refused(match: str, folder: Path, *shape: int | None, classes: int | None = 3, **options: Any) -> None:
    with pytest.raises(InputError, match=match) as caught:
        load(str(folder), image_model(*shape, classes=classes), **options)
    assert "\n" not in str(caught.value)


def pixels(part: Batches) -> Any:
    assert isinstance(part, ArrayBatches)
    return part.inputs["x"]


def fill(folder: Path, picture: Image.Image, count: int = 5, suffix: str = ".png", **options: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        picture.save(folder / f"{index}{suffix}", **options)


def one(tmp_path: Path, picture: Image.Image, *shape: int | None, suffix: str = ".png", **options: Any) -> Any:
    """What a picture becomes, as 8-bit values, and the notes but for the division."""
    fill(tmp_path, picture, suffix=suffix, **options)
    parts = load(str(tmp_path), image_model(*shape, dtype=BYTE))
    return pixels(parts.train)[0], [note for note in parts.notes if not note.startswith("divided")]


def test_pictures_need_no_class_folders(tmp_path: Path) -> None:
    raw = images(10, 6, 5, 3)
    for index, picture in enumerate(raw):
        Image.fromarray(picture).save(tmp_path / f"{index}.png")
    (tmp_path / "README.md").write_text("no picture")
    (tmp_path / "empty").mkdir()
    parts = load(str(tmp_path), image_model(3, None, None))
    seen = []
    for part in (parts.train, parts.validation):
        assert not part.has_targets
        seen += [np.round(255 * picture).astype(np.uint8).transpose(1, 2, 0).tobytes() for picture in pixels(part)]
    assert sorted(seen) == sorted(picture.tobytes() for picture in raw)
    assert parts.test is None
    few = "divided by chance (seed 0): 80 % training, 20 % validation; too few for a test as well"
    assert parts.notes[:2] == ("passed over: *.md, empty/", few)


def test_parts_of_pictures(tmp_path: Path) -> None:
    for value, name in enumerate(("train", "val", "test")):
        fill(tmp_path / name, Image.new("L", (5, 6), 100 * value), count=value + 1)
    parts = load(str(tmp_path), image_model(6, 5, dtype=BYTE), targets="none")
    assert parts.test is not None
    assert [set(pixels(part).ravel().tolist()) for part in (parts.train, parts.validation, parts.test)] == [
        {0},
        {100},
        {200},
    ]
    assert [part.samples for part in (parts.train, parts.validation, parts.test)] == [1, 2, 3]
    assert parts.notes == ()


def test_class_folders_of_any_number_do_where_labels_are_not_used(tmp_path: Path, classes_folder: Folder) -> None:
    folder = classes_folder(tmp_path / "set")
    parts = load(str(folder), image_model(6, 5, classes=1000), targets="none")
    assert not parts.train.has_targets
    assert parts.notes[-2] == "labels are not used"
    labelled = load(str(folder), image_model(6, 5), targets="labels")
    np.testing.assert_array_equal(pixels(parts.train), pixels(labelled.train))
    assert load(str(folder), image_model(6, 5, classes=1000), targets="any").train.has_targets


def test_numbers_as_names_of_classes_are_noted_where_they_stand_in_another_order(
    tmp_path: Path, classes_folder: Folder
) -> None:
    told = "classes are numbered in the order of their names as text (0, 10, 9, …), as torchvision does; "
    folder = classes_folder(tmp_path / "set", ("0", "9", "10"))
    labelled = load(str(folder), image_model(6, 5))
    assert labelled.notes[0] == f"{told}--classes FILE says otherwise"
    given = load(str(folder), image_model(6, 5), classes={"0": 0, "9": 1, "10": 2})
    for parts in (given, load(str(folder), image_model(6, 5), targets="none")):
        assert not any(note.startswith("classes are numbered") for note in parts.notes)
    in_order = classes_folder(tmp_path / "order", ("7", "8", "9"))
    assert not any(note.startswith("classes are") for note in load(str(in_order), image_model(6, 5)).notes)


def test_pictures_beside_class_folders_are_noted(tmp_path: Path, classes_folder: Folder) -> None:
    folder = classes_folder(tmp_path / "set")
    Image.new("L", (5, 6)).save(folder / "stray.png")
    parts = load(str(folder), image_model(6, 5))
    assert parts.train.samples == 18
    assert parts.notes[0] == "1 picture beside the class folders: passed over"


def test_train_may_be_a_class(tmp_path: Path, classes_folder: Folder) -> None:
    classes_folder(tmp_path / "set", ("bus", "car", "train"))
    parts = load(tmp_path / "set", image_model(6, 5))
    assert (parts.train.samples, parts.train.has_targets) == (18, True)


def test_labels_for_some_parts_only(tmp_path: Path, classes_folder: Folder) -> None:
    classes_folder(tmp_path / "train")
    fill(tmp_path / "test", Image.new("L", (5, 6)))
    refused("has no labels for test, but for other parts", tmp_path, 6, 5)
    assert not load(str(tmp_path), image_model(6, 5), targets="none").train.has_targets


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright(tmp_path: Path, orientation: int) -> None:
    """The EXIF tag says which way round the pixels are stored (EXIF 2.3, section 4.6.4, tag 274)."""
    upright = images(1, 4, 6)[0]
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    got, notes = one(tmp_path, Image.fromarray(np.ascontiguousarray(stored)), 4, 6, exif=exif)
    np.testing.assert_array_equal(got, upright)
    assert notes == ([] if orientation == 1 else ["5 pictures turned upright, as EXIF says"])


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path, suffix: str) -> None:
    deep = np.linspace(0, 65535, 24).astype(np.uint16).reshape(4, 6)
    got, notes = one(tmp_path, Image.fromarray(deep), 4, 6, suffix=suffix)
    np.testing.assert_array_equal(got, np.round(deep / 65535 * 255))
    assert notes == ["5 grey pictures of 16 bits scaled to 8 bits"]


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (np.ones((4, 6), np.float32), r"0\.tif: has floating-point pixels, .*: save it with 8 or 16 bits"),
        (np.full((4, 6), np.nan, np.float32), r"0\.tif: has pixels that are NaN or infinite: mend or remove it"),
        (np.full((4, 6), 70000, np.int32), r"0\.tif: has pixels from 70000 to 70000: save it with 8 or 16 bits"),
        (
            np.full((4, 6), 255, np.int32),
            r"0\.tif: has pixels from 255 to 255: save it with 8 or 16 bits, as natonnx cannot know",
        ),
        (np.full((4, 6), -1, np.int32), r"0\.tif: has pixels from -1 to -1: save it"),
    ],
)
def test_pixels_of_unknown_range_are_refused(tmp_path: Path, array: Any, match: str) -> None:
    fill(tmp_path, Image.fromarray(array), suffix=".tif")
    refused(match, tmp_path, 4, 6)


def tiff(path: Path, values: Any, bits: int, *, white_is_zero: bool = False, ends: tuple[float, ...] = ()) -> None:
    """An uncompressed grey TIFF of 4×6 pixels, with entries in the order of TIFF 6.0, section 2."""
    data, kind = values.tobytes(), {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    short = [(256, 6), (257, 4), (258, bits), (259, 1), (262, 0 if white_is_zero else 1)]
    entries = [struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in short]
    entries.append(struct.pack("<HHII", 273, 4, 1, 8))
    entries += [struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in ((277, 1), (278, 4))]
    entries.append(struct.pack("<HHII", 279, 4, 1, len(data)))
    entries.append(struct.pack("<HHIHH", 339, 3, 1, kind, 0))
    entries += [struct.pack("<HHIf", tag, 11, 1, value) for tag, value in zip((340, 341), ends, strict=False)]
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory)


RAMP = np.linspace(0, 1, 24).reshape(4, 6)


@pytest.mark.parametrize(
    ("values", "bits", "options", "note"),
    [
        (np.round(65535 * RAMP).astype("<u2"), 16, {"white_is_zero": True}, "16 bits"),
        (np.round(65535 * RAMP).astype("<i4"), 32, {"ends": (0.0, 65535.0)}, "16 bits"),
        ((4 * RAMP - 1).astype("<f4"), 32, {"ends": (-1.0, 3.0)}, "floating-point numbers"),
    ],
)
def test_a_range_that_a_file_declares_is_scaled(
    tmp_path: Path, values: Any, bits: int, options: dict[str, Any], note: str
) -> None:
    for index in range(5):
        tiff(tmp_path / f"{index}.tif", values, bits, **options)
    parts = load(str(tmp_path), image_model(4, 6, dtype=BYTE))
    expected = 255 * (1 - RAMP if "white_is_zero" in options else RAMP)
    np.testing.assert_allclose(pixels(parts.train)[0], expected, atol=0.51)
    assert f"5 grey pictures of {note} scaled to 8 bits" in parts.notes


def test_what_is_lost_of_a_picture_is_told(tmp_path: Path) -> None:
    """Further frames, and half of the bits of a colour, which Pillow reads no other way."""
    deep = np.linspace(0, 65535, 4 * 6 * 3).astype(">u2").reshape(4, 18)
    header = struct.pack(">IIBBBBB", 6, 4, 16, 2, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in deep))
    chunks = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
    content = b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    for index in range(5):
        (tmp_path / f"{index}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    frames = [Image.new("RGB", (6, 4), (value, 0, 0)) for value in (255, 0)]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:], lossless=True)
    parts = load(str(tmp_path), image_model(3, 4, 6, dtype=BYTE))
    assert parts.notes[:2] == (
        "5 pictures of 16 bits a colour read with 8",
        "1 picture of several frames or pages: the first was taken",
    )
    assert not any("transparency" in note for note in parts.notes)  # all of it is opaque


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_that_are_not_rgb_are_made_so(tmp_path: Path, channels: int) -> None:
    got, notes = one(tmp_path, Image.new("LAB", (6, 4), (255, 128, 128)), channels, 4, 6, suffix=".tif")
    assert got.min() > 250
    assert notes == [f"5 LAB pictures made {'grey' if channels == 1 else 'RGB'}"]


@pytest.mark.parametrize(
    ("picture", "channels", "suffix", "expected", "notes"),
    [
        (Image.new("L", (6, 4), 77), 3, ".png", [77, 77, 77], ["5 grey pictures made RGB"]),
        (Image.new("RGB", (6, 4), (90, 90, 90)), 1, ".png", [90], ["5 RGB pictures made grey"]),
        (Image.new("1", (6, 4), 1), 1, ".png", [255], ["5 black-and-white pictures made grey"]),
        (
            Image.new("RGB", (6, 4), (255, 0, 0)).convert("P"),
            3,
            ".gif",
            [255, 0, 0],
            ["5 palette pictures made RGB"],
        ),
        (
            Image.new("RGBA", (6, 4), (10, 20, 30, 40)),
            3,
            ".png",
            [10, 20, 30],
            ["5 pictures with transparency: it was dropped"],
        ),
        (
            Image.new("LA", (6, 4), (10, 0)),
            3,
            ".png",
            [10, 10, 10],
            ["5 pictures with transparency: it was dropped", "5 grey pictures made RGB"],
        ),
        (Image.new("CMYK", (6, 4), (0, 0, 0, 255)), 3, ".tif", [0, 0, 0], ["5 CMYK pictures made RGB"]),
        (Image.new("RGB", (6, 4), (1, 2, 3)), 3, ".png", [1, 2, 3], []),
    ],
    ids=lambda value: getattr(value, "mode", None),
)
def test_every_kind_becomes_what_the_model_takes(
    tmp_path: Path, picture: Image.Image, channels: int, suffix: str, expected: list[int], notes: list[str]
) -> None:
    got, told = one(tmp_path, picture, channels, 4, 6, suffix=suffix)
    np.testing.assert_array_equal(got, np.broadcast_to(np.reshape(expected, (-1, 1, 1)), (channels, 4, 6)))
    assert told == notes


def test_transparency_of_a_palette(tmp_path: Path) -> None:
    palette = Image.new("RGB", (6, 4), (255, 0, 0)).convert("P")
    got, told = one(tmp_path, palette, 3, 4, 6, transparency=bytes([128] * 256))
    assert got[:, 0, 0].tolist() == [255, 0, 0]
    assert told == ["5 pictures with transparency: it was dropped", "5 palette pictures made RGB"]


def test_pictures_of_many_sizes_are_resized_to_the_models(tmp_path: Path) -> None:
    fill(tmp_path, Image.new("RGB", (60, 40)), 3)
    Image.new("RGB", (512, 512)).save(tmp_path / "large.png")
    Image.new("RGB", (32, 32)).save(tmp_path / "right.png")
    parts = load(str(tmp_path), image_model(3, 32, 32))
    assert parts.notes[0] == "4 pictures of 40×60 to 512×512 resized to 32×32 (bilinear)"


def test_one_open_size_keeps_the_proportions(tmp_path: Path) -> None:
    """A recogniser of text takes 32 rows and any number of columns."""
    fill(tmp_path, Image.new("RGB", (100, 64)))
    assert pixels(load(str(tmp_path), image_model(3, 32, None)).train).shape == (4, 3, 32, 50)
    assert pixels(load(str(tmp_path), image_model(3, None, 50)).train).shape == (4, 3, 32, 50)
    Image.new("RGB", (64, 64)).save(tmp_path / "square.png")
    refused(
        "images run from 32×32 to 32×50 and the model takes any size: say one with --input-shape", tmp_path, 3, 32, None
    )


def test_progress_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("natonnx.data.picture_reader._SIGN_OF_LIFE", -1.0)
    fill(tmp_path, Image.new("L", (6, 4)), count=40)
    with caplog.at_level("INFO", "natonnx.data"):
        load(str(tmp_path), image_model(4, 6))
    (third,) = (text for text in caplog.messages if text.startswith(f"{tmp_path}: read 24 of 40 pictures, about "))
    assert third.endswith(" s left")


def test_what_is_passed_over_is_told(tmp_path: Path) -> None:
    for name in ("train/cat", "train/dog", "eval/cat"):
        fill(tmp_path / name, Image.new("L", (5, 6)), count=10)
    (tmp_path / "train" / "cat" / "notes.txt").write_text("no picture")
    (tmp_path / "train" / "cat" / "more").mkdir()
    (tmp_path / "train" / "dog" / "gone.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "train" / ".DS_Store").write_text("hidden")
    notes = load(str(tmp_path), image_model(6, 5), targets="none").notes
    assert "passed over: *.txt, eval/, gone.png, more/" in notes


def test_a_png_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, Image.fromarray(images(1, 30, 30)[0]), count=10)
    path = next(iter(tmp_path.glob("*.png")))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"{path.name}: cannot be read as an image: mend or remove it"):
        load(str(tmp_path), image_model(6, 5))


def test_a_picture_of_too_many_pixels_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    fill(tmp_path / "some", Image.new("L", (5, 6)), count=10)
    assert load(str(tmp_path / "some"), image_model(6, 5)).train.samples == 8
    fill(tmp_path / "all", Image.new("L", (7, 6)), count=10)
    with pytest.raises(InputError, match="has too many pixels to be read: make it smaller, or remove it"):
        load(str(tmp_path / "all"), image_model(6, 5))


def test_damage_of_any_kind_is_told(tmp_path: Path) -> None:
    """A TIFF without its sizes, of which Pillow raises no error of files."""
    tiff(tmp_path / "0.tif", np.zeros((4, 6), np.uint8), 8)
    content = bytearray((tmp_path / "0.tif").read_bytes())
    content[content.index(struct.pack("<HHIHH", 256, 3, 1, 6, 0)) + 1] = 0
    (tmp_path / "0.tif").write_bytes(content)
    refused(r"0\.tif: cannot be read as an image: mend or remove it", tmp_path, 4, 6)
