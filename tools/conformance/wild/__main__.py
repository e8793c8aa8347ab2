"""Check natonnx on models that we did not write: `python -m tools.conformance.wild --models 'light/*' --alphas 100`."""

import ctypes
import fnmatch
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import click

from natonnx.frontend import Granularity
from tools.command import run_command
from tools.conformance.wild.catalog import Wild, catalog
from tools.conformance.wild.check import Result, check
from tools.conformance.wild.ocr import UnavailableError

HEADER = (
    "| model | opset | edges | candidates | legal | opaque | params | MAdds | in reach | β | α's | edits "
    "| largest of the α's | ill-conditioned | batches | s | failures |"
)


@click.command()
@click.option("--models", default="*", show_default=True, help="Names or patterns, or paths, with commas between.")
@click.option("--alphas", default=100, show_default=True, help="Random legal α's for each model.")
@click.option("--seed", default=0, show_default=True, help="Of the α's.")
@click.option("--threads", default=1, show_default=True)
@click.option(
    "--granularity", default="layer", show_default=True, type=click.Choice([each.value for each in Granularity])
)
@click.option(
    "--cache",
    default=Path(tempfile.gettempdir()) / "natonnx-wild",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the models, and for the edits of α's that failed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list in place of the table.")
@click.option("--list", "list_only", is_flag=True, help="Print the names of the models and stop.")
def main(
    models: str,
    alphas: int,
    seed: int,
    threads: int,
    granularity: str,
    cache: Path,
    as_json: bool,
    list_only: bool,
) -> None:
    """Parse each model, compare supernet and onnxruntime on β and on random legal α's that `apply` writes."""
    _keep_memory()
    patterns = models.split(",")
    chosen = [wild for wild in catalog().values() if any(fnmatch.fnmatch(wild.name, pattern) for pattern in patterns)]
    paths = (path for pattern in patterns for path in sorted(Path().glob(pattern)) if path.is_file())
    chosen += [Wild(path.name, _file(path)) for path in paths]
    if not chosen:
        raise click.UsageError(f"no model is called {models!r}; --list names them")
    if list_only:
        print("\n".join(wild.name for wild in chosen))
        return
    cache.mkdir(parents=True, exist_ok=True)
    if not as_json:
        print(HEADER)
        print("|" + "---|" * (HEADER.count("|") - 1), flush=True)
    results = []
    for wild in chosen:
        result = _check(wild, cache, alphas, seed, threads, Granularity(granularity))
        results.append(result)
        if not as_json:
            print(_row(result), flush=True)
        for i, failure in enumerate(result.failures):
            path = cache / "failures" / f"{result.name.replace('/', '_')}-{granularity}-{seed}-{failure.alpha}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(failure.edits_json(), encoding="utf-8")
            if i < 3:
                print(
                    f"{result.name}: seed {seed}, α {failure.alpha}: {failure.message[:600]} ({path})", file=sys.stderr
                )
    if as_json:
        print(json.dumps([asdict(result) for result in results], indent=1))
    else:
        worst = max((result.worst or 0.0 for result in results), default=0.0)
        print(f"\nlargest difference {worst:.1e}, {sum(result.seconds for result in results):.0f} s")
    failed = [result.name for result in results if result.failures]
    if failed:
        sys.exit(f"{len(failed)} of {len(results)} models failed: {', '.join(failed)}")


def _file(path: Path) -> Callable[[Path], Path]:
    return lambda _cache: path


def _keep_memory() -> None:
    """Have glibc keep freed memory: handing hundreds of megabytes back and forth takes longer than computing."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for parameter, value in ((-1, -1), (-2, 2**28), (-4, 0)):  # no trimming, top pad, no mmap
            libc.mallopt(parameter, value)


def _check(wild: Wild, cache: Path, alphas: int, seed: int, threads: int, granularity: Granularity) -> Result:
    try:
        path = wild.fetch(cache)
    except UnavailableError as error:
        return Result(wild.name, skipped=str(error))
    reading = replace(wild.reading, granularity=granularity)
    return check(wild.name, path, reading, alphas=alphas, seed=seed, threads=threads, floor=wild.floor)


def _row(result: Result) -> str:
    if result.skipped:
        return f"| {result.name} | skipped: {result.skipped} |" + " |" * (HEADER.count("|") - 3)
    cells = (
        result.name,
        result.opset,
        result.edges,
        result.candidates,
        result.legal,
        result.opaque,
        result.params,
        result.madds,
        None if result.reach is None else f"{result.reach:.1%}",
        None if result.beta is None else f"{result.beta:.1e}",
        result.alphas,
        f"{min(result.edits)} to {max(result.edits)}" if result.edits else None,
        None if result.worst is None else f"{result.worst:.1e}",
        result.noisy,
        ", ".join(map(str, result.batches)),
        f"{result.seconds:.0f}",
        len(result.failures),
    )
    return "| " + " | ".join("–" if cell is None else str(cell) for cell in cells) + " |"


if __name__ == "__main__":
    run_command(main)
