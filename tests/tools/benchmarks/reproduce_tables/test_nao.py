"""NAO on networks of cells, from shared weights to its row."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from natonnx.errors import InputError
from tools.benchmarks.reproduce_tables import nao as nao_of_cells
from tools.benchmarks.reproduce_tables.__main__ import cli
from tools.benchmarks.reproduce_tables.nao import OPS
from tools.benchmarks.reproduce_tables.networks import genotype_of
from tools.benchmarks.reproduce_tables.one_shot import OneShot, operations_of, runs, with_operations
from tools.benchmarks.reproduce_tables.table import read_all
from tools.research.networks.cell_network import CellModule, CellNetwork
from tools.research.networks.cells import stack

TINY = "--networks DARTS --learners nao --seeds 1 --width 0.03 --cells 3 --train 60 --validation 30 --test 40"
TINY += " --epochs 1 --batch 20 --search-epochs 1 --alphas 2 --reward-batch 30 --evaluated 2"
CHANNELS = 4


def invoke(folder: Path, line: str) -> Any:
    return CliRunner().invoke(cli, ["learners", *line.split(), "--folder", str(folder)])


@pytest.mark.parametrize("name", ["DARTS", "ENAS", "NAONet"])
def test_shared_weights_compute_what_a_network_of_its_own_does(name: str) -> None:
    """Of the paper's own network, and of one with some other operations, every weight copied."""
    genotype = genotype_of(name)
    ops = ("null", "dil_conv_5x5")
    other = [{1: "null", 2: "dil_conv_5x5"}.get(i % 5, op) for i, op in enumerate(operations_of(genotype))]
    for chosen in (genotype, with_operations(genotype, other)):
        assert runs(chosen)
        shared = OneShot(genotype, ops, CHANNELS, 3, seed=0).eval()
        own = CellNetwork(stack(chosen, 3), CHANNELS, free_skips=True, keep_dead=True).eval()
        state = shared.network.state_dict()
        kept = {}
        for key in own.state_dict():
            parts = key.split(".")
            if parts[2:3] == ["links"]:
                cell = own.cells[parts[1]]
                assert isinstance(cell, CellModule)
                parts[4:4] = ["ops", cell.cell.links[int(parts[3])].op]
            kept[key] = state[".".join(parts)]
        own.load_state_dict(kept)
        images = torch.randn(2, 3, 32, 32)
        with torch.no_grad():
            assert torch.allclose(shared(images, operations_of(chosen)), own(images), atol=1e-5)


def test_a_cell_that_lets_nothing_through_does_not_run() -> None:
    genotype = genotype_of("DARTS")
    assert runs(genotype)
    nothing = ["null"] * len(genotype.normal)
    assert not runs(with_operations(genotype, [*nothing, *operations_of(genotype)[len(nothing) :]]))


@pytest.mark.parametrize("name", ["DARTS", "NAONet"])
def test_it_has_a_row_beside_the_others(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nao_of_cells, "_RECIPE", replace(nao_of_cells._RECIPE, steps=20))
    done = invoke(tmp_path, TINY.replace("DARTS", name))
    assert done.exit_code == 0, done.output
    beta, nao = read_all(tmp_path)
    assert (beta["job"]["learner"], nao["job"]["learner"]) == ("β", "nao")
    genotype = genotype_of(name)
    assert len(nao["operations"]) == len(operations_of(genotype))
    assert tuple(nao["operations"]) != operations_of(genotype)
    assert runs(with_operations(genotype, nao["operations"]))
    assert set(nao["operations"]) <= {*OPS, *operations_of(genotype)}
    assert nao["share"] == nao["madds"] / beta["madds"]
    assert "| NAO |" in done.output


def test_networks_without_cells_are_refused(tmp_path: Path) -> None:
    refused = invoke(tmp_path, TINY.replace("DARTS", "ResNet-20"))
    assert isinstance(refused.exception, InputError)
    assert "ResNet-20: NAO chooses operations of cells" in str(refused.exception)
    assert not list(tmp_path.iterdir())
