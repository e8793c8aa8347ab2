"""Pictures of a data set, wherever they come from, as samples that are read by position."""

import logging
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from natonnx.data.dataset import Layout
from natonnx.data.items import IndexedItems, spread
from natonnx.data.load_options import LoadOptions
from natonnx.data.picture_files import PictureFiles
from natonnx.data.picture_reader import PictureReader
from natonnx.data.pictures import Remarks, picture_format
from natonnx.data.signature import Signature
from natonnx.errors import InputError
from natonnx.notices import NOTICE

__all__ = ["PictureSet", "indexed_pictures"]

_log = logging.getLogger(__name__)

AT_ONCE = 2000
"""Pictures of a data set that is read before the work, so that what is wrong with any of them is said then."""
_LOOKED_AT = 48
"""Pictures of a part of a larger one that are."""


class PictureSet(NamedTuple):
    """Pictures of one part of a data set.

    Attributes:
        files: Their files; at least one.
        where: The source, for messages.
        labels: The class of each [n]; None where there are none.
    """

    files: PictureFiles
    where: str
    labels: npt.NDArray[np.int64] | None


def indexed_pictures(
    sets: Mapping[str, PictureSet], signature: Signature, *, layout: Layout | None, where: str, options: LoadOptions
) -> tuple[dict[str, IndexedItems], tuple[str, ...]]:
    """Say how to read pictures; a few are read now, of a small set all.

    Args:
        sets: Pictures by part.
        signature: The model's inputs: one, which takes images.
        layout: Of the model's input, where its shape does not tell.
        where: The source, for messages.
        options: Of reading.

    Returns:
        The parts, and what was done to the pictures that were read.

    Raises:
        InputError: If one of these cannot be read, or the model takes other inputs.
    """
    if len(signature.inputs) != 1:
        raise InputError(
            f"{where}: pictures are for one input, but the model has {len(signature.inputs)} "
            f"({', '.join(signature.names)}): give .npz files keyed by these names"
        )
    (spec,) = signature.inputs
    if spec.batch_axis is None:
        raise InputError(
            f"{where}: pictures are samples, but no axis of the model's input {spec.name!r} counts samples"
        )
    made = picture_format(spec.sample_shape, layout, where)
    total = sum(len(one.files) for one in sets.values())
    if total > AT_ONCE:
        _log.log(NOTICE, "data %s: %s pictures, read as they are needed", where, f"{total:,}")
    readers = {
        part: PictureReader(
            one.files, made, input_name=spec.name, axis=spec.batch_axis, threads=options.threads, where=one.where
        )
        for part, one in sets.items()
    }
    whole = sum(len(sets[part].files) * reader.picture_bytes for part, reader in readers.items())
    is_read = total <= AT_ONCE and whole <= options.cache_bytes
    parts = {
        part: IndexedItems(
            readers[part], len(one.files), one.where, one.labels, has_labels=one.labels is not None, is_read=is_read
        )
        for part, one in sets.items()
    }
    remarks, looked_at = Remarks(), 0
    for part, reader in readers.items():
        if is_read:
            reader.keep(np.arange(parts[part].count), whole)
        positions = spread(parts[part].count, total if is_read else _LOOKED_AT)
        remarks.add(reader.survey(positions))
        looked_at += len(positions)
    return parts, remarks.notes("" if looked_at == total else f", of {looked_at:,} looked at of {total:,}")
