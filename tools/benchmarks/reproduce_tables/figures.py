"""The paper's figures of β and α, from runs that were made."""

import json
from collections.abc import Iterator
from pathlib import Path

from natonnx.architecture import apply_edits
from natonnx.contract.edits import parse_edits
from natonnx.errors import InputError
from tools.benchmarks.reproduce_tables.drawing import draw
from tools.benchmarks.reproduce_tables.networks import Scale, open_network
from tools.benchmarks.reproduce_tables.run import BETA, NAO, Row
from tools.benchmarks.reproduce_tables.sections import sections
from tools.benchmarks.reproduce_tables.table import NAMES, read_all
from tools.research.networks.building import find

__all__ = ["figures"]


def figures(folder: Path, learner: str, seed: int) -> Iterator[tuple[str, str]]:
    """Draw each network beside what a learner made of it.

    Args:
        folder: Of the runs.
        learner: Whose α's.
        seed: Of which runs.

    Yields:
        Name of the network, and its picture as SVG.

    Raises:
        InputError: If there is no such run.
    """
    rows = [row for row in read_all(folder) if (row["job"]["learner"], row["job"]["seed"]) == (learner, seed)]
    if not rows or learner in (BETA, NAO):
        raise InputError(f"{folder}: holds no transformation by {learner}, seed {seed}; make it by `learners`")
    for row in rows:
        yield row["job"]["network"], _figure(row, folder)


def _figure(row: Row, folder: Path) -> str:
    name, scale = row["job"]["network"], Scale(**row["job"]["scale"])
    beta = open_network(name, scale, folder).network.architecture
    alpha = apply_edits(beta, parse_edits(json.dumps(row["edits"]), name))
    learner = NAMES.get(row["job"]["learner"], row["job"]["learner"])
    title = f"{name}: β, and α by {learner}, seed {row['job']['seed']}; {row['share']:.3f} of β's MAdds"
    return draw(title, sections(find(name, "cifar")[0], scale.cells, beta, alpha))
