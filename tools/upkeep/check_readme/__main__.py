"""Run what the pages show, in minutes by small budgets or, by `--full`, to the letter."""

import fnmatch
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from tools.command import run_command
from tools.upkeep.check_readme.check import Check, unmatched
from tools.upkeep.check_readme.checks import CHECKS
from tools.upkeep.check_readme.page import Shown, read
from tools.upkeep.check_readme.place import ROOT, Place
from tools.upkeep.check_readme.prose import differences

TABLE = ROOT.parent / "shared" / "data" / "nasbench201.csv"


@click.command()
@click.option("--full", is_flag=True, help="Run the commands to the letter, which takes hours.")
@click.option("--list", "list_only", is_flag=True, help="Print the commands, their checks and durations, and stop.")
@click.option("--only", default="*", show_default=True, help="Commands like this pattern.")
@click.option(
    "--table",
    default=TABLE if TABLE.exists() else None,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The CSV of NAS-Bench-201.  [default: that beside the checkout, if it is there]",
)
def main(*, full: bool, list_only: bool, only: str, table: Path | None) -> None:
    """Run every command that the pages show, in a copy of the repository, and compare with what they say."""
    shown = read(ROOT)
    chosen = [check for check in CHECKS if fnmatch.fnmatch(check.command, only)]
    if not chosen:
        raise click.UsageError(f"no command is like {only!r}; --list shows them")
    if list_only:
        for check in chosen:
            _show(check, shown)
        return
    problems = [*unmatched(shown, CHECKS), *differences(ROOT, shown)]
    for problem in problems:
        click.echo(f"FAILED  {problem}")
    failed = len(problems)
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), table)
        for check in chosen:
            failed += not _run(check, [each for each in shown if each.command == check.command], place, full=full)
    if failed:
        sys.exit(f"{failed} failed")


def _run(check: Check, shown: Sequence[Shown], place: Place, *, full: bool) -> bool:
    line = check.line(full=full)
    outcome = check.run(shown, place, full=full) if shown else None
    if outcome is None:
        return True  # said already: no page has it
    if outcome.skipped:
        click.echo(f"skipped {check.command}\n          {outcome.skipped}")
        return True
    took = f"{outcome.ran.seconds:.0f} s" if outcome.ran else ""
    click.echo(f"{'FAILED' if outcome.problems else 'ok':7} {check.command}  ({took})")
    if line != check.command:
        click.echo(f"          ran as: {line}")
    for problem in outcome.problems:
        click.echo(f"          {problem}")
    return not outcome.problems


def _show(check: Check, shown: Sequence[Shown]) -> None:
    where = ", ".join(f"{each.page}:{each.line}" for each in shown if each.command == check.command)
    quick = check.never or check.skip or f"about {check.seconds} s as: {check.line(full=False)}"
    click.echo(f"{check.command}\n    {where}\n    quick: {quick}")
    if check.minutes and not check.never:
        click.echo(f"    full: about {check.minutes:g} min")
    if check.says:
        click.echo(f"    checked: {check.says}")


if __name__ == "__main__":
    run_command(main)
