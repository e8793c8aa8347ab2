"""Whether null propagation holds for the table's networks: are cells that are equal under it equally accurate?"""

import numpy as np
import torch
from numpy.typing import NDArray

from tools.research.nasbench.space import OPS, Space
from tools.research.nasbench.table import Table

__all__ = ["describe_nulls"]

_SWAPPED = [1, 0, 2, 3, 5, 4]  # nodes 1 and 2 exchanged, where no edge joins them


def describe_nulls(table: Table) -> str:
    """Compare the spread of CIFAR-10 test accuracy in groups of cells that are equal after null propagation with noise.

    The noise is that between cells which are the same network with two nodes numbered the other way round.
    """
    accuracy = 100 * table.accuracies["cifar10"].test.numpy()
    groups = _groups(table.space)
    squares = sum(float(((accuracy[group] - accuracy[group].mean()) ** 2).sum()) for group in groups)
    freedom = sum(len(group) - 1 for group in groups)
    twins = _twins(table.space)
    noise = float(np.sqrt((np.diff(accuracy[twins]) ** 2).mean() / 2))
    widest = max(float(np.ptp(accuracy[group])) for group in groups)
    return (
        f"Null propagation: {sum(map(len, groups)):,} cells in {len(groups)} groups that are equal under it; standard "
        f"deviation within groups {np.sqrt(squares / freedom):.2f} points (largest range {widest:.1f}); between "
        f"{len(twins):,} pairs of cells that differ in the numbering of nodes alone {noise:.2f} points."
    )


def _groups(space: Space) -> list[NDArray[np.int64]]:
    found: dict[str, list[int]] = {}
    for i, (signature, broken) in enumerate(zip(space.signatures, space.broken.tolist(), strict=True)):
        if not broken:
            found.setdefault(signature, []).append(i)
    return [np.array(group) for group in found.values() if len(group) > 1]


def _twins(space: Space) -> NDArray[np.int64]:
    twin, own = space.find(space.ops[:, _SWAPPED]), torch.arange(len(space.cells))
    chosen = (space.ops[:, 2] == OPS.index("none")) & (twin > own)
    pairs: NDArray[np.int64] = torch.stack([own, twin], 1)[chosen].numpy()
    return pairs
