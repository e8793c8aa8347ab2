"""One check: a command of the pages, how it is run, and what its outcome must be."""

import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from tools.upkeep.check_readme.compare import Compare, nothing
from tools.upkeep.check_readme.page import Shown, tables
from tools.upkeep.check_readme.place import Place, Ran

__all__ = ["Check", "Outcome", "unmatched"]


@dataclass(frozen=True)
class Outcome:
    """What came of a check: why it did not run, or how it ran and what differs from the page."""

    skipped: str = ""
    ran: Ran | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """How one command is checked.

    Attributes:
        command: As on the page, in one line without comments; of a block of Python `python: ` and its first line.
        seconds: About how long the quick form takes, on two cores.
        says: What is compared.
        compare: Compares it.
        budget: Appended to the command in quick mode, before a redirection.
        fill: What the command leaves to the reader, and what it is here.
        without: A part of the command that is left out in quick mode.
        first: Commands that must have run before.
        minutes: About how long the full form takes, where that is another one.
        codes: Exit codes that are right.
        skip: Why it doesn't run in quick mode.
        never: Why it doesn't run in full mode either.
        needs: Modules, and "table" for that of NAS-Bench-201, without which it doesn't run.
    """

    command: str
    seconds: int
    says: str
    compare: Compare = nothing
    budget: str = ""
    fill: tuple[str, str] = ("", "")
    without: str = ""
    first: tuple[str, ...] = ()
    minutes: float = 0
    codes: tuple[int, ...] = (0,)
    skip: str = ""
    never: str = ""
    needs: tuple[Literal["table", "onnxscript", "matplotlib"], ...] = ()

    def line(self, *, full: bool) -> str:
        """What runs: the command with its blank filled in, and in quick mode with its budget."""
        made = "python block.py" if self.command.startswith("python: ") else self._filled(self.command)
        if full:
            return made
        before, redirection, target = made.removeprefix(self.without).partition(" > ")
        return f"{before} {self.budget}".rstrip() + redirection + target

    def run(self, shown: Sequence[Shown], place: Place, *, full: bool) -> Outcome:
        """Run it, or say why not.

        Args:
            shown: Every occurrence on the pages; it is compared with the first that has a table below.
            place: Where it runs.
            full: Whether to the letter.
        """
        reason = self.never or (not full and self.skip) or self._lacks(place)
        if reason:
            return Outcome(skipped=reason)
        for command in self.first:
            before = place.run(command)
            if before.code:
                return Outcome(ran=before, problems=(f"{command}: exit code {before.code}: {_end(before)}",))
        if shown[0].code:
            (place.folder / "block.py").write_text(self._filled(shown[0].code), encoding="utf-8")
        ran = place.run(self.line(full=full), full=full)
        if ran.code not in self.codes:
            return Outcome(ran=ran, problems=(f"exit code {ran.code}: {_end(ran)}",))
        page = next((each for each in shown if tables(each.below)), shown[0])
        return Outcome(ran=ran, problems=tuple(self.compare(page, ran)))

    def _filled(self, text: str) -> str:
        blank, value = self.fill
        return text.replace(blank, value) if blank else text

    def _lacks(self, place: Place) -> str:
        for need in self.needs:
            if need == "table":
                if not place.has_table:
                    return "needs --table, the CSV of NAS-Bench-201"
            elif importlib.util.find_spec(need) is None:
                return f"needs {need}"
        return ""


def unmatched(shown: Iterable[Shown], checks: Iterable[Check]) -> list[str]:
    """Commands of the pages without a check, and checks without a command, one line each."""
    pages, known = list(shown), [check.command for check in checks]
    problems = [
        f"{each.page}:{each.line}: no check for {each.command!r}; add one to tools/upkeep/check_readme/checks.py"
        for each in pages
        if each.complete and each.command not in known
    ]
    there = {each.command for each in pages}
    problems += [f"no page has {command!r} any more; take its check away" for command in known if command not in there]
    codes = {each.command: {other.code for other in pages if other.command == each.command} for each in pages}
    problems += [f"two blocks of Python begin with {name[8:]!r}" for name, blocks in codes.items() if len(blocks) > 1]
    return problems + [f"two checks for {command!r}" for command in dict.fromkeys(known) if known.count(command) > 1]


def _end(ran: Ran) -> str:
    return (ran.stderr or ran.stdout).strip()[-600:]
