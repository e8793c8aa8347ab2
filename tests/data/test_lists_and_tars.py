"""Pictures of lists and of tar archives are those of the folder, with the labels that stand beside them."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from natonnx.data import load
from natonnx.errors import InputError
from tests.data.conftest import Loaded, image_model, images, labels

X, Y = images(30, 6, 5), labels(30)
MODEL = image_model(6, 5)
NAMES = ("cat", "dog", "owl")


def png(picture: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (tmp_path / "my pictures").mkdir()
    for index, picture in enumerate(X):
        (tmp_path / "my pictures" / f"{index:02}.png").write_bytes(png(picture))
    return tmp_path


def lines(separator: str, label: Callable[[int], Any], rows: range = range(30), head: str = "") -> str:
    return head + "".join(f"my pictures/{row:02}.png{separator}{label(row)}\n" for row in rows)


def check(data: Any, expected: Any = (X, Y), model: Any = MODEL, **options: Any) -> None:
    """It is the same data as the pictures in memory, in every part."""
    ours, theirs = Loaded(load(data, model, cache=0, **options)), Loaded(load(expected, model))
    for name in ("train", "validation", "test"):
        one, other = getattr(ours, name), getattr(theirs, name)
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_array_equal(one.inputs, other.inputs)
            np.testing.assert_array_equal(one.labels, other.labels)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.txt", lines(" ", lambda row: row % 3)),
        ("list.txt", lines("\t", lambda row: NAMES[row % 3], head="# made by hand\n\n")),
        ("list.csv", lines(",", lambda row: row % 3, head="path,label\n")),
        ("list.csv", "\ufeff" + "".join(f'"my pictures/{row:02}.png", {NAMES[row % 3]},more\n' for row in range(30))),
        ("list.TSV", lines("\t", lambda row: row % 3)),
    ],
)
def test_lists(pictures: Path, name: str, content: str) -> None:
    (pictures / name).write_text(content, encoding="utf-8")
    check(str(pictures / name))


def test_lists_without_labels(pictures: Path) -> None:
    for name in ("list.txt", "list.csv"):
        (pictures / name).write_text(lines("", lambda _row: ""))
        check(pictures / name, X)


def test_a_folder_of_lists_has_their_parts(pictures: Path) -> None:
    for name, rows in (("train", range(20)), ("valid", range(20, 26)), ("test", range(26, 30))):
        (pictures / f"{name}.txt").write_text(lines(" ", lambda row: NAMES[row % 3], rows))
    arrays = {"train": (X[:20], Y[:20]), "val": (X[20:26], Y[20:26]), "test": (X[26:], Y[26:])}
    check(pictures, arrays)
    (pictures / "test.csv").write_text(lines(",", lambda row: NAMES[row % 3]))
    with pytest.raises(InputError, match=r"has both test\.csv and test\.txt: keep one of the two"):
        load(pictures, MODEL)
    (pictures / "test.csv").unlink()
    (pictures / "train.txt").write_text("this is how it was trained\n")
    assert load(pictures, MODEL, classes={"my pictures": 0}).train.samples == 18  # a class folder, and notes beside it


def test_classes_of_a_list(pictures: Path) -> None:
    (pictures / "list.csv").write_text(lines(",", lambda row: NAMES[row % 3]))
    path, wide = str(pictures / "list.csv"), image_model(6, 5, classes=1000)
    given = {"cat": 7, "dog": 2, "owl": 900}
    check(path, (X, np.array([given[NAMES[label]] for label in Y])), wide, classes=given)
    with pytest.raises(InputError, match=r"list\.csv: names 3 classes, but the model's output has 1000: .*--classes"):
        load(path, wide)
    with pytest.raises(InputError, match=r"list\.csv: the classes file lacks 'owl': add each class"):
        load(path, wide, classes={"cat": 1, "dog": 2})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.txt", "\n\n", "names no pictures: give lines of a path and a label"),
        ("l.txt", "gone.png 1\n", "line 1 names 'gone.png', which is no file: paths are relative to the list"),
        ("l.csv", "my pictures/00.png,1\nmy pictures/01.png\n", "line 2 has no label, but others have"),
        ("l.csv", "my pictures/00.png,7\nmy pictures/01.png,0\n", "labels runs from 0 to 7, but .* has 3 classes"),
        ("l.txt", b"\xff\xfe\x00", "is no list of pictures: give UTF-8 text"),
        ("l.txt", "l.txt 0\nl.txt 1\n", "l.txt: cannot be read as an image"),
        ("l.txt", ". 0\n", "line 1 names '.', which is no file"),
    ],
)
def test_bad_lists_are_one_line(pictures: Path, name: str, content: Any, message: str) -> None:
    (pictures / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message) as caught:
        load(pictures / name, MODEL)
    assert "\n" not in str(caught.value)


def tar(
    path: Path, rows: range, label: Callable[[int], tuple[str, bytes] | None], kind: int = tarfile.PAX_FORMAT
) -> Path:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w", format=kind) as archive:
        for row in rows:
            beside = label(row)
            for suffix, content in (("png", png(X[row])), *(() if beside is None else (beside,))):
                member = tarfile.TarInfo(f"{'x' * 120 if row == 3 else 'shard'}/{row:04}.{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


def index(row: int) -> tuple[str, bytes]:
    return "cls", str(row % 3).encode()


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize(
    "label",
    [
        index,
        lambda row: ("json", json.dumps({"label": NAMES[row % 3], "width": 5}).encode()),
        lambda row: ("cls", f"{NAMES[row % 3]}\n".encode()),
    ],
)
def test_archives(tmp_path: Path, kind: int, label: Any) -> None:
    check(tar(tmp_path / "set.tar", range(30), label, kind))


def test_folders_of_archives(tmp_path: Path) -> None:
    for number in range(3):
        tar(tmp_path / "shards" / f"{number}.tar", range(10 * number, 10 * number + 10), index)
    check(tmp_path / "shards")
    tar(tmp_path / "parts" / "none.tar", range(2), index).unlink()
    for name, rows in (("train", range(20)), ("val", range(20, 30))):
        tar(tmp_path / "parts" / name / "0.tar", rows, index)
    check(tmp_path / "parts", {"train": (X[:20], Y[:20]), "val": (X[20:], Y[20:])})
    check(tar(tmp_path / "bare.tar", range(30), lambda _row: None), X)


def test_names_and_links_within_an_archive_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "set.tar"
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"untouched")
    with tarfile.open(path, "w") as archive:
        for name, kind in (
            ("link.png", tarfile.SYMTYPE),
            ("hard.png", tarfile.LNKTYPE),
            ("pipe.png", tarfile.FIFOTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        for row in range(30):
            for suffix, content in (("png", png(X[row])), index(row)):
                member = tarfile.TarInfo(f"../../{outside}/\n\x1b[31m{row:04}.{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    before = sorted(tmp_path.iterdir())
    check(path)
    assert sorted(tmp_path.iterdir()) == before
    assert outside.read_bytes() == b"untouched"


@pytest.mark.parametrize("cut", [-600, 700, 300, 40_000])
def test_a_truncated_archive_is_one_line(tmp_path: Path, cut: int) -> None:
    path = tar(tmp_path / "set.tar", range(30), index)
    with tarfile.open(path) as archive:
        end = archive.getmembers()[-1].offset_data
    content = path.read_bytes()
    path.write_bytes(content[: end + cut] if cut < 0 else content[:cut])
    with pytest.raises(
        InputError, match=r"set\.tar: is no tar archive, or damaged, or truncated: make it anew"
    ) as caught:
        load(path, MODEL)
    assert "\n" not in str(caught.value)


def test_a_damaged_header_is_no_end(tmp_path: Path) -> None:
    path = tar(tmp_path / "set.tar", range(30), index)
    content = bytearray(path.read_bytes())
    with tarfile.open(path) as archive:
        content[archive.getmembers()[20].offset + 150] ^= 1  # of its checksum
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        load(path, MODEL)


def test_bad_archives_are_one_line(tmp_path: Path) -> None:
    cases: list[tuple[Any, str]] = [
        (lambda row: index(row) if row else None, r"shard/0000\.png has no label, but others have"),
        (lambda _row: ("json", b"{"), r"shard/0000\.json: is no label \(JSONDecodeError\)"),
        (lambda _row: ("cls", b"\xff"), r"shard/0000\.cls: is no label \(UnicodeDecodeError\)"),
    ]
    for label, message in cases:
        with pytest.raises(InputError, match=message):
            load(tar(tmp_path / "set.tar", range(30), label), MODEL)
    tar(tmp_path / "none.tar", range(0), index)
    with pytest.raises(InputError, match=r"none\.tar: holds no pictures: name them key\.jpg"):
        load(tmp_path / "none.tar", MODEL)
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "set.tar", "set.tar")
    with pytest.raises(InputError, match=r"set\.tar\.gz: is compressed: unpack it"):
        load(tmp_path / "set.tar.gz", MODEL)
