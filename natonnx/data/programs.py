"""Samples that a program yields: torch's data sets and loaders, generators, and whatever can be read in a loop."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pickle import PicklingError
from typing import Any

from natonnx.data.items import Items, is_structure
from natonnx.errors import InputError
from natonnx.importing import importable_here
from natonnx.notices import NOTICE

__all__ = ["called", "first_item", "guarded", "is_program", "loaded", "program_items", "program_name", "read_now"]

_log = logging.getLogger(__name__)
_SIGN_OF_LIFE = 5.0  # seconds


def _torch(name: str) -> type[Any] | tuple[()]:
    """Return a class of torch's; none where torch was not imported, as nothing can be of that class then."""
    module = sys.modules.get("torch.utils.data")
    return () if module is None else getattr(module, name)


def is_program(data: Any) -> bool:
    """Return whether something yields samples or batches, rather than being an array or several."""
    if isinstance(data, list):
        return bool(data) and all(map(is_structure, data))
    if isinstance(data, Mapping | tuple | str | bytes) or hasattr(data, "__array__") or _is_picture(data):
        return False
    return isinstance(data, Iterable) or _is_sequence(data) or _is_torch(data) or callable(data)


def called(data: Any, where: str) -> Any:
    """Call a function for what it returns; keep the function itself if that is an iterator, which can be had anew then.

    Raises:
        InputError: If it fails.
    """
    if not callable(data) or isinstance(data, Iterable) or _is_sequence(data) or _is_torch(data):
        return data
    try:
        made = data()
    except (Exception, SystemExit) as error:
        raise InputError(f"{where}: calling it failed with {_reason(error)}") from error
    return data if isinstance(made, Iterator) else made


def program_items(data: Any, where: str) -> Items:
    """Say how to read what a program yields.

    A torch `Dataset`, and whatever else has a length and is read by index, yields samples; so does `IterableDataset`. A
    `DataLoader` yields batches, as does any other iterable, and a function that returns one.

    Raises:
        InputError: If it has no length, or a function fails.
    """
    if _is_loader(data):
        return _loader_items(data, where)
    if isinstance(data, _torch("IterableDataset")):
        return _items(lambda: guarded(data, where), where, batched=False, is_stream=True)
    if isinstance(data, _torch("Dataset")) or (_is_sequence(data) and not isinstance(data, list)):
        if not hasattr(data, "__len__"):
            raise InputError(f"{where}: {type(data).__name__} has no length: give it a __len__")
        return _indexed_items(data, where)
    if isinstance(data, list):
        return _items(lambda: data, where)
    if isinstance(data, Iterator):
        return read_now(_items(lambda: guarded(data, where), where))
    if isinstance(data, Iterable):
        return _items(lambda: guarded(data, where), where, is_stream=True)
    return _items(lambda: guarded(data(), where), where, is_stream=True)


def program_name(data: Any) -> str:
    """Return what reports call it: its class, or that of the data set that a loader reads."""
    inner = data.dataset if _is_loader(data) else data
    return str(getattr(inner, "__name__", type(inner).__name__))


def read_now(items: Items) -> Items:
    """Read samples into memory, to the end; the log says how far from time to time.

    What torch's global generator decides, such as the order of a loader that shuffles, is the same each time, so that
    samples are divided into the same parts by every command.
    """
    read: list[Any] = []
    said = time.monotonic()
    with _seeded():
        for item in items.open():
            read.append(item)
            if time.monotonic() - said > _SIGN_OF_LIFE:
                said = time.monotonic()
                _log.log(
                    NOTICE, "%s: read %s %s", items.where, f"{len(read):,}", "batches" if items.batched else "samples"
                )
    return replace(items, open=lambda: read, is_stream=False)


@contextmanager
def _seeded() -> Iterator[None]:
    """Let torch's global generator on the CPU begin anew, and afterwards go on from where it was."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(0)
    try:
        yield
    finally:
        torch.set_rng_state(before)


def _indexed_items(data: Any, where: str) -> Items:
    """Read samples to the end when they are asked for, once: whoever reads them again gets the same."""

    @cache
    def everything() -> Iterable[Any]:
        return read_now(_items(lambda: guarded(_by_index(data), where), where, batched=False)).open()

    return replace(_items(everything, where, batched=False), by_index=data)


def first_item(items: Items) -> Any:
    """Return the first of what a source yields; None where it yields nothing."""
    if items.by_index is None:
        return next(iter(items.open()), None)
    with _seeded():
        return next(guarded(_by_index(items.by_index), items.where), None)


def _items(open_: Callable[[], Iterable[Any]], where: str, *, batched: bool = True, is_stream: bool = False) -> Items:
    return Items(open_, where, batched=batched, is_stream=is_stream, from_program=True)


def _loader_items(loader: Any, where: str) -> Items:
    from torch.utils.data import SequentialSampler, default_collate

    is_iterable = isinstance(loader.dataset, _torch("IterableDataset"))
    return Items(
        lambda: guarded(loaded(loader), where),
        where,
        in_front=loader.batch_size is not None and loader.collate_fn is default_collate,
        is_stream=True,
        is_ordered=is_iterable or isinstance(loader.sampler, SequentialSampler),
        from_program=True,
        samples=None if is_iterable or loader.batch_size is None else _loader_samples(loader),
    )


def _loader_samples(loader: Any) -> int | None:
    try:
        count = len(loader.sampler)
    except TypeError:
        return None
    return count - count % loader.batch_size if loader.drop_last else count


def loaded(loader: Any) -> Iterator[Any]:
    """Yield the batches of a `DataLoader`; a worker process that dies is found out as the next batch is read.

    Torch sets a handler of signals where a loader is opened by the main thread, which raises the death of a worker
    wherever the program is. Another thread opens it. What the worker processes import, they may find in the current
    directory, where they begin anew: everywhere but on Linux before Python 3.14. There they are sent the data set.
    """
    with importable_here(), ThreadPoolExecutor(1) as opener:
        try:
            batches = opener.submit(iter, loader).result()
        except (AttributeError, PicklingError, TypeError) as error:
            if loader.num_workers:
                error.add_note("(worker processes get the data set pickled; with 0 workers it is read here)")
            raise
    yield from batches


def guarded(items: Any, where: str) -> Iterator[Any]:
    """Yield what a user's program yields; say in one line that it fails."""
    try:
        yield from items
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{where}: reading it failed with {_reason(error)}") from error


def _reason(error: Exception | SystemExit) -> str:
    if "Original Traceback" in str(error):  # of a process of torch's DataLoader, which says at its end what it was
        return str(error).strip().splitlines()[-1]
    notes = getattr(error, "__notes__", ())
    return " ".join(" ".join((f"{type(error).__name__}: {error}", *notes)).split())


def _by_index(data: Any) -> Iterator[Any]:
    yield from (data[position] for position in range(len(data)))


def _is_loader(data: Any) -> bool:
    return isinstance(data, _torch("DataLoader"))


def _is_torch(data: Any) -> bool:
    return isinstance(data, _torch("Dataset")) or _is_loader(data)


def _is_sequence(data: Any) -> bool:
    return hasattr(data, "__len__") and hasattr(data, "__getitem__")


def _is_picture(data: Any) -> bool:
    return hasattr(data, "__array_interface__")
