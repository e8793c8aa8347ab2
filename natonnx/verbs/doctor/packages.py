"""What is installed, against what natonnx asks for; nothing of it is imported."""

import csv
import platform
import re
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import Distribution, PackageNotFoundError, distributions, metadata, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import natonnx
from natonnx.contract.doctor import Finding, finding

__all__ = ["Wanted", "builds", "find_packages", "install", "installed", "wanted"]

_RUNTIME = "onnxruntime"
"""Several distributions bring this package, and each overwrites the others' files."""


class Wanted(NamedTuple):
    """A package that natonnx asks for: its name, and the versions as pip takes them ("" for any)."""

    name: str
    versions: str

    @property
    def is_runtime(self) -> bool:
        """Whether it is one of the distributions of onnxruntime."""
        return self.name.startswith(_RUNTIME)

    def refuses(self, found: str) -> bool:
        """Whether a version is not among them; where that cannot be told, none is refused."""
        try:
            from packaging.specifiers import SpecifierSet

            return not SpecifierSet(self.versions).contains(found, prereleases=True)
        except (ImportError, ValueError):  # packaging's own are ValueErrors
            return False


def wanted() -> list[Wanted]:
    """What natonnx asks for on this system, without extras."""
    lines = _asks()[0]
    try:
        from packaging.requirements import Requirement
    except ImportError:  # what has a condition is left out
        found = [re.match(r"([\w.-]+)([^;]*)$", line) for line in lines]
        return [Wanted(match[1], match[2].strip()) for match in found if match]
    parsed = [Requirement(line) for line in lines]
    return [
        Wanted(each.name, str(each.specifier))
        for each in parsed
        if each.marker is None or each.marker.evaluate({"extra": ""})
    ]


def _asks() -> tuple[list[str], str]:
    """What natonnx asks for, and of which Python: as it was installed, else as the folder's pyproject.toml says."""
    try:
        return requires("natonnx") or [], str(metadata("natonnx").json.get("requires_python", ""))
    except PackageNotFoundError:
        pass
    with suppress(OSError, ValueError, KeyError):
        project = tomllib.loads((Path(natonnx.__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
        if project["name"] == "natonnx":
            return project["dependencies"], project["requires-python"]
    return [], ""


def installed(name: str) -> str | None:
    """The version of a package that is installed; None where it is not."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def install(name: str, *, again: bool = False) -> str:
    """The command that installs a package as natonnx asks for it.

    Args:
        name: The package.
        again: Replace the one that is there, whatever its version.
    """
    fitting = [each for each in wanted() if each.name == name or (each.is_runtime and name == _RUNTIME)]
    package = f'"{fitting[0].name}{fitting[0].versions}"' if fitting else name
    return f"pip install {'--force-reinstall --no-deps ' if again else ''}{package}"


def find_packages(asked: list[Wanted]) -> Iterator[Finding]:
    """Compare Python, natonnx and packages with what natonnx asks for."""
    yield _python()
    yield _natonnx()
    for each in asked:
        if not each.is_runtime:
            yield _package(each)
    runtime = next((each for each in asked if each.is_runtime), Wanted(_RUNTIME, ""))
    yield from _runtime(runtime)


def builds() -> list[Distribution]:
    """The distributions that bring the package onnxruntime."""
    found = {_name(each): each for each in distributions()}
    return [each for name, each in found.items() if name.startswith((_RUNTIME, "ort-")) and _brings(each)]


def _name(distribution: Distribution) -> str:
    """The name in lower case; nothing where an installation was cut short and left no metadata."""
    try:
        return str(distribution.metadata.json.get("name", "")).lower()
    except (KeyError, OSError):
        return ""


def _brings(distribution: Distribution) -> bool:
    top = distribution.read_text("top_level.txt")
    if top is not None:
        return _RUNTIME in top.split()
    return any(file.parts[0] == _RUNTIME for file in distribution.files or ())


def _recorded(distribution: Distribution) -> list[str]:
    """The files that were installed; from Python 3.12 on, `Distribution.files` names only those that are left."""
    return [line[0] for line in csv.reader((distribution.read_text("RECORD") or "").splitlines()) if line]


def _python() -> Finding:
    found = f"{platform.python_version()}, {sys.executable}"
    versions = _asks()[1]
    if Wanted("python", versions).refuses(platform.python_version()):
        return finding("python", "broken", f"{found}; natonnx asks for {versions}", "make an environment of such a one")
    return finding("python", "ok", found)


def _natonnx() -> Finding:
    folder = Path(natonnx.__file__).parent
    here = f"{natonnx.__version__}, {folder}"
    there = installed("natonnx")
    if there is None:
        return finding("natonnx", "missing", f"{here}, is not installed", f"pip install {folder.parent}")
    if there != natonnx.__version__:
        remedy = "install that folder, or run from another one"
        return finding("natonnx", "broken", f"{here}, hides {there}, which is installed", remedy)
    return finding("natonnx", "ok", here)


def _package(each: Wanted) -> Finding:
    if (found := installed(each.name)) is None:
        return finding(each.name, "missing", "not installed", install(each.name))
    return _in_range(each.name, each, found)


def _in_range(name: str, each: Wanted, found: str) -> Finding:
    if each.refuses(found):
        return finding(name, "broken", f"{found}; natonnx asks for {each.versions}", install(each.name))
    return finding(name, "ok", found)


def _runtime(each: Wanted) -> Iterator[Finding]:
    """Of onnxruntime: which builds are there, and whether all their files are."""
    there = builds()
    names = " and ".join(f"{build.name} {build.version}" for build in there)
    if len(there) > 1:
        away = f"pip uninstall -y {' '.join(build.name for build in there)} && {install(_RUNTIME, again=True)}"
        yield finding(_RUNTIME, "broken", f"{names} overwrite each other's files", away)
    elif not there:
        spec = find_spec(_RUNTIME)
        rest = [*(spec.submodule_search_locations or ())] if spec is not None else []
        if rest:
            remedy = f"delete {rest[0]}, then {install(_RUNTIME)}"
            yield finding(_RUNTIME, "broken", f"{rest[0]} is left of a build that was uninstalled", remedy)
        else:
            yield finding(_RUNTIME, "missing", "not installed", install(_RUNTIME))
    else:
        (build,) = there
        files = _recorded(build)
        if gone := sum(not Path(str(build.locate_file(file))).exists() for file in files):
            detail = f"{names}: {gone:,} of its {len(files):,} files are gone, as after another build was uninstalled"
            yield finding(_RUNTIME, "broken", detail, install(_RUNTIME, again=True))
        else:
            yield _in_range(build.name, each, build.version)
