"""The process in which inputs are tried, one after the other: `inspect`, then `apply` with an edit that is legal.

It reads a path a line and answers each in a line: what came of both, as JSON. Whoever started it watches the time.
"""

import contextlib
import io
import json
import os
import random
import resource
import sys
import warnings
from pathlib import Path
from typing import Any

__all__ = ["SUCCESS", "judged"]

SUCCESS = ("ok", "refused", "unchanged")
"""What is right."""

_MEMORY = 2 << 30
_INTERNAL = "internal error"


def judged(code: int, stderr: str) -> str:
    """Return what came of a command: "ok", "refused" in one line with the code for it, or what is wrong."""
    lines = stderr.splitlines()
    if "Traceback (most recent call last)" in stderr or _INTERNAL in stderr:
        return "traceback"
    if code == 0:
        return "ok"
    errors = [line for line in lines if line.startswith("natonnx: error:")]
    return "refused" if code in (2, 3) and errors == lines[-1:] else "unclear"


def _run(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
    """Run the command line in this process; return its exit code, stdout and stderr."""
    from natonnx.cli import main

    output, errors = io.StringIO(), io.StringIO()
    fed = io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8")
    before, sys.stdin = sys.stdin, fed
    code: Any = 0
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            main(arguments)
    except SystemExit as end:
        code = end.code
    finally:
        sys.stdin = before
    return int(code or 0), output.getvalue(), errors.getvalue()


def _try(path: Path) -> dict[str, str]:
    """Inspect a model and apply a legal edit, if there is one; return what came of it, and the last words."""
    code, stdout, stderr = _run("inspect", str(path), "--json")
    outcome = judged(code, stderr)
    if outcome != "ok":
        return {"inspect": outcome, "said": stderr[-2000:]}
    edges = json.loads(stdout)["edges"]
    legal = [{"edge": edge["name"], "from": edge["state"], "to": to} for edge in edges for to in edge["legal"]]
    edits = [random.Random(path.name).choice(legal)] if legal else []  # noqa: S311
    output = path.with_suffix(".out.onnx")
    code, _, stderr = _run("apply", str(path), "-", "-o", str(output), "--force", stdin=json.dumps(edits))
    outcome = judged(code, stderr)
    if (code == 0) != output.exists():
        outcome = "half"
    for left in path.parent.glob(f"{output.name}*"):
        left.unlink()
    return {"inspect": "ok", "apply": outcome, "said": "" if outcome == "ok" else stderr[-2000:]}


def main() -> None:
    """Answer until there are no more paths."""
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    import onnxruntime  # noqa: F401

    import natonnx.supernet  # noqa: F401 - torch and onnxruntime take much room, and are not the model's fault

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + _MEMORY,) * 2)
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        answers.write(json.dumps(_try(Path(line.rstrip("\n")))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
