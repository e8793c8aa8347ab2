"""Prices that are measured on this machine: by real sessions, and what they make of a search."""

import json
from collections.abc import Sequence
from pathlib import Path

import onnx
import pytest

from natonnx import InputError, RunnableModel, Settings, optimize, plan
from natonnx.architecture import Architecture, State, cost
from natonnx.contract.optimize import OptimizeReport
from natonnx.frontend import Source, load, parse
from natonnx.search.latency_model import Measured
from natonnx.search.price import Estimate, Params
from natonnx.search.reach import cheapest
from natonnx.verbs.model_comparison import Conditions
from natonnx.verbs.optimize.latency_table import LatencyTable, table_file
from natonnx.verbs.optimize.memory_price import memory_price
from natonnx.verbs.optimize.prices import make_prices
from natonnx.verbs.optimize.stopwatch import Stopwatch
from tests.cli import tiny

QUICK = Conditions(seconds=0.05)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "natonnx" / "latency"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.fill(tmp_path)


@pytest.fixture
def source(folder: Path) -> Source:
    return load(folder / "model.onnx")


def test_a_model_takes_as_long_as_itself(source: Source) -> None:
    stopwatch = Stopwatch(source.network, {"image": tiny.arrays()["x_train"][:1]}, Conditions(seconds=1.0))
    (found,) = stopwatch.compare([source.network.architecture])
    assert found.low <= found.value <= found.high
    assert found.low < 1.1
    assert found.high > 0.9


def test_a_provider_that_is_not_there_is_refused(source: Source) -> None:
    with pytest.raises(InputError, match="--provider rocket"):
        Stopwatch(source.network, {"image": tiny.arrays()["x_train"][:1]}, Conditions(provider="rocket"))


def test_a_table_comes_back_as_it_was(source: Source, cache: Path) -> None:
    beta = source.network.architecture
    table, path = LatencyTable(2.5, [Measured(beta, 1.0, 0.125)]), table_file(source, QUICK, ["image float32 (1, 1)"])
    assert path.parent == cache
    assert LatencyTable.load(path, beta) is None
    table.save(path)
    assert LatencyTable.load(path, beta) == table
    assert table_file(source, Conditions(threads=2), ["image float32 (1, 1)"]) != path
    assert table_file(source, QUICK, ["image float32 (2, 1)"]) != path


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"format": 1}', '{"format": 1, "full_ms": -1, "measured": []}', "[" * 100_000],
)
def test_a_damaged_table_is_none(source: Source, tmp_path: Path, content: str) -> None:
    (tmp_path / "table.json").write_text(content)
    assert LatencyTable.load(tmp_path / "table.json", source.network.architecture) is None


def test_a_table_of_other_edges_is_none(source: Source, tmp_path: Path) -> None:
    rows = [["OO", 0.5, 0.0], ["X" * len(source.network.architecture.states), 0.5, 0.0]]
    for row in rows:
        text = json.dumps({"format": 1, "full_ms": 1.0, "measured": [row]})
        (tmp_path / "table.json").write_text(text)
        assert LatencyTable.load(tmp_path / "table.json", source.network.architecture) is None


def test_the_size_of_a_file_is_counted(folder: Path) -> None:
    """What is written has the bytes that the price said, weights trained or not."""
    found = optimize(
        folder / "model.onnx",
        folder / "data.npz",
        folder / "out.onnx",
        settings=Settings(finetune_epochs=0.1, lookups=8, max_drop=100, target_size=0.9),
    )
    assert found.output is not None
    (limit,) = [row for row in found.report["constraints"] if row["name"] == "size_bytes"]
    assert found.output.stat().st_size == round(limit["value"] or 0) <= limit["limit"]


def stub(monkeypatch: pytest.MonkeyPatch, late: float = 1.0) -> list[str]:
    """A clock by which an inference takes as long as it has MAdds; files take so many times what was said of them."""
    calls: list[str] = []

    def share(alpha: Architecture) -> float:
        return (cost(alpha).madds or 0) / 78360

    def rough(self: Stopwatch, alphas: Sequence[Architecture], each: float, goes_on: object) -> list[Measured]:
        del self, each, goes_on
        calls.append("rough")
        return [Measured(alpha, share(alpha), 0.0) for alpha in alphas]

    def compare(self: Stopwatch, alphas: Sequence[Architecture]) -> list[Estimate]:
        del self
        calls.append("compare")
        return [Estimate(share(alpha), 0.99 * share(alpha), 1.01 * share(alpha)) for alpha in alphas]

    def compare_models(self: Stopwatch, models: Sequence[onnx.ModelProto], limit: float) -> list[Estimate]:
        del self, limit
        calls.append("compare models")
        shares = [late * share(parse(model).architecture) for model in models]
        return [Estimate(one, 0.99 * one, 1.01 * one) for one in shares]

    monkeypatch.setattr(Stopwatch, "full", lambda _: 4.0)
    for name, function in (("rough", rough), ("compare", compare), ("compare_models", compare_models)):
        monkeypatch.setattr(Stopwatch, name, function)
    return calls


