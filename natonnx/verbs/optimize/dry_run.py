"""`optimize --dry-run`: read and prepare as a search does, and say what it would do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from natonnx.architecture import transition_mask
from natonnx.contract.plan import Plan, PriceRow
from natonnx.contract.rows import cost_row
from natonnx.contract.schema import SCHEMA_VERSION
from natonnx.data import Data, LoadOptions
from natonnx.frontend import ParseOptions, load
from natonnx.search import RewardFunction, Settings
from natonnx.search.price import Together, share
from natonnx.search.propose.moves import Moves
from natonnx.search.reach import cheapest, least
from natonnx.verbs.model_comparison import Conditions
from natonnx.verbs.objectives import objective_row
from natonnx.verbs.optimize.plan import memory_of, seconds_per_sample, work_of
from natonnx.verbs.optimize.prepare import BatchNormMode, DeviceName, Prepared, prepare, torch_settings
from natonnx.verbs.optimize.report import data_row
from natonnx.verbs.optimize.soundness import check_data, check_weights

__all__ = ["plan"]


def plan(
    model: Path | str,
    data: Data | None = None,
    *,
    objective: Any = "auto",
    reward: RewardFunction | None = None,
    settings: Settings | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    classes: Path | Mapping[str, int] | None = None,
    workers: int | None = None,
    cache: float | str | None = None,
    memory: float | str | None = None,
    batchnorm: BatchNormMode = "auto",
    device: DeviceName = "auto",
    threads: int | None = None,
    reading: ParseOptions | None = None,
    force: bool = False,
    latency: Conditions | None = None,
) -> Plan:
    """Say what `natonnx.optimize` would do with the same arguments: the space, what can be reached, and what it takes.

    Nothing is searched, trained or written, but for latencies, which are measured where they are limited, and kept.

    Returns:
        The payload of `natonnx optimize --dry-run --json`.

    Raises:
        InputError: If the model, the data, the objective or a setting is bad.

    Example:
        >>> from natonnx import Settings, plan
        >>> found = plan("model.onnx", "data.npz", settings=Settings(target_madds=0.7))
        >>> found["prices"][0]["name"], found["prices"][0]["smallest"] < 0.7
        ('madds', True)
    """
    settings = settings or Settings()
    source = load(model, reading)
    check_weights(source)
    with torch_settings(threads):
        prepared = prepare(
            source,
            data,
            preprocessing,
            objective=objective,
            reward=reward,
            batchnorm=batchnorm,
            device=device,
            settings=settings,
            class_names=classes,
            loading=LoadOptions(workers, cache, memory),
            conditions=latency,
        )
        check_data(prepared, force=force)
        each = seconds_per_sample(prepared)
        work, seconds = work_of(prepared, settings, each)
    problem, beta = prepared.problem, source.network.architecture
    moves = Moves(beta, problem.prices[0])
    return {
        "schema": SCHEMA_VERSION,
        "status": "planned",
        "path": str(source.path),
        "cost": cost_row(beta),
        "objective": objective_row(problem.objective, problem.reward),
        "space": {
            "edges": len(beta.states),
            "transitions": int(transition_mask(beta).sum()) - len(beta.states),
            "savers": len(moves.savers),
        },
        "prices": _prices(prepared, settings),
        "work": work,
        "seconds": seconds if settings.time_budget is None else min(seconds, settings.time_budget),
        "memory_bytes": memory_of(prepared, settings),
        "data": data_row(prepared.parts),
    }


def _prices(prepared: Prepared, settings: Settings) -> list[PriceRow]:
    beta, limits, found = prepared.source.network.architecture, settings.limits, list[PriceRow]()
    for price in prepared.problem.prices:
        if isinstance(price, Together):
            continue
        alpha = cheapest(beta, price)
        price.settle([alpha])
        found.append(
            {
                "name": price.name,
                "label": price.label,
                "input": price.full,
                "smallest": share(price, alpha),
                "least": least(beta, price),
                "targets": [amount.of(price.full) for amount in limits.get(price.name, ())],
            }
        )
    return found
