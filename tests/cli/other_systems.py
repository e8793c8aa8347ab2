"""Processes in which natonnx finds what Windows or macOS has, as far as Linux can show it.

Its modules see the standard library without the names that the other system lacks, by mypy's copy of typeshed, and that
system's `sys.platform`; all other code sees Linux. `/proc` and `/sys` are not there, processes are spawned, text has no
encoding unless one is named. On Windows, names of files lack some characters, and no file can be replaced or removed
that the process has open or mapped.
"""

import ast
import builtins
import importlib.util
import os
import re
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

__all__ = ["install", "lacking", "run"]

ROOT = Path(__file__).parents[2]
_OURS = f"{ROOT / 'natonnx'}{os.sep}"
_FORBIDDEN = frozenset('<>:"|?*\\')
_ENCODINGS = {
    "win32": {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"},
    "darwin": {},
}


# What the other system lacks


def lacking(platform: str) -> dict[str, list[str]]:
    """Names that a system lacks, by the module of the standard library; none of a module that it lacks as a whole."""
    used = sorted({name for path in (ROOT / "natonnx").rglob("*.py") for name in _imported(path)})
    found: dict[str, list[str]] = {}
    for module in used:
        here, there = set(_declared(module, "linux")), set(_declared(module, platform))
        if here - there:
            found[module] = sorted(here - there) if there else []
    return found


def _imported(path: Path) -> Iterator[str]:
    names = re.findall(r"^\s*(?:import|from) ([\w.]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    yield from (name for name in names if name.partition(".")[0] in sys.stdlib_module_names)


def _declared(module: str, platform: str) -> Iterator[str]:
    spec = importlib.util.find_spec("mypy")
    assert spec is not None
    assert spec.submodule_search_locations
    place = Path(spec.submodule_search_locations[0], "typeshed", "stdlib", *module.split("."))
    stub = next(path for path in (place / "__init__.pyi", place.with_suffix(".pyi")) if path.exists())
    yield from _names(ast.parse(stub.read_text(encoding="utf-8")).body, platform)


def _names(body: Iterable[ast.stmt], platform: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.If):
            known = {"sys": SimpleNamespace(platform=platform, version_info=sys.version_info), "TYPE_CHECKING": True}
            holds = eval(compile(ast.Expression(node.test), "typeshed", "eval"), known)  # noqa: S307
            yield from _names(node.body if holds else node.orelse, platform)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
            yield from (target.id for target in targets if isinstance(target, ast.Name) and target.id != "__all__")


# Within the process


class _View(ModuleType):
    """A module as it is there."""

    def __init__(self, module: ModuleType, hidden: Iterable[str], given: Mapping[str, str]) -> None:
        super().__init__(module.__name__)
        self.__dict__.update(_module=module, _hidden=frozenset(hidden), **given)

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__["_hidden"]:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} there")
        return getattr(self.__dict__["_module"], name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.__dict__["_module"], name, value)


def install(platform: str, lacks: Mapping[str, Sequence[str]]) -> None:
    """Make this process, and those that it starts, such a one."""
    import multiprocessing

    multiprocessing.set_start_method("spawn")
    warnings.simplefilter("ignore", EncodingWarning)
    warnings.filterwarnings("error", category=EncodingWarning, module=r"natonnx")
    views: dict[str, ModuleType] = {"sys": _View(sys, (), {"platform": platform})}
    import_module = builtins.__import__

    def import_there(name: str, globals: Any = None, *more: Any, **named: Any) -> ModuleType:  # noqa: A002
        is_ours = str((globals or {}).get("__file__", "")).startswith(_OURS)
        if is_ours and not lacks.get(name, [name]):
            raise ModuleNotFoundError(f"No module named {name!r} there", name=name)
        module = import_module(name, globals, *more, **named)
        if not is_ours:
            return module
        if lacks.get(module.__name__) and module.__name__ not in views:
            views[module.__name__] = _View(module, lacks[module.__name__], {})
        return views.get(module.__name__, module)

    builtins.__import__ = import_there
    sys.addaudithook(_audit_windows if platform == "win32" else _audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    path = arguments[0] if event == "open" else None
    if isinstance(path, str | os.PathLike) and os.fspath(path).startswith(("/proc/", "/sys/")) and _is_for_us():
        raise FileNotFoundError(2, "No such file or directory", os.fspath(path))


def _audit_windows(event: str, arguments: tuple[Any, ...]) -> None:
    _audit(event, arguments)
    makes = event == "os.mkdir" or (event == "open" and arguments[2] & os.O_CREAT)
    if makes and isinstance(arguments[0], str | os.PathLike):
        _check_name(os.fspath(arguments[0]))
    elif event in ("os.rename", "os.remove"):
        for path in arguments[: 2 if event == "os.rename" else 1]:
            if os.path.realpath(path) in _in_use():
                raise PermissionError(13, "it is being used by another process", os.fspath(path))


def _is_for_us() -> bool:
    """Whether natonnx opens the file, by itself or by pathlib."""
    callers = (frame.f_code for frame, _ in traceback.walk_stack(sys._getframe(2)))
    names = (code.co_filename for code in callers if code is not _audit_windows.__code__)
    return next(name for name in names if "pathlib" not in name).startswith(_OURS)


def _check_name(path: str | bytes) -> None:
    name = os.fsdecode(path).rstrip("/").rpartition("/")[2]
    if _FORBIDDEN & set(name) or name.endswith((" ", ".")):
        raise OSError(22, "Invalid argument", name)


def _in_use() -> set[str]:
    """Files that this process has open or mapped."""
    open_files = {os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()}
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    return open_files | {line.split(maxsplit=5)[5] for line in maps if "/" in line}


# From outside


def run(
    platform: str, lacks: Mapping[str, Sequence[str]], *arguments: str | Path, cwd: Path, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run `python ARGUMENTS` there.

    Args:
        platform: `win32` or `darwin`.
        lacks: What it lacks; see `lacking`.
        arguments: Of Python.
        cwd: Where it runs; gets a folder `site`.
        environment: Variables.
    """
    site = cwd / "site" / "sitecustomize.py"
    site.parent.mkdir(exist_ok=True)
    site.write_text(f"from tests.cli.other_systems import install\n\ninstall({platform!r}, {lacks!r})\n", "utf-8")
    variables = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONWARNDEFAULTENCODING": "1",
        "PYTHONPATH": os.pathsep.join([str(site.parent), str(ROOT)]),
        **_ENCODINGS[platform],
        **environment,
    }
    encoding = "cp1252" if platform == "win32" else "utf-8"
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=variables,
        capture_output=True,
        encoding=encoding,
        timeout=300,
        check=False,
    )
