"""Give every parameter that takes a path what is no good file: `python -m tools.conformance.paths`.

The parameters are those of click's commands whose completion offers files, so that a new one is tried of itself. Each
is given pipes, devices, folders, links, odd names, and files that nobody may read or write. A command must end in time:
refuse in one line with exit code 2, or end as it does with any other path. It must print no control character, and
leave the folder as it was, but for what it was told to write.
"""

import contextlib
import ctypes
import os
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import click
import onnx
from PIL import Image

from natonnx.cli import cli
from natonnx.cli import main as natonnx
from tools.command import run_command
from tools.conformance import tiny

__all__ = ["Attempt", "Place", "attempt", "is_output", "places", "preload", "tried"]

_SECONDS = 20.0
_CAPABILITIES = 0x20080522
"""Version of the structures that hold them."""
_OVERRIDING = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""


class _Line(NamedTuple):
    """A command line that ends well."""

    arguments: tuple[str, ...]
    options: Mapping[str, str]


_BASE: Mapping[str, _Line] = {
    "inspect": _Line(("model.onnx",), {}),
    "apply": _Line(("model.onnx", "none.json"), {}),
    "optimize": _Line(("model.onnx",), {"--data": "data.npz", "--training": "", "--lookups": "1", "--threads": "1"}),
    "bench": _Line(("model.onnx",), {"--seconds": "0.1"}),
    "check": _Line(("model.onnx",), {"--baseline": "old.onnx", "--data": "data.npz", "--max-drop": "100"}),
    "diff": _Line(("model.onnx", "old.onnx"), {}),
    "demo": _Line(("folder",), {"--time-budget": "1"}),
    "doctor": _Line((), {}),
    "worker": _Line((), {"--journal": "journal", "--idle": "0.1"}),
}


class Place(NamedTuple):
    """A parameter that takes a path.

    Attributes:
        command: Of which command.
        name: What the command line calls it.
        position: Among the command's arguments; None for an option.
    """

    command: str
    name: str
    position: int | None

    @property
    def usual(self) -> str | None:
        """The path of a command line that ends well; None where that gives none."""
        line = _BASE[self.command]
        return line.options.get(self.name) if self.position is None else line.arguments[self.position]

    def command_line(self, path: str) -> list[str]:
        """Return a command line that gives it this path."""
        arguments, options = list(_BASE[self.command].arguments), dict(_BASE[self.command].options)
        if self.name == "--classes":
            options["--data"] = "classes"
        if self.position is None:
            options[self.name] = path
        else:
            arguments[self.position] = path
        written = [
            f"{name}={value}" if value else "--no-training" for name, value in options.items() if name != self.name
        ]
        return [self.command, *written, *([f"{self.name}={path}"] if self.position is None else []), "--", *arguments]


class Attempt(NamedTuple):
    """What came of a command.

    Attributes:
        code: Its exit code; None where it was stopped.
        said: On stderr.
        problem: What is wrong; "" for nothing.
        wrote: Paths that it made or changed.
    """

    code: int | None
    said: str
    problem: str
    wrote: frozenset[str]


def places() -> list[Place]:
    """List the parameters of all commands that take paths."""
    found = []
    for name, command in cli.commands.items():
        context = click.Context(command, info_name=name)
        arguments = [one for one in command.params if isinstance(one, click.Argument)]
        for one in command.params:
            if {item.type for item in one.shell_complete(context, "x")} & {"file", "dir"}:
                position = arguments.index(one) if isinstance(one, click.Argument) else None
                found.append(Place(name, one.opts[-1], position))
    return found


def is_output(place: Place, folder: Path) -> bool:
    """Whether it names what is written: that nothing is there is no fault then."""
    return "new" in {Path(path).parts[0] for path in attempt(place.command_line("new"), _filled(folder)).wrote}


def _pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe")
    return "pipe"


