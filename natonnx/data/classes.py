"""Read which output of a model a class is: the file that `--classes` names."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from natonnx.errors import InputError
from natonnx.files import read_bytes

__all__ = ["read_classes"]

_NAMED = re.compile(r"(.*?)(?:\s*[:,]\s*|\s+)(-?\d{1,18})")


def read_classes(classes: Path | str | Mapping[str, int]) -> Mapping[str, int]:
    """Read the indices of classes by name.

    Args:
        classes: A file: lines ``name index``, ``name: index`` or ``name,index``; a JSON object ``{"name": index}`` or
            array of names; or a name a line, the first line being index 0. A mapping is taken as it is.

    Raises:
        InputError: If the file cannot be read, or names a class twice or none.
    """
    if isinstance(classes, Mapping):
        return classes
    path = Path(classes)
    try:
        content = read_bytes(path).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise InputError(f"{classes}: cannot be read ({reason}): give a file of lines such as: name index") from error
    pairs = _json(content, path) if content.lstrip()[:1] in ("{", "[") else _lines(content, path)
    found: dict[str, int] = {}
    for name, index in pairs:
        if name in found:
            raise InputError(f"{classes}: names the class {name!r} twice: give each one index")
        found[name] = index
    if not found:
        raise InputError(f"{classes}: names no class: give lines such as: name index")
    return found


def _json(content: str, path: Path) -> list[tuple[str, int]]:
    try:
        made = json.loads(content, object_pairs_hook=list)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no JSON ({error}): give an object of names and indices, or lines") from error
    pairs = [(name, index) for index, name in enumerate(made)] if made and isinstance(made[0], str) else made
    for pair in pairs:
        if not (isinstance(pair, tuple) and isinstance(pair[0], str) and type(pair[1]) is int):
            raise InputError(
                f"{path}: has {pair!r}, which is no name with an index: give an object of names and indices"
            )
    return list(pairs)


def _lines(content: str, path: Path) -> list[tuple[str, int]]:
    lines = [line.strip() for line in content.splitlines()]
    matches = [(line, _NAMED.fullmatch(line)) for line in lines if line]
    bare = [line for line, match in matches if match is None]
    if len(bare) == len(matches):
        return [(line, index) for index, line in enumerate(lines) if line]
    if bare:
        raise InputError(
            f"{path}: {bare[0]!r} has no index, but other lines have: write name and index, or names alone"
        )
    return [(match[1], int(match[2])) for _, match in matches if match is not None]
