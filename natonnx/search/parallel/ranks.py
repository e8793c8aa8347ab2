"""Ranks of `torchrun` as an executor: rank 0 decides what is done, and all carry out their part of it."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from natonnx import launched
from natonnx.errors import InputError, NatonnxError, first_line
from natonnx.search.finetune import Limit
from natonnx.search.parallel.executor import Spread
from natonnx.search.parallel.tasks import Task, new_mark, on_host
from natonnx.search.parallel.worker import Worker
from natonnx.search.progress import Stage
from natonnx.search.spend import Start, Trained
from natonnx.search.team import Team

__all__ = ["EndedError", "Ranks", "RanksExecutor", "follow"]

_PATIENCE = timedelta(days=30)
"""How long one waits for the others, which may verify or score for hours; one that dies is noticed at once."""


class EndedError(NatonnxError):
    """Rank 0 has failed and said why; the others end with its exit code and say nothing."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Ranks:
    """The processes that `torchrun` launched with the same command.

    Args:
        device: Where each computes: `cuda` is each process's own device.

    Attributes:
        rank: Which one this is.
        size: How many there are.
    """

    def __init__(self, device: torch.device) -> None:
        on_cuda = device.type == "cuda"
        with _losing():
            dist.init_process_group("cpu:gloo,cuda:nccl" if on_cuda else "gloo", timeout=_PATIENCE)
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._has_agreed = False

    def agree(self, what: str) -> None:
        """See whether all ranks are ready for the same; each calls it once, or `fail`.

        Args:
            what: A fingerprint of what it is ready for.

        Raises:
            InputError: If one is not, saying which and why.
        """
        self._agree({"what": what})

    def fail(self, error: BaseException) -> None:
        """Tell the others that this rank fails, before or after `agree`."""
        code = getattr(error, "exit_code", 3)
        if not self._has_agreed:
            self._agree({"error": str(error), "code": code}, quiet=True)
        elif self.rank == 0:
            self.tell(("fail", (str(error), code)))

    def tell(self, message: tuple[str, Any]) -> None:
        """Tell all others something, as rank 0."""
        with _losing():
            dist.broadcast_object_list([message], src=0, device=torch.device("cpu"))

    def hear(self) -> tuple[str, Any]:
        """Return what rank 0 tells.

        Raises:
            EndedError: If it has failed.
        """
        found: list[Any] = [None]
        with _losing():
            dist.broadcast_object_list(found, src=0, device=torch.device("cpu"))
        kind, content = found[0]
        if kind == "fail":
            raise EndedError(*content)
        return kind, content

    def gather(self, own: Any) -> list[Any]:
        """Return what each rank has, as rank 0; nothing as another one."""
        found: list[Any] | None = [None] * self.size if self.rank == 0 else None
        with _losing():
            dist.gather_object(own, found, dst=0)
        return found or []

    def close(self) -> None:
        """Leave the group, once all have come so far.

        What still refers to it, as a `DistributedDataParallel` does, would keep its threads alive until Python ends,
        and one of them might abort the process then.
        """
        with suppress(NatonnxError), _losing():
            dist.barrier()
        gc.collect()
        dist.destroy_process_group()

    def _agree(self, own: dict[str, Any], *, quiet: bool = False) -> None:
        found: list[Any] = [None] * self.size
        with _losing():
            dist.all_gather_object(found, own)
        self._has_agreed = True
        if quiet:
            return
        for rank, one in enumerate(found):
            if "error" in one:
                if rank == 0:
                    raise EndedError(one["error"], one["code"])
                raise InputError(f"rank {rank}: {one['error']}")
            if one["what"] != found[0]["what"]:
                raise InputError(
                    f"rank {rank} sees another model, other data or other settings than rank 0: give all the same"
                )


class RanksExecutor(Spread):
    """Spreads tasks over ranks, as rank 0.

    Args:
        ranks: The processes.
        worker: Carries out this one's share.
    """

    def __init__(self, ranks: Ranks, worker: Worker) -> None:
        super().__init__(worker)
        self._ranks, self.width = ranks, ranks.size
        self._shared = ""

    def map(self, tasks: Sequence[Task], stage: Stage | None = None) -> list[dict[str, Any]]:
        """See `Executor.map`: each rank carries out every so-many-th task."""
        if len(tasks) < 2:
            return [task.run(self._worker, stage) for task in tasks]
        self._ranks.tell(("map", list(tasks)))
        shares = self._ranks.gather(_carry_out(self._ranks, self._worker, tasks, stage))
        found: list[dict[str, Any]] = [{}] * len(tasks)
        for rank, share in enumerate(shares):
            if isinstance(share, BaseException):
                raise share
            found[rank :: self._ranks.size] = share
            if rank:
                self._worker.looker.images += sum(result.get("images", 0) for result in share)
        return found

    def train(self, trainings: Sequence[Trained], until: float, stage: Stage | None = None) -> None:
        """See `Executor.train`: several are spread; a single one is trained by all ranks together."""
        if len(trainings) > 1:
            before = [training.images for _, training in trainings]
            super().train(trainings, until, stage)
            if stage is not None:  # told of this rank's own as they went
                others = zip(trainings, before, strict=True)
                images = sum(one.images - old for i, ((_, one), old) in enumerate(others) if i % self._ranks.size)
                stage.advance(by=images)
            return
        for start, training in trainings:
            mark, is_known = new_mark(), self._marks.get(training, "") == self._shared != ""
            state = None if is_known else on_host(training.to_dict())
            limit = (*training.limit,)
            self._ranks.tell(("together", (start.to_dict(), limit, state, self._shared, until, mark)))
            training.run(until, stage, Team())
            self._marks[training] = self._shared = mark


def follow(ranks: Ranks, worker: Worker) -> Any:
    """Carry out this rank's share of what rank 0 says, until it is done; return what it says then.

    Raises:
        EndedError: If rank 0 has failed.
    """
    while True:
        kind, content = ranks.hear()
        if kind == "map":
            ranks.gather(_carry_out(ranks, worker, content, None))
        elif kind == "together":
            plain, limit, state, mark, until, after = content
            start = Start.of_dict(plain, worker.problem.network.architecture)
            training = worker.resume(start, Limit(*limit), state, mark)
            training.run(until, None, Team())
            worker.keep(training, after)
        else:
            return content


def _carry_out(
    ranks: Ranks, worker: Worker, tasks: Sequence[Task], stage: Stage | None
) -> list[dict[str, Any]] | Exception:
    """Carry out this rank's share of tasks; an error is for rank 0 to raise."""
    try:
        return [task.run(worker, stage) for task in tasks[ranks.rank :: ranks.size]]
    except NatonnxError as error:
        return error
    except Exception as error:
        return RuntimeError(f"rank {ranks.rank}: {type(error).__name__}: {error}")


@contextmanager
def _losing() -> Iterator[None]:
    """What the loss of another rank makes torch raise is told in one line."""
    try:
        yield
    except RuntimeError as error:
        raise NatonnxError(
            f"rank {launched.rank()}: lost another rank ({first_line(error)}); with torchrun --max-restarts all start "
            "anew and go on from what was saved"
        ) from None
