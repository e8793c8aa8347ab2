"""The released NAT edits by `natonnx apply`, against networks that torch builds so, with the same weights."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from natonnx.architecture import Cost, cost
from natonnx.cli import main as natonnx
from natonnx.errors import InputError
from natonnx.frontend import load
from natonnx.session import run, session
from tools.conformance.paper.rewriting import Comparison
from tools.conformance.paper.transformation import TRANSFORMED, transform, transformations
from tools.research.networks.__main__ import cli as networks
from tools.research.networks.catalog import CATALOG
from tools.research.networks.cells import edit, stack
from tools.research.networks.edits import cell_edits, within_transitions
from tools.research.networks.transformed import CELL_READING, edits_of

NARROW = ["--channels", "4", "--cells", "5", "--free-skips", "--size", "16"]


@pytest.fixture(scope="module")
def darts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A narrow export of DARTS; shared, never to be changed."""
    path = tmp_path_factory.mktemp("darts") / "beta.onnx"
    networks(["export", "DARTS", "-o", str(path), *NARROW], standalone_mode=False)
    return path


def accept(found: Comparison) -> None:
    assert found.edits > 0
    assert found.difference <= 1e-5
    assert found.rewritten == found.parsed == Cost(*found.direct)
    assert found.before[0] == Cost(*found.before[1])


@pytest.mark.parametrize("family", ["DARTS", "ENAS", "NAONet", "R3", "R5"])
def test_cells(family: str) -> None:
    accept(transform(CATALOG[family], channels=4, cells=4))


@pytest.mark.parametrize("family", ["ResNet-20", "MobileNetV2"])
def test_plain_networks(family: str) -> None:
    accept(transform(CATALOG[family]))


@pytest.mark.slow
@pytest.mark.parametrize("family", TRANSFORMED)
def test_full_depth(family: str) -> None:
    accept(transform(CATALOG[family], channels=4))


def test_released_edits_beyond_the_transitions_stay() -> None:
    beta, alpha = CATALOG["NAONet"].genotype, CATALOG["NAT-NAONet"].genotype
    assert beta is not None
    assert alpha is not None
    kept = within_transitions(beta, alpha)
    assert kept.normal == alpha.normal
    differing = [(mine, released) for mine, released in zip(kept.reduce, alpha.reduce, strict=True) if mine != released]
    assert [(mine.op, released.op) for mine, released in differing] == [("avg_pool_2x2", "avg_pool_3x3")]


def test_by_the_command_lines(darts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Export, edits and `natonnx apply` as a user has them: α costs what the export of NAT-DARTS does."""
    beta, alpha, built = darts, tmp_path / "alpha.onnx", tmp_path / "built.onnx"
    capsys.readouterr()
    networks(["edits", "NAT-DARTS", str(beta), "--cells", "5"], standalone_mode=False)
    edits = capsys.readouterr().out
    (tmp_path / "edits.json").write_text(edits)
    with pytest.raises(SystemExit) as end:
        natonnx(["apply", str(beta), str(tmp_path / "edits.json"), "-o", str(alpha), "--granularity", "branch"])
    assert end.value.code == 0
    assert len(json.loads(edits)) == 12
    image = np.random.default_rng(0).standard_normal((2, 3, 16, 16), np.float32)
    outputs = [run(session(onnx.load(path)), {"x0": image})["y"] for path in (beta, alpha)]
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-3
    networks(["export", "NAT-DARTS", "-o", str(built), *NARROW], standalone_mode=False)
    found, expected = (cost(load(path, CELL_READING).network.architecture) for path in (alpha, built))
    assert found == expected


@pytest.mark.parametrize(
    ("name", "cells", "says"),
    [
        ("DARTS", 5, "it was made from no other"),
        ("NAT-DARTS", None, "beta.onnx: no export of DARTS with 20 cells and free skips"),
        ("NAT-DARTS", 8, "no export of DARTS with 8 cells"),
        ("NAT-ENAS", 5, "no export of ENAS with 5 cells"),
        ("NAT-VGG16", None, r"no export of VGG16 \(found and expected: 57 operations, 36 skips and "),
        ("NAT-VGG16", 5, "VGG16: only networks of cells have another depth"),
        ("NAT-GHN", None, "no architecture is called so"),
        ("NAT-ResNet-50", None, "the cell of bottlenecks was not published"),
    ],
)
def test_bad_requests(darts: Path, name: str, cells: int | None, says: str) -> None:
    with pytest.raises(InputError, match=says):
        edits_of(name, darts, cells=cells)


def test_a_network_of_the_same_names_is_refused(tmp_path: Path) -> None:
    """The first maps of ResNet-56 are called as those of ResNet-20."""
    beta = tmp_path / "beta.onnx"
    networks(["export", "ResNet-56", "-o", str(beta)], standalone_mode=False)
    with pytest.raises(InputError, match="no export of ResNet-20"):
        edits_of("NAT-ResNet-20", beta)
    with pytest.raises(InputError, match="it adds a feature map, which no edit can do"):
        edits_of("NAT++-ResNet-56", beta)


@pytest.mark.parametrize("name", ["no-such", "SNAS", "GHN"])
def test_only_what_nat_transformed_is_compared(name: str) -> None:
    with pytest.raises(InputError, match=name):
        next(transformations([name], channels=4))


def test_another_operation_is_no_edit(tmp_path: Path) -> None:
    beta, alpha = CATALOG["DARTS"].genotype, CATALOG["NAT++-DARTS"].genotype
    assert beta is not None
    assert alpha is not None
    path = tmp_path / "beta.onnx"
    networks(
        ["export", "DARTS", "-o", str(path), "--channels", "4", "--cells", "3", "--free-skips"], standalone_mode=False
    )
    network = load(path, CELL_READING).network
    with pytest.raises(InputError, match="cell 0: sep_conv_3x3 cannot become dil_conv_3x3, only a skip or null"):
        cell_edits(network, stack(beta, 3), stack(alpha, 3))


def test_a_branch_that_holds_preprocessing_is_no_skip(tmp_path: Path) -> None:
    """In R3 the separable convolution from node 1 alone reads that input, so that both are one edge."""
    genotype = CATALOG["R3"].genotype
    assert genotype is not None
    path = tmp_path / "beta.onnx"
    networks(
        ["export", "R3", "-o", str(path), "--channels", "4", "--cells", "3", "--free-skips"], standalone_mode=False
    )
    network = load(path, CELL_READING).network
    before = stack(genotype, 3)
    with pytest.raises(InputError, match="cell 0: link 4 is one branch with its input's preprocessing"):
        cell_edits(network, before, [edit(cell, {(1, 4): "skip_connect"}) for cell in before])
