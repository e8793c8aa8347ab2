"""The released NAT edits by `natonnx apply`, against networks that torch builds so, with the same weights."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from natonnx.architecture import Cost
from natonnx.cli import main as natonnx
from natonnx.errors import InputError
from natonnx.session import run, session
from tools.paper.catalog import CATALOG, Method
from tools.paper.cells import stack
from tools.paper.edits import cell_edits, within_transitions
from tools.paper.rewriting import CELL_READING, Comparison
from tools.paper.transformation import TRANSFORMED, edits_of, transform
from tools.zoo import cli as zoo


def accept(found: Comparison) -> None:
    assert found.edits > 0
    assert found.difference <= 1e-5
    assert found.rewritten == found.parsed == Cost(*found.direct)
    assert found.before[0] == Cost(*found.before[1])


@pytest.mark.parametrize("family", ["DARTS", "ENAS", "NAONet", "R3", "R5"])
def test_cells(family: str) -> None:
    accept(transform(CATALOG[family], "NAT", channels=4, cells=5))


@pytest.mark.parametrize("family", ["ResNet-20", "MobileNetV2"])
def test_plain_networks(family: str) -> None:
    accept(transform(CATALOG[family], "NAT"))


@pytest.mark.slow
@pytest.mark.parametrize(("family", "method"), TRANSFORMED)
def test_full_depth(family: str, method: Method) -> None:
    accept(transform(CATALOG[family], method, channels=4))


def test_released_edits_beyond_the_transitions_stay() -> None:
    beta, alpha = CATALOG["NAONet"].genotype, CATALOG["NAT-NAONet"].genotype
    assert beta is not None
    assert alpha is not None
    kept = within_transitions(beta, alpha)
    assert kept.normal == alpha.normal
    differing = [(mine, released) for mine, released in zip(kept.reduce, alpha.reduce, strict=True) if mine != released]
    assert [(mine.op, released.op) for mine, released in differing] == [("avg_pool_2x2", "avg_pool_3x3")]


def test_by_the_command_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """tools/zoo.py export and edits, natonnx apply, all as a user has them, against the export of NAT-DARTS."""
    beta, alpha = tmp_path / "beta.onnx", tmp_path / "alpha.onnx"
    narrow = ["--channels", "4", "--cells", "5", "--free-skips", "--size", "16"]
    zoo(["export", "DARTS", "-o", str(beta), *narrow], standalone_mode=False)
    zoo(["edits", "NAT-DARTS", str(beta), "--cells", "5"], standalone_mode=False)
    edits = capsys.readouterr().out
    (tmp_path / "edits.json").write_text(edits)
    with pytest.raises(SystemExit) as end:
        natonnx(["apply", str(beta), str(tmp_path / "edits.json"), "-o", str(alpha), "--granularity", "branch"])
    assert end.value.code == 0
    assert len(json.loads(edits)) == 12
    image = np.random.default_rng(0).standard_normal((2, 3, 16, 16), np.float32)
    outputs = [run(session(onnx.load(path)), {"x0": image})["y"] for path in (beta, alpha)]
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-3


@pytest.mark.parametrize(
    ("name", "cells", "says"),
    [
        ("DARTS", 5, "it was made from no other"),
        ("NAT-DARTS", None, "no edge carries link"),
        ("NAT++-VGG16", None, "cannot|becomes another operation"),
        ("NAT-GHN", None, "no architecture is called so"),
        ("NAT-ResNet-50", None, "the cell of bottlenecks was not published"),
    ],
)
def test_bad_requests(tmp_path: Path, name: str, cells: int | None, says: str) -> None:
    beta = tmp_path / "beta.onnx"
    narrow = ["--channels", "4", "--cells", "5", "--free-skips", "--size", "16"]
    zoo(["export", "DARTS", "-o", str(beta), *narrow], standalone_mode=False)
    with pytest.raises(InputError, match=says):
        edits_of(name, beta, cells=cells)


def test_another_operation_is_no_edit(tmp_path: Path) -> None:
    beta, alpha = CATALOG["DARTS"].genotype, CATALOG["NAT++-DARTS"].genotype
    assert beta is not None
    assert alpha is not None
    path = tmp_path / "beta.onnx"
    zoo(["export", "DARTS", "-o", str(path), "--channels", "4", "--cells", "3", "--free-skips"], standalone_mode=False)
    from natonnx.api import load

    network = load(path, CELL_READING).network
    with pytest.raises(InputError, match="cell 0: sep_conv_3x3 cannot become dil_conv_3x3, only a skip or null"):
        cell_edits(network, stack(beta, 3), stack(alpha, 3))
