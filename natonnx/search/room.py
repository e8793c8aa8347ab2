"""Bytes that a search may hold where memory is limited: fixed shares, whatever else takes memory at the moment."""

from natonnx.data.load_options import LoadOptions

__all__ = ["INPUTS", "KEPT", "ORIGINAL", "RUNNING", "UNFOLDED", "room"]

INPUTS = 1 / 4
"""For samples of look-ups and refits, which are held as the model takes them."""
KEPT = 1 / 16
"""For the original's tensors that look-ups begin at."""
ORIGINAL = 1 / 32
"""For those that each of two refits begins at."""
RUNNING = 1 / 4
"""For what is held of a refit's samples, or of a minibatch as statistics are estimated."""
UNFOLDED = 1 / 8
"""For outputs of convolutions as normalisation is unfolded."""


def room(loading: LoadOptions, share: float, most: int) -> int:
    """Return the bytes that something may hold: a share of what there is, and no more than `most`."""
    return most if loading.spare_bytes is None else min(most, int(share * loading.spare_bytes))
