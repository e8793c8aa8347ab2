"""Find samples that two parts of a data set have in common."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from natonnx.data.batches import Batches, Positions, sample_keys
from natonnx.data.indexed import IndexedBatches
from natonnx.data.items import spread
from natonnx.data.picture_files import PictureFiles
from natonnx.data.picture_reader import PictureReader

__all__ = ["count_shared"]

_LOOKED_AT = 500
"""Pictures of a part that are looked for in others."""
_MOST = 5000
"""Files of the same sizes that are read for that."""


def count_shared(part: Batches, others: Sequence[Batches]) -> tuple[int, int]:
    """Count samples of a part that others have as well.

    Pictures in files are the same if the files are; of a part of many some are looked for. Other samples are the same
    by all of their inputs; those in memory are all looked at, of others some.

    Returns:
        How many there are, and of how many that were looked at.
    """
    if isinstance(part, IndexedBatches) and isinstance(part.reader, PictureReader):
        return _shared_files(part, [other for other in others if isinstance(other, IndexedBatches)])
    own = [*sample_keys(_some(part))]
    known = {key for other in others for key in sample_keys(_some(other))}
    return sum(key in known for key in own), len(own)


def _some(part: Batches) -> Batches:
    return part.take(spread(part.samples, _LOOKED_AT)) if isinstance(part, IndexedBatches) else part


def _shared_files(part: IndexedBatches, others: Sequence[IndexedBatches]) -> tuple[int, int]:
    files, chosen = _files(part)
    chosen = chosen[spread(len(chosen), _LOOKED_AT)]
    wanted = np.unique(files.sizes[chosen])
    known: set[bytes] = set()
    for other in others:
        among, positions = _files(other)
        alike = positions[np.isin(among.sizes[positions], wanted)]
        known.update(_digests(among, alike[spread(len(alike), _MOST)]))
    return sum(digest in known for digest in _digests(files, chosen)), len(chosen)


def _files(part: IndexedBatches) -> tuple[PictureFiles, Positions]:
    assert isinstance(part.reader, PictureReader), "parts of one data set are of one kind"
    return part.reader.files, part.index


def _digests(files: PictureFiles, positions: Positions) -> Iterator[bytes]:
    return (hashlib.sha256(files.read(int(position))).digest() for position in positions)
