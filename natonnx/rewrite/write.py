"""Write a model and its external data as they were found: in the model's own file, or in data files beside it.

An edited model never refers to the source's data files. It has its own, named after itself (OUT.onnx.data, further ones
OUT.onnx.data.1, ...), one for each that the source has: its tensors in the same order, as well aligned, without those
that are gone. Data files are in place before the model that refers to them is.
"""

import filecmp
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import onnx
from onnx import TensorProto

from natonnx.errors import InputError
from natonnx.files import Batch, check_writable, is_same
from natonnx.rewrite.pieces import pieces
from natonnx.rewrite.provenance import KEY
from natonnx.tensors import all_tensors, data_files, has_external, is_external, is_pending, locate, location, refer

__all__ = ["check_output", "copied_files", "copy_model", "default_output", "own_files", "write_model"]

_ALIGNMENT = 1 << 16
"""Bytes; what writers of external data align large tensors to at most."""

_CHUNK = 1 << 24


def default_output(path: Path) -> Path:
    """model.onnx → model.nat.onnx, beside it.

    Raises:
        InputError: If the path names no file.
    """
    if not path.name:
        raise InputError(f"{path}: is a folder; give the path of an ONNX model")
    return path.with_suffix(".nat.onnx")


def own_files(model: onnx.ModelProto, output: Path) -> tuple[Path, ...]:
    """The data files that `write_model` makes at most, for a model that was edited from this one."""
    places = dict.fromkeys(location(tensor) for tensor in all_tensors(model) if is_external(tensor))
    return tuple(_own_file(output, i) for i in range(len(places)))


def copied_files(model: onnx.ModelProto, folder: Path, output: Path) -> dict[Path, Path]:
    """The data files that `copy_model` copies, and where to: none within a folder, which needs them once only."""
    if is_same(output.parent, folder):
        return {}
    return {path: output.parent / path.relative_to(folder) for path in data_files(model, folder)}


def check_output(output: Path, source: Path, model: onnx.ModelProto, targets: Iterable[Path], *, force: bool) -> None:
    """Refuse an output that is the input, cannot be written, or would replace a file that natonnx did not write.

    Args:
        output: The path of the model to be written.
        source: The input model's path.
        model: The input model.
        targets: The data files to be written.
        force: Let other files be replaced, but never the input's.

    Raises:
        InputError: In each of these cases.
    """
    targets = (output, *targets)
    for target in targets:
        if target == output or target.parent.is_dir():
            check_writable(target)
    inputs = (source, *data_files(model, source.parent))
    copies = {target: path for path, target in copied_files(model, source.parent, output).items()}
    ours = _written_before(output)
    for target in targets:
        if not target.exists():
            continue
        own = [path for path in inputs if path.exists() and target.samefile(path)]
        if own:
            which = "the input model" if source in own else "the input model's data"
            raise InputError(f"{target}: is {which}, which is never changed; choose another output with -o")
        same = _same_bytes(target, source if target == output else copies.get(target))
        if not (force or same or target.stat().st_size == 0 or target in ours):
            raise InputError(f"{target}: exists and natonnx did not write it; choose another output, or give --force")


def write_model(model: onnx.ModelProto, folder: Path | None, output: Path) -> tuple[Path, ...]:
    """Write an edited model and its data files, whole or not at all.

    Args:
        model: The model; not changed. Its external tensors are pending, or lie in data files of `folder`.
        folder: The source's.
        output: Where to write the model; its data files go beside it.

    Returns:
        The files written, the model last.

    Raises:
        InputError: If a file cannot be written, or the source's data is not there any more.
    """
    copy = model
    if has_external(model):
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
    groups: dict[str, list[TensorProto]] = {}
    for tensor in filter(is_external, all_tensors(copy)):
        groups.setdefault(str(location(tensor)), []).append(tensor)
    stale = _written_before(output)
    written: list[Path] = []
    with Batch() as batch:
        for i, tensors in enumerate(groups.values()):
            written.append(_own_file(output, i))
            _write_data(batch.open(written[-1]), tensors, folder, written[-1].name)
        written.append(output)
        batch.open(output).writelines(pieces(copy))
        batch.commit()
    _clear(stale, written)
    return tuple(written)


def copy_model(source: Path, model: onnx.ModelProto, output: Path) -> None:
    """Write the bytes of a model file and of its data files, which keep their names relative to the model.

    Raises:
        InputError: If a file cannot be written.
    """
    stale = _written_before(output)
    with Batch() as batch:
        for path, target in copied_files(model, source.parent, output).items():
            if not _same_bytes(target, path):
                _copy(path, batch.open(target, make_folder=True))
        _copy(source, batch.open(output))
        batch.commit()
    _clear(stale, (*data_files(model, output.parent), output))


def _own_file(output: Path, i: int) -> Path:
    return output.with_name(f"{output.name}.data.{i}" if i else f"{output.name}.data")


def _written_before(output: Path) -> tuple[Path, ...]:
    """The output's files that an earlier run of natonnx wrote, the model last."""
    if not output.is_file():
        return ()
    try:
        model = onnx.load(output, "protobuf", load_external_data=False)
    except Exception:  # whatever it is, it is not ours
        return ()
    if not any(prop.key == KEY for prop in model.metadata_props):
        return ()
    own = own_files(model, output)
    return (*(path for path in data_files(model, output.parent) if path in own), output)


def _same_bytes(path: Path, other: Path | None) -> bool:
    if other is None or not other.is_file() or path.is_symlink() or not path.is_file():
        return False
    return filecmp.cmp(path, other, shallow=False)


def _copy(path: Path, file: BinaryIO) -> None:
    with path.open("rb") as source:
        shutil.copyfileobj(source, file, _CHUNK)


def _clear(stale: Iterable[Path], keep: Iterable[Path]) -> None:
    """Remove the data files of a model that was replaced, and that the new one does without."""
    for path in set(stale) - set(keep):
        path.unlink(missing_ok=True)


def _write_data(file: BinaryIO, tensors: list[TensorProto], folder: Path | None, name: str) -> None:
    """Write the values of the tensors of one data file, and make them refer to it; shared bytes stay shared."""
    shared: dict[tuple[int, int], int] = {}
    for tensor in sorted(tensors, key=_offset):
        before = _offset(tensor)
        if is_pending(tensor):
            start = _align(file, before, len(tensor.raw_data))
            file.write(tensor.raw_data)
        else:
            path, offset, length = locate(tensor, folder)
            if (offset, length) not in shared:
                shared[offset, length] = _align(file, before, length)
                _copy_part(path, offset, length, file)
            start = shared[offset, length]
        refer(tensor, name, start)


def _copy_part(path: Path, offset: int, length: int, file: BinaryIO) -> None:
    with path.open("rb") as source:
        source.seek(offset)
        while length:
            chunk = source.read(min(length, _CHUNK))
            if not chunk:
                raise InputError(f"{path}: was truncated meanwhile; restore it")
            file.write(chunk)
            length -= len(chunk)


def _offset(tensor: TensorProto) -> int:
    return next((int(entry.value) for entry in tensor.external_data if entry.key == "offset"), 0)


def _align(file: BinaryIO, offset: int, length: int) -> int:
    """Go on to where so many bytes can lie that were at this offset: a multiple of the same power of two."""
    unit = min(offset & -offset, _ALIGNMENT) or _ALIGNMENT
    return file.seek(-(-file.tell() // unit) * unit) if length else file.tell()