def _socket(folder: Path) -> str:
    with contextlib.chdir(folder), socket.socket(socket.AF_UNIX) as made:
        made.bind("socket")
    return "socket"


def _link(target: str) -> Callable[[Path], str]:
    def made(folder: Path) -> str:
        (folder / "link").symlink_to(target)
        return "link"

    return made


def _folder(folder: Path) -> str:
    (folder / "folder").mkdir()
    (folder / "folder" / "note").touch()
    return "folder"


def _empty(folder: Path) -> str:
    (folder / "empty").touch()
    return "empty"


def _forbidden(folder: Path) -> str:
    (folder / "forbidden").write_bytes(b"secret")
    (folder / "forbidden").chmod(0)
    return "forbidden"


def _closed(folder: Path) -> str:
    (folder / "closed").mkdir(mode=0o500)
    (folder / "closed" / "inner").mkdir(mode=0)
    return "closed/new"


def _hidden(folder: Path) -> str:
    _closed(folder)
    return "closed/inner/new"


_BAD: Mapping[str, Callable[[Path], str]] = {
    "a pipe": _pipe,
    "/dev/zero": lambda _: "/dev/zero",
    "/dev/full": lambda _: "/dev/full",
    "/dev/null": lambda _: "/dev/null",
    "a socket": _socket,
    "a folder": _folder,
    "a long name": lambda _: 300 * "a",
    "a name as long as may be": lambda _: 255 * "a",
    "a long path": lambda _: 3000 * "a/",
    "a link to nothing": _link("nothing"),
    "a link to itself": _link("link"),
    "a link to a device": _link("/dev/zero"),
    "within a file": lambda _: "model.onnx/new",
    "within a link to itself": lambda folder: f"{_link('link')(folder)}/new",
    "nothing": lambda _: "",
    "a zero byte": lambda _: "a\0b",
    "in no folder": lambda _: "nowhere/new",
    "the root": lambda _: "/",
    "here": lambda _: ".",
    "an empty file": _empty,
    "the model": lambda _: "model.onnx",
    "the model, otherwise": lambda folder: f"../{folder.name}/./model.onnx",
    "a link to the model": _link("model.onnx"),
    "the data": lambda _: "data.npz",
    "a file of another's": _forbidden,
    "in a folder of another's": _closed,
    "in a hidden folder": _hidden,
}
"""What is given, made in a folder."""

_NAMES: Mapping[str, str] = {
    "a line's end": "a\nb",
    "a colour": "\x1b[31mred",
    "another direction": "a\u202eb\u2066",
    "no text": "\udcff\udc80",
    "a dash": "-x",
    "a space": " ",
    "a star": "*[a]{b}%s",
    "a colon": "a:b",
}
"""Names that any file may have."""


def preload() -> None:
    """Load what the commands load, so that each attempt need not."""
    import onnxruntime  # noqa: F401

    import natonnx.frontend.symbolic_rules
    import natonnx.policy.gcn
    import natonnx.verbs.apply
    import natonnx.verbs.bench
    import natonnx.verbs.check
    import natonnx.verbs.diff.diff
    import natonnx.verbs.inspect
    import natonnx.verbs.optimize.optimize  # noqa: F401


def _filled(parent: Path) -> Path:
    """Make a folder with what the command lines name."""
    folder = tiny.fill(Path(tempfile.mkdtemp(dir=parent)))
    onnx.save(tiny.model(), folder / "old.onnx")
    (folder / "none.json").write_text("[]", encoding="utf-8")
    for name in "abc":
        (folder / "classes" / name).mkdir(parents=True)
        Image.new("L", (8, 8)).save(folder / "classes" / name / "0.png")
    return folder


