"""Other processes that help a search: the ranks of `torchrun`."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace

import onnx
import torch

from natonnx import launched
from natonnx.contract.inspect import inspection
from natonnx.errors import InputError, NatonnxError
from natonnx.frontend import Source
from natonnx.search import Settings
from natonnx.search.parallel.executor import Executor, InProcess
from natonnx.search.parallel.ranks import Ranks, RanksExecutor, follow
from natonnx.search.parallel.worker import Worker
from natonnx.search.samples import Samples
from natonnx.verbs.optimize.plan import keep_held_out
from natonnx.verbs.optimize.prepare import Prepared, choose_device, torch_settings
from natonnx.verbs.optimize.result import Result
from natonnx.verbs.optimize.resume import fingerprint

__all__ = ["follow_ranks", "joined", "make_executor", "tell_result"]

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
    if settings.algorithm == "paper":
        raise InputError("--algorithm paper runs in one process: start it without torchrun")
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


def make_executor(ranks: Ranks | None, most: int | None) -> Callable[[Worker], Executor]:
    """Return what makes the executor of a search.

    Args:
        ranks: Who shares the work; this process alone where None.
        most: Held-out samples at most, see `natonnx.verbs.optimize.plan.keep_held_out`.
    """
    if ranks is None:
        return InProcess

    def make(worker: Worker) -> Executor:
        ranks.tell(("begin", (most, asdict(worker.samples))))
        return RanksExecutor(ranks, worker)

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
        prepared = prepare(replace(settings, target_latency=None, target_size=None, target_memory=None))
        ranks.agree(fingerprint(prepared, settings, batchnorm))
        kind, content = ranks.hear()
        if kind == "begin":
            most, samples = content
            problem = keep_held_out(prepared, most, settings.seed).problem
            content = follow(ranks, Worker(problem, settings, Samples(**samples)))
    edits, output, model, report = content
    described = inspection(prepared.source.network, str(source.path))
    return Result(edits, output, None if model is None else onnx.load_from_string(model), report, described, source)
