"""From what stands for data to parts that fit a model."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from natonnx.data.array_files import EXPANSION, array_items
from natonnx.data.batches import ArrayBatches, Batches
from natonnx.data.class_folders import picture_items
from natonnx.data.conform import check_preprocessing, conform, scaling
from natonnx.data.dataset import Dataset, Parts, Preprocessing
from natonnx.data.dataset_reader import by_need
from natonnx.data.divide import Divisible, divide
from natonnx.data.folder import list_folder, passed_over
from natonnx.data.indexed import IndexedBatches
from natonnx.data.indexing import (
    allot,
    first_of,
    fitted_bytes,
    from_arrays,
    gather,
    indexed,
    kept_bytes,
    raw_in_memory,
    small,
)
from natonnx.data.items import IndexedItems, Items
from natonnx.data.labels import Targets
from natonnx.data.load_options import LoadOptions
from natonnx.data.memory import Data, Held, hold, named_items
from natonnx.data.named_pictures import numbered
from natonnx.data.npz import Archive
from natonnx.data.picture_sets import indexed_pictures
from natonnx.data.picture_sources import find_named
from natonnx.data.ready import check_ready
from natonnx.data.shipped import BUILTIN, read_builtin
from natonnx.data.signature import Signature
from natonnx.data.stream import stream
from natonnx.errors import InputError

if TYPE_CHECKING:
    from natonnx.data.collect import Collected

__all__ = ["load"]

_log = logging.getLogger(__name__)

PLAIN = Preprocessing()
_PARTS = ("train", "validation", "test")
"""In the order in which memory is given to them: training samples are read most often."""


def load(
    data: Data,
    signature: Signature,
    *,
    preprocessing: Preprocessing = PLAIN,
    seed: int = 0,
    targets: Targets = "labels",
    classes: Path | Mapping[str, int] | None = None,
    workers: int | None = None,
    cache: float | str | None = None,
    memory: float | str | None = None,
) -> Parts:
    """Load data in the names, shapes, layouts and types that a model takes.

    A spec is, in this order of precedence:

    - an existing ``.npz`` file: ``x_train``, ``x_val``, ``x_test`` or ``images``, for a model of one input; arrays
      under the names of the model's inputs; or these under ``train/NAME``, ``val/NAME``, ``test/NAME``. Labels are
      ``y_train`` …, ``labels`` or ``train/labels`` …, and may be missing;
    - an existing list of pictures, ``.txt``, ``.csv`` or ``.tsv``: a path relative to it and a label a line;
    - an existing ``.tar`` of pictures: ``key.jpg``, with the label in ``key.cls`` or ``key.json``;
    - an existing folder with lists ``train.txt`` and perhaps ``val.txt`` and ``test.txt``; or with ``.tar`` archives,
      or with ``train``, ``val`` and ``test`` that hold these;
    - an existing folder: pictures, class folders of pictures, ``.npz`` files of one batch each under the names of the
      inputs, or ``.npy`` files of one batch or sample each; or any of these under ``train``, ``val`` and ``test``;
    - a name in `BUILTIN`;
    - ``package.module:function``, which is imported and called (the current directory is importable), and returns
      whatever `Data` allows.

    Args:
        data: A spec, or data in memory: see `natonnx.data.Data`.
        signature: What the model takes.
        preprocessing: How raw values become inputs. A `Dataset` is taken as it is.
        seed: Of the division into parts, where the source does not fix it. It does not depend on what labels are for.
        targets: Whether labels must be class indices (``labels``), may be anything (``any``), or are not used
            (``none``).
        classes: The index of each class folder's name, see `natonnx.data.classes.read_classes`; else the folders must
            be as many as the classes, and are numbered in the order of their names.
        workers: See `natonnx.data.LoadOptions`.
        cache: See `natonnx.data.LoadOptions`.
        memory: See `natonnx.data.LoadOptions`.

    Returns:
        The parts; the test part is None if the source has none.

    Raises:
        InputError: The spec, the data or the preprocessing is bad, or does not fit the model.
    """
    options = LoadOptions(workers, cache, memory)
    held = hold(data)
    if isinstance(held, Dataset):
        return _told(check_ready(held, signature, targets))
    if isinstance(held, str):
        held = _read(held, signature, preprocessing, targets, classes, options)
    elif classes is not None:
        raise InputError(f"{held.name}: has no class folders, which classes are for: leave them out")
    check_preprocessing(signature, preprocessing, held.name)
    parts, notes = _parts(held, signature, preprocessing, seed, targets, options)
    if len({part.has_targets for part in parts.values()}) > 1:
        lacking = ", ".join(name for name, part in parts.items() if not part.has_targets)
        raise InputError(
            f"{held.name}: has no labels for {lacking}, but for other parts: give all parts labels, or none"
        )
    return _told(
        Parts(
            name=held.name,
            train=parts["train"],
            validation=parts["validation"],
            test=parts.get("test"),
            augment=preprocessing.augment,
            notes=(*held.notes, *notes),
        )
    )


def _parts(
    held: Held, signature: Signature, preprocessing: Preprocessing, seed: int, targets: Targets, options: LoadOptions
) -> tuple[dict[str, Batches], list[str]]:
    notes: list[str] = []
    collected: dict[str, Collected] = {}
    parts: dict[str, Batches] = {}
    by_index: dict[str, IndexedBatches] = {}
    pieces: dict[str, Sequence[ArrayBatches]] = {}
    raw: dict[str, Divisible] = {}
    for name, items in held.parts.items():
        if isinstance(items, Items) and items.by_index is not None:
            needed, told = by_need(items, name, signature, targets, options)
            items, notes = needed or items, [*notes, *told]  # noqa: PLW2901
        if isinstance(items, IndexedItems):
            by_index[name] = indexed(items, signature, preprocessing, targets, held.name)
        elif items.is_stream:
            parts[name] = stream(items, signature, preprocessing, targets)
        else:
            collected[name], pieces[name] = gather(items, signature, targets, options.cache_bytes)
    in_memory = sum(fitted_bytes(piece, signature) for several in pieces.values() for piece in several)
    for name, several in pieces.items():
        if in_memory <= options.cache_bytes and len(several) == 1:
            raw[name] = several[0]
        else:
            source = held.parts[name]
            assert isinstance(source, Items)
            raw[name] = from_arrays(several, source, collected[name], signature, preprocessing, held.name)
    is_read = all(items.is_read for items in held.parts.values() if isinstance(items, IndexedItems))
    is_small = is_read and small(by_index, options.cache_bytes)
    raw |= {name: raw_in_memory(part) if is_small else part for name, part in by_index.items()}
    looked_at = [first_of(part) if isinstance(part, IndexedBatches) else part for part in raw.values()]
    unused = dict.fromkeys(key for one in collected.values() for key in one.unused)
    if unused:
        lacks = targets == "labels" and not any(one.arrays.has_targets for one in collected.values())
        notes.append(f"not used: {', '.join(unused)}{' (labels would be called labels)' * lacks}")
    if not parts:
        raw, note = divide(raw, seed, held.name)
        notes += [note] if note else []
    if targets == "none" and any(one.has_targets for one in raw.values()):
        notes.append("labels are not used")
    notes += [*filter(None, (scaling(arrays, signature, preprocessing) for arrays in looked_at))][:1]
    own_layout = all(one.own_layout for one in collected.values())
    for name, arrays in raw.items():
        made = arrays
        if isinstance(made, ArrayBatches):
            made = conform(made, signature, preprocessing, held.name, own_layout=own_layout)
        parts[name] = made if targets != "none" else made.unlabelled()
    in_turn = [part for name in _PARTS if isinstance(part := parts.get(name), IndexedBatches)]
    return parts, [*notes, *allot(in_turn, options.cache_bytes)]


def _read(
    spec: str,
    signature: Signature,
    preprocessing: Preprocessing,
    targets: Targets,
    classes: Path | Mapping[str, int] | None,
    options: LoadOptions,
) -> Held:
    path = Path(spec)
    try:
        if spec and path.exists() and (named := find_named(path)):
            sets = numbered(named, targets, signature.classes, classes, spec)
            parts, notes = indexed_pictures(sets, signature, layout=preprocessing.layout, where=spec, options=options)
            return Held(spec, parts, notes=notes)
        if spec and path.is_dir():
            return _read_folder(path, signature, preprocessing, targets, classes, options)
        if classes is not None:
            raise InputError(f"{spec}: is no folder of class folders, which classes are for: leave them out")
        if spec and path.exists():
            return Held(spec, named_items(Archive(path, options.cache_bytes // EXPANSION), spec, (path,)))
    except OSError as error:
        raise InputError(
            f"{spec}: cannot be read ({error.strerror or error}): give a file or folder that can be"
        ) from error
    if spec in BUILTIN:
        return Held(spec, named_items(read_builtin(spec, signature.classes if targets == "labels" else None), spec))
    raise InputError(
        f"{spec or 'data'}: no such data: give an existing .npz, .tar, or list of pictures (.txt, .csv, .tsv), an "
        f"existing folder of images or arrays, a built-in set ({', '.join(BUILTIN)}), or package.module:function"
    )


def _read_folder(
    path: Path,
    signature: Signature,
    preprocessing: Preprocessing,
    targets: Targets,
    classes: Path | Mapping[str, int] | None,
    options: LoadOptions,
) -> Held:
    listings = list_folder(path)
    if any(listing.arrays for listing in listings.values()):
        if classes is not None:
            raise InputError(f"{path}: has no class folders, which classes are for: leave them out")
        return Held(
            str(path), array_items(listings, signature, options.cache_bytes), notes=passed_over(listings.values())
        )
    parts, notes = picture_items(
        listings,
        signature,
        layout=preprocessing.layout,
        targets=targets,
        classes=classes,
        where=str(path),
        options=options,
    )
    return Held(str(path), parts, notes=notes)


def _told(made: Parts) -> Parts:
    named = (("training", made.train), ("validation", made.validation), ("test", made.test))
    sizes = ", ".join(
        f"{'?' if part.samples is None else f'{part.samples:,}'} {name}" for name, part in named if part is not None
    )
    labelled = "labelled" if made.train.has_targets else "unlabelled"
    kept = kept_bytes(part for _, part in named if part is not None)
    told = f", {kept / 2**20:,.0f} MiB kept as they are read" if kept else ""
    _log.info("data %s: %s samples, %s, augment %s%s", made.name, sizes, labelled, made.augment, told)
    return made