def searched(folder: Path, target: float | str) -> OptimizeReport:
    settings = Settings(finetune_epochs=0.1, lookups=8, max_drop=100, target_latency=target)
    found = optimize(folder / "model.onnx", folder / "data.npz", folder / "out.onnx", settings=settings, latency=QUICK)
    assert found.improved == (folder / "out.onnx").exists()
    return found.report


def test_a_latency_target_is_met_by_the_upper_end(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = stub(monkeypatch)
    report = searched(folder, "2.8ms")
    assert report["status"] == "improved"
    (limit,) = [row for row in report["constraints"] if row["name"] == "latency_ms"]
    assert limit["met"]
    assert limit["limit"] == pytest.approx(2.8)
    assert limit["interval"] is not None
    assert limit["interval"][1] == pytest.approx(1.01 * (limit["value"] or 0))
    assert limit["interval"][1] <= 2.8
    assert len(list(cache.glob("*.json"))) == 1
    assert calls.count("rough") == 1
    assert calls[-1] == "compare models"
    (folder / "out.onnx").unlink()
    searched(folder, 0.7)
    assert calls.count("rough") == 1  # the table was kept


def test_a_file_that_is_slower_than_its_architecture_was_is_not_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(monkeypatch, late=2.0)
    report = searched(folder, 0.7)
    assert report["status"] == "unchanged"
    (limit,) = [row for row in report["constraints"] if row["name"] == "latency_ms"]
    assert not limit["met"]
    assert (limit["value"] or 0) > limit["limit"]


def test_real_sessions_are_timed(source: Source) -> None:
    """How long they take is for the machine; that they are, and in what order, is for the test."""
    beta = source.network.architecture
    stopwatch = Stopwatch(source.network, {"image": tiny.arrays()["x_train"][:1]}, QUICK)
    assert stopwatch.full(0.01) > 0
    alphas = [cheapest(beta, Params(beta)), beta]
    assert [one.architecture for one in stopwatch.rough(alphas, 0.01)] == alphas
    assert len(stopwatch.rough(alphas, 0.01, lambda: False)) == 1
    assert all(one.low <= one.value <= one.high for one in stopwatch.compare(alphas))


def test_several_costs_may_be_limited(folder: Path) -> None:
    settings = Settings(finetune_epochs=0.1, lookups=8, max_drop=100, target_madds=0.8, target_params=0.9)
    found = optimize(folder / "model.onnx", folder / "data.npz", folder / "out.onnx", settings=settings)
    before, after = found.report["input"], found.report["output"]
    assert after is not None
    assert (after["madds"] or 0) <= 0.8 * (before["madds"] or 0)
    assert after["params"] <= 0.9 * before["params"]
    assert [row["name"] for row in found.report["constraints"]][:2] == ["madds", "params"]


def test_an_unreachable_target_is_refused_at_once(folder: Path) -> None:
    settings = Settings(target_params=0.0001)
    with pytest.raises(
        InputError, match=r"--target-params: 0.0001 of the input's parameters cannot be reached, nothing is below 0\.\d"
    ):
        optimize(folder / "model.onnx", folder / "data.npz", folder / "out.onnx", settings=settings)
    assert not (folder / "out.onnx").exists()


def test_a_plan_changes_nothing(folder: Path) -> None:
    before = sorted(folder.iterdir())
    found = plan(folder / "model.onnx", folder / "data.npz", settings=Settings(target_madds=0.7, lookups=9))
    assert sorted(folder.iterdir()) == before
    assert found["status"] == "planned"
    assert found["work"].startswith("9 look-ups")
    first = found["prices"][0]
    assert (first["name"], first["targets"]) == ("madds", [0.7])
    assert 0 < first["smallest"] < 0.7
    assert first["least"] == pytest.approx(first["smallest"])
    assert found["space"]["savers"] <= found["space"]["transitions"]


def test_a_plan_says_that_a_reward_of_ones_own_judges(folder: Path) -> None:
    found = plan(folder / "model.onnx", folder / "data.npz", reward=of_own, settings=Settings(lookups=9))
    assert (found["objective"]["name"], found["objective"]["measure"]) == (f"{__name__}.of_own", "reward")


def of_own(model: RunnableModel) -> float:
    del model
    return 0.0


def test_prices_come_in_the_order_of_what_is_limited(source: Source) -> None:
    prices, meter = make_prices(source, None, Settings(target_size=0.5), QUICK)  # type: ignore[arg-type]
    assert meter is None
    assert [price.name for price in prices] == ["size_bytes", "madds", "params"]
    alpha = source.network.architecture.with_states(
        tuple(
            State.N if edge.operation is None else state
            for edge, state in zip(
                source.network.architecture.topology.edges, source.network.architecture.states, strict=True
            )
        )
    )
    assert prices[0].cost(alpha) == prices[0].full  # shortcuts have no bytes that are predicted


def test_memory_is_measured_in_fresh_processes(source: Source) -> None:
    beta = source.network.architecture
    price = memory_price(source, {"image": tiny.arrays()["x_train"][:1]}, QUICK, 1)
    assert 1e7 < price.full < 1e9
    alpha = cheapest(beta, Params(beta))
    assert price.settle([alpha])
    found = price.estimate(alpha)
    assert found is not None
    assert 0.8 < found.low / price.full <= found.value / price.full <= found.high / price.full < 1.2