def attempt(
    arguments: list[str], folder: Path, *, may_change: Container[str] = (), seconds: float = _SECONDS
) -> Attempt:
    """Run a command in a fork of this process, with no more rights than a user's, and judge what it does there."""
    before = tiny.snapshot(folder)
    told = folder.parent / f"{folder.name}.told"
    process = os.fork()
    if not process:
        _run(arguments, folder, told)
    with contextlib.suppress(OSError):  # it has ended already
        os.setpgid(process, process)
    deadline = time.monotonic() + seconds
    while not (ended := os.waitpid(process, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            break
        time.sleep(0.005)
    code = os.waitstatus_to_exitcode(ended[1]) if ended[0] else None
    said = told.read_text(encoding="utf-8", errors="backslashreplace")
    after = tiny.snapshot(folder)
    wrote = frozenset(path for path, digest in after.items() if before.get(path) != digest)
    changed = {path for path, digest in before.items() if after.get(path) != digest and path not in may_change}
    return Attempt(code, said, _problem(code, said, changed), wrote)


def _run(arguments: list[str], folder: Path, told: Path) -> None:
    """In the fork: run the command, and end."""
    code = 70
    try:
        tiny.heed_signals()
        for number, path in enumerate((os.devnull, os.devnull, str(told))):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666), number)
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, "r" if not number else "w") for number in range(3))
        os.chdir(folder)
        _obey_permissions()
        natonnx(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 70
    finally:
        sys.stderr.flush()
        os._exit(code)


def _obey_permissions() -> None:
    """Give up what lets root read and write any file, which are two of Linux's capabilities."""
    kernel = ctypes.CDLL(None)
    head, sets = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0), (ctypes.c_uint32 * 6)()
    kernel.capget(head, sets)
    for i in range(3):
        sets[i] &= ~_OVERRIDING
    kernel.capset(head, sets)


def _problem(code: int | None, said: str, changed: set[str]) -> str:
    """What is wrong with how a command ended, as far as any may end so."""
    if code is None:
        return "hangs"
    if "Traceback" in said or code not in (0, 1, 2):
        return f"ends with {code}"
    if changed:
        return f"changes {', '.join(sorted(changed))}"
    lines = [line for line in said.splitlines() if not line.startswith("natonnx: warning: ")]
    if code == 2 and [line.startswith("natonnx: error: ") for line in lines] != [True]:
        return f"says {len(lines)} lines"
    if any(not (one.isprintable() or one in "\n\udc80") for one in said):
        return "prints control characters"
    return ""


def tried(place: Place, parent: Path, *, writes: bool) -> Iterator[tuple[str, str, Path]]:
    """Yield what a parameter is to be tried with: in words, the path, and the folder that it is made in."""
    for kind, make in _BAD.items():
        folder = _filled(parent)
        yield kind, make(folder), folder
    for kind, name in _NAMES.items():
        folder, path = _filled(parent), name
        if not writes and place.usual and (folder / place.usual).is_file():
            path = f"{name}{Path(place.usual).suffix}"
            (folder / path).write_bytes((folder / place.usual).read_bytes())
        yield f"a name with {kind}", path, folder


@click.command()
@click.option("--only", default="", help="Parameters of which this is a part, as in 'apply -o'.")
def main(only: str) -> None:
    """Try every parameter that takes a path with everything that it may be given; fail if one of them is not heard."""
    preload()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="natonnx-paths.") as parent:
        for place in places():
            if only not in (where := f"{place.command} {place.name}"):
                continue
            writes = is_output(place, Path(parent))
            for kind, path, folder in tried(place, Path(parent), writes=writes):
                found = attempt(place.command_line(path), folder, may_change=(path,) if writes else ())
                counts["wrong" if found.problem else f"exit code {found.code}"] += 1
                last = found.said.rstrip("\n").split("\n")[-1]
                click.echo(
                    f"{where}, {kind}: {found.problem or found.code} {ascii(last)[:300]} {' '.join(found.wrote)!a}"
                )
    for what, count in sorted(counts.items()):
        click.echo(f"{what}: {count:,}")
    if counts["wrong"]:
        sys.exit(f"{counts['wrong']} are wrong")


if __name__ == "__main__":
    run_command(main)
