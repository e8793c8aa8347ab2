"""Passes over data that say from time to time how far they are."""

import logging
import time
from collections.abc import Iterator

from natonnx.data import Batch, Batches, StreamBatches
from natonnx.notices import NOTICE
from natonnx.search.runner import evaluation_batch

__all__ = ["watched"]

_log = logging.getLogger(__name__)

_SIGN_OF_LIFE = 5.0  # seconds


def watched(split: Batches, what: str) -> Batches:
    """Return the same samples, in their own order; a long pass over them is told.

    Args:
        split: The samples.
        what: What is done, for messages, such as "model.onnx: scored on".
    """
    return StreamBatches(
        lambda: _told(split, what), split.axes, split.has_targets, split.samples, sample_bytes=split.sample_bytes
    )


def _told(split: Batches, what: str) -> Iterator[Batch]:
    begun = said = time.monotonic()
    done, total = 0, split.samples
    for batch in split.batches(evaluation_batch(split)):
        yield batch
        done += batch.size
        if (now := time.monotonic()) - said > _SIGN_OF_LIFE and done != total:
            said = now
            told = f"{done:,} samples"
            if total is not None:
                told = f"{done:,} of {total:,} samples, about {(now - begun) * (total - done) / done:.0f} s left"
            _log.log(NOTICE, "%s %s", what, told)
