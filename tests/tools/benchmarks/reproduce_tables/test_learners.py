"""The comparison of learners, from a tiny network to the tables."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from natonnx.architecture import State
from natonnx.errors import InputError
from tools.benchmarks.reproduce_tables.__main__ import cli
from tools.benchmarks.reproduce_tables.budget import Budget
from tools.benchmarks.reproduce_tables.networks import NETWORKS, Scale, _narrow, open_network
from tools.benchmarks.reproduce_tables.pictures import Counts, write_pictures
from tools.benchmarks.reproduce_tables.run import BETA, Job, read_row
from tools.benchmarks.reproduce_tables.table import gains, plot, read_all, tables
from tools.research.networks.catalog import CATALOG

TINY = "--networks ResNet-20 --learners random,gcn --seeds 1 --width 0.125 --blocks 1 --train 60 --validation 30"
TINY += " --test 40 --epochs 1 --batch 20 --search-epochs 1 --alphas 2 --reward-batch 30 --evaluated 2"


def invoke(folder: Path, *more: str) -> Any:
    return CliRunner().invoke(cli, ["learners", *TINY.split(), "--folder", str(folder), *more])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("runs")
    done = invoke(found, "--markdown", str(found / "table.md"))
    assert done.exit_code == 0, done.output
    assert done.output.count(" of the MAdds\n") == 3
    return found


def test_each_run_is_a_file_and_is_not_repeated(folder: Path) -> None:
    names = ("beta", "random", "gcn")
    before = {name: (folder / f"ResNet-20-{name}-0.json").stat().st_mtime_ns for name in names}
    again = invoke(folder)
    assert again.exit_code == 0
    assert " of the MAdds\n" not in again.output
    assert {name: (folder / f"ResNet-20-{name}-0.json").stat().st_mtime_ns for name in names} == before
    assert "| Sampling-GCN |" in (folder / "table.md").read_text()


def test_what_was_run_otherwise_is_not_taken_for_it(folder: Path) -> None:
    other = invoke(folder, "--epochs", "2")
    assert isinstance(other.exception, InputError)
    assert "ResNet-20-beta-0.json: is of other pictures, another scale or budget" in str(other.exception)


def test_a_row_says_what_was_made(folder: Path) -> None:
    rows = {row["job"]["learner"]: row for row in read_all(folder)}
    assert list(rows) == [BETA, "random", "gcn"]
    assert rows[BETA]["edits"] == []
    assert rows[BETA]["share"] == 1
    for row in rows.values():
        assert row["samples"] == 40
        assert 0 <= row["accuracy"] <= 1
        assert row["share"] == row["madds"] / rows[BETA]["madds"] <= 1
    assert rows["random"]["edits"]


def test_a_run_that_was_not_made_has_no_row(tmp_path: Path) -> None:
    job = Job("VGG16", "gcn", 0, "some", Counts(1, 1, 1), Scale(), Budget())
    assert read_row(job, tmp_path) is None


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    for option, name in (("--learners", "greedy"), ("--networks", "LeNet")):
        assert name in str(invoke(tmp_path, option, name).exception)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_there_narrow(tmp_path: Path, name: str) -> None:
    network = open_network(name, Scale(0.06, 3, 1), tmp_path).network
    beta = network.architecture
    assert len(beta.states) > 8
    assert State.O in beta.states
    assert network.shapes[network.inputs[0]][1:] == (3, 32, 32)


def test_the_whole_width_is_the_papers() -> None:
    vgg = CATALOG["VGG16"]
    assert vgg.genotype is not None
    plan = vgg.plans["cifar"](vgg.genotype)
    assert _narrow(plan, 1.0) == plan
    half = _narrow(plan, 0.5)
    assert [one.channels for one in half.maps[:3]] == [3, 32, 32]
    assert half.hidden == (256, 256)
    with pytest.raises(InputError, match="--width 0"):
        _narrow(plan, 0.0)


def test_pictures_are_of_three_channels_and_balanced(tmp_path: Path) -> None:
    found = write_pictures(None, Counts(50, 20, 30), tmp_path)
    arrays = np.load(found.path)
    assert found.label == "Fashion-MNIST"
    assert {name: arrays[name].shape for name in ("x_train", "x_val", "x_test")} == {
        "x_train": (50, 32, 32, 3),
        "x_val": (20, 32, 32, 3),
        "x_test": (30, 32, 32, 3),
    }
    assert (np.bincount(arrays["y_train"]) == 5).all()
    assert not arrays["x_train"][:, :2].any()
    assert (arrays["x_train"][..., 0] == arrays["x_train"][..., 2]).all()


def row(learner: str, seed: int, accuracy: float, share: float = 1.0, network: str = "VGG16") -> dict[str, Any]:
    return {
        "job": {"network": network, "learner": learner, "seed": seed},
        "accuracy": accuracy,
        "share": share,
        "samples": 100,
    }


ROWS = [
    row(BETA, 0, 0.50),
    row(BETA, 1, 0.54),
    row("gcn", 0, 0.53, 0.9),
    row("gcn", 1, 0.55, 0.8),
    row("gcn", 2, 0.99, 0.8),  # β of that seed is missing: no pair
    row("random", 0, 0.40, 0.5),
]


def test_gains_are_pairs_of_one_network_and_seed() -> None:
    assert gains(ROWS, "gcn") == pytest.approx([3.0, 1.0])
    assert gains(ROWS, "random") == pytest.approx([-10.0])
    assert gains([*ROWS, row("gcn", 0, 0.6, network="DARTS")], "gcn") == pytest.approx([3.0, 1.0])


def test_the_tables_have_means_and_deviations() -> None:
    text = tables(ROWS)
    assert "| β, trained alike | 52.00 ± 2.83 |" in text
    assert "| Random | 40.00 |" in text
    assert "| Sampling-GCN | 69.00 ± 26.00 |" in text
    assert "| Sampling-GCN | 0.833 ± 0.058 |" in text
    # t = 2 with one degree of freedom: p = 0.295
    assert "| Sampling-GCN − β, trained alike | +2.00 ± 1.00 | 2 | 0.30 | 1 of 1 |" in text
    assert "| Sampling-GCN − Random | – | 1 | – | – |" in text
    assert gains(ROWS, "gcn", "random") == pytest.approx([13.0])
    assert text.index("Random") < text.index("Sampling-GCN")


def test_a_difference_says_on_how_many_networks_it_is_a_gain() -> None:
    others = [row(BETA, 0, 0.5, network="DARTS"), row("gcn", 0, 0.5, network="DARTS")]
    others += [row(BETA, 0, 0.5, network="ENAS"), row("gcn", 0, 0.7, network="ENAS")]
    text = tables([*ROWS, *others])
    # 3, 1, 0, 20: mean 6, deviation 9.4163, t = 1.2744 with three degrees of freedom
    assert "| Sampling-GCN − β, trained alike | +6.00 ± 4.71 | 4 | 0.29 | 2 of 3 |" in text
    sure = [
        row(learner, seed, 0.5 + 0.001 * seed + 0.1 * (learner == "gcn"))
        for learner in (BETA, "gcn")
        for seed in (0, 1)
    ]
    sure += [row(BETA, 2, 0.5), row("gcn", 2, 0.601)]
    assert "| Sampling-GCN − β, trained alike | +10.03 ± 0.03 | 3 | 1e-05 | 1 of 1 |" in tables(sure)


def test_the_plot_is_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots need the bench extra")
    plot(ROWS, tmp_path / "plot.svg")
    assert (tmp_path / "plot.svg").read_text().startswith("<?xml")
