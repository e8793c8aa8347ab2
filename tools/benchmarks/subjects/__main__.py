"""Optimise real models of many kinds: `python -m tools.benchmarks.subjects --markdown docs/subjects.md`."""

import fnmatch
import sys
import time
from pathlib import Path

import click

from natonnx.files import write_bytes
from tools.benchmarks.subjects.catalog import SUBJECTS
from tools.benchmarks.subjects.page import page, table_row
from tools.benchmarks.subjects.parts import Effort
from tools.benchmarks.subjects.row import Row
from tools.benchmarks.subjects.run import inspect, optimize, stored_row
from tools.benchmarks.subjects.subject import Subject
from tools.command import run_command
from tools.wheels import UnavailableError


@click.command()
@click.option("--only", default="*", show_default=True, help="Names or patterns of subjects, with commas between.")
@click.option("--make-only", is_flag=True, help="Make models and data, say what inspect sees of them, and stop.")
@click.option(
    "--folder",
    default=Path.home() / ".cache" / "natonnx-subjects",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Cache for models, data, results and rows.",
)
@click.option("--time-budget", default=90, show_default=True, help="Seconds for each optimize.")
@click.option(
    "--samples",
    nargs=3,
    type=click.IntRange(min=1),
    metavar="TRAIN VAL TEST",
    help="Of data that has no end, where model and data are not made yet; with a --folder of its own.  "
    "[default: 512 256 512]",
)
@click.option("--again", is_flag=True, help="Run optimize and check again where a row is kept.")
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Write the page of all rows here.")
def main(
    only: str,
    make_only: bool,
    folder: Path,
    time_budget: int,
    samples: tuple[int, int, int] | None,
    again: bool,
    markdown: Path | None,
) -> None:
    """Make each subject, run natonnx optimize and natonnx check on it, and print the table.

    What is finished is kept in the cache, so that an interrupted run goes on from there. The exit code is 1 if a
    command failed, or optimize and check do not say the same.
    """
    patterns = only.split(",")
    chosen = [each for each in SUBJECTS.values() if any(fnmatch.fnmatch(each.name, pattern) for pattern in patterns)]
    if not chosen:
        raise click.UsageError(f"no subject is called {only!r}; there are {', '.join(SUBJECTS)}")
    common = ("--target-madds", "0.8", "--time-budget", str(time_budget), "--threads", "1", "--seed", "0")
    effort = Effort() if samples is None else Effort(dict(zip(("train", "val", "test"), samples, strict=True)))
    rows, failed = list[Row](), list[str]()
    for subject in chosen:
        if not _make(subject, folder, effort):
            failed.append(subject.name)
        elif make_only:
            print(f"{subject.name}: {inspect(subject, folder)}", flush=True)
        else:
            row = None if again else stored_row(subject, folder, common)
            rows.append(row or optimize(subject, folder, common))
            print(table_row(rows[-1]), flush=True)
            if rows[-1].problem:
                print(f"{subject.name}: {rows[-1].problem}", file=sys.stderr)
    failed += [row.name for row in rows if not row.is_good]
    if markdown is not None and rows:
        write_bytes(markdown, page(rows, SUBJECTS, " ".join(common)).encode())
    if failed:
        sys.exit(f"{len(failed)} of {len(chosen)} subjects failed: {', '.join(failed)}")


def _make(subject: Subject, folder: Path, effort: Effort) -> bool:
    begun = time.monotonic()
    try:
        if subject.make(folder, effort):
            print(f"{subject.name}: made in {time.monotonic() - begun:.0f} s", file=sys.stderr)
    except UnavailableError as error:
        print(f"{subject.name}: {error}", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    run_command(main)
