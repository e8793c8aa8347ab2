"""Other processes that help a search: the ranks of `torchrun`, or whoever works on a journal."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx
import torch

from natonnx import launched
from natonnx.contract.inspect import inspection
from natonnx.errors import InputError, NatonnxError
from natonnx.frontend import Source
from natonnx.search import Settings
from natonnx.search.parallel.executor import Executor, InProcess
from natonnx.search.parallel.journal import Journal
from natonnx.search.parallel.posted import JournalExecutor
from natonnx.search.parallel.ranks import Ranks, RanksExecutor, follow
from natonnx.search.parallel.tasks import digest_of
from natonnx.search.parallel.worker import Worker
from natonnx.search.samples import Samples
from natonnx.verbs.optimize.plan import keep_held_out
from natonnx.verbs.optimize.prepare import Prepared, choose_device, torch_settings
from natonnx.verbs.optimize.recipe import without_own
from natonnx.verbs.optimize.result import Result
from natonnx.verbs.optimize.resume import fingerprint

__all__ = ["Posting", "follow_ranks", "joined", "make_executor", "posted_to", "tell_result"]

Prepare = Callable[[Settings], Prepared]


@contextmanager
def joined(device: str, settings: Settings) -> Iterator[Ranks | None]:
    """Join the ranks that `torchrun` launched; None where it did not.

    What goes wrong within is told to all of them.

    Raises:
        InputError: If the search is one that ranks cannot share.
    """
    if launched.ranks() == 1:
        yield None
        return
    _check_algorithm(settings, "torchrun")
    place = choose_device(device)
    if place.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    ranks = Ranks(place)
    try:
        yield ranks
    except Exception as error:
        with suppress(NatonnxError):
            ranks.fail(error)
        raise
    finally:
        ranks.close()


class Posting:
    """A search that posts its tasks to a journal.

    Args:
        journal: The journal.
        recipe: Describes the search.

    Attributes:
        journal: As given.
        run: What the search is called there; empty before `begin`.
    """

    def __init__(self, journal: Journal, recipe: Mapping[str, Any]) -> None:
        self.journal, self._recipe = journal, recipe
        self.run = ""

    def begin(self, mark: str, most: int | None, worker: Worker) -> Executor:
        """Announce the search, and return what spreads it."""
        content = {**self._recipe, "mark": mark, "most": most, "samples": asdict(worker.samples)}
        self.run = digest_of([mark, most, content["samples"]])
        self.journal.begin(self.run, content)
        return JournalExecutor(self.journal, self.run, worker)

    def end(self) -> None:
        """Tell that it has ended."""
        if self.run:
            self.journal.end(self.run)


@contextmanager
def posted_to(
    folder: Path | str | None, make: Callable[[], dict[str, Any]], settings: Settings, ranks: Ranks | None
) -> Iterator[Posting | None]:
    """Open a journal, None where there is none; tell at the end that the search has ended, unless it was interrupted.

    Args:
        folder: Where it lies.
        make: Describes the search, see `natonnx.verbs.optimize.recipe`.
        settings: Of the search.
        ranks: Of `torchrun`.

    Raises:
        InputError: If there are ranks too, or other processes could not take part.
    """
    if folder is None:
        yield None
        return
    _check_algorithm(settings, "--journal")
    if ranks is not None:
        raise InputError("--journal is for a search of one process, which others help: start it without torchrun")
    posting = Posting(Journal(Path(folder)), make())
    with posting.journal.living():
        try:
            yield posting
        except KeyboardInterrupt:  # to be resumed
            raise
        except BaseException:
            posting.end()
            raise
        posting.end()


def _check_algorithm(settings: Settings, what: str) -> None:
    if settings.algorithm == "paper":
        raise InputError(f"--algorithm paper runs in one process: start it without {what}")


def make_executor(
    ranks: Ranks | None, posting: Posting | None, mark: Callable[[], str], most: int | None
) -> Callable[[Worker], Executor]:
    """Return what makes the executor of a search.

    Args:
        ranks: Who shares the work.
        posting: Where it is posted; with neither, this process carries it out alone.
        mark: See `natonnx.verbs.optimize.recipe.mark_of`.
        most: Held-out samples at most, see `natonnx.verbs.optimize.plan.keep_held_out`.
    """

    def make(worker: Worker) -> Executor:
        if ranks is not None:
            ranks.tell(("begin", (most, asdict(worker.samples))))
            return RanksExecutor(ranks, worker)
        return InProcess(worker) if posting is None else posting.begin(mark(), most, worker)

    return make


def tell_result(ranks: Ranks | None, result: Result) -> None:
    """Tell the others what was found."""
    if ranks is not None:
        model = None if result.model is None else result.model.SerializeToString()
        ranks.tell(("done", (result.edits, result.output, model, result.report)))


def follow_ranks(
    ranks: Ranks, source: Source, prepare: Prepare, settings: Settings, batchnorm: str, threads: int | None
) -> Result:
    """Carry out this rank's share of a search; return what rank 0 found.

    Raises:
        InputError: If the ranks are not ready for the same search.
        EndedError: If rank 0 has failed.
    """
    with torch_settings(threads):
        # Rank 0 alone measures
        prepared = prepare(without_own(settings))
        ranks.agree(fingerprint(prepared, settings, batchnorm))
        kind, content = ranks.hear()
        if kind == "begin":
            most, samples = content
            problem = keep_held_out(prepared, most, settings.seed).problem
            content = follow(ranks, Worker(problem, settings, Samples(**samples)))
    edits, output, model, report = content
    described = inspection(prepared.source.network, str(source.path))
    return Result(edits, output, None if model is None else onnx.load_from_string(model), report, described, source)
