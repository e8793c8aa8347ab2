"""Prices: what is counted, and what a search measures because the user limits it."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from natonnx import __version__
from natonnx.architecture import Architecture, edits_between
from natonnx.data import Batches
from natonnx.frontend import Source
from natonnx.notices import NOTICE
from natonnx.rewrite import add_provenance, build
from natonnx.search import Settings
from natonnx.search.latency_model import LatencyPredictor
from natonnx.search.measured_price import Measure, MeasuredPrice
from natonnx.search.price import Estimate, Params, Price, prices_of
from natonnx.search.propose.sample import sample_architectures
from natonnx.search.targets import arrange
from natonnx.tensors import file_bytes
from natonnx.verbs.model_comparison import Conditions
from natonnx.verbs.optimize.latency_table import LatencyTable, table_file
from natonnx.verbs.optimize.memory_price import memory_price
from natonnx.verbs.optimize.stopwatch import Stopwatch

__all__ = ["LatencyMeter", "make_prices"]

_log = logging.getLogger(__name__)

_SAMPLES = 60
"""Architectures that are measured roughly."""
_SECONDS = 40.0
"""That this may take, without a time budget."""
_BUDGET_SHARE = 0.15
"""Of a time budget, with one."""
_ROUGH_SHARE = 0.5
"""Of the time for one architecture, for its rounds; the rest goes into building and opening it."""
_MARGIN = 0.8
"""Architectures are measured from this part of the target on."""
_LOWEST = 0.3


@dataclass(frozen=True, eq=False)
class LatencyMeter:
    """What measures the files that are made, and the price that learns from it.

    Attributes:
        stopwatch: Measures.
        price: The latency.
        limit: The most that it may be, as a fraction of the input's; the lowest of several.
    """

    stopwatch: Stopwatch
    price: MeasuredPrice
    limit: float

    def take(self, alpha: Architecture, model: onnx.ModelProto, target: float | None) -> None:
        """Measure a file that was made of an architecture: what it takes with its own weights is what counts.

        Args:
            alpha: The architecture.
            model: The file.
            target: What it should take at most, as a fraction of the input's; the lowest of all targets where None.
        """
        (found,) = self.stopwatch.compare_models([model], self.limit if target is None else target)
        _log.info("latency of a file that was made: %.3f [%.3f, %.3f] of the input's", *found)
        self.price.take(alpha, found)


def make_prices(
    source: Source, sample: Batches, settings: Settings, conditions: Conditions
) -> tuple[tuple[Price, ...], LatencyMeter | None]:
    """Make the prices of a model: multiply-adds, parameters, and what else is limited.

    Args:
        source: The model.
        sample: Data to time it on.
        settings: Of the search.
        conditions: What latency is measured under.

    Returns:
        The prices, what is limited first; and what measures latency, where that is limited.
    """
    beta = source.network.architecture
    prices: list[Price] = list(prices_of(beta))
    limits, meter = settings.limits, None
    if "params" in limits and not any(price.name == "params" for price in prices):
        prices.append(Params(beta))
    if "latency_ms" in limits:
        meter = _latency(source, sample, settings, conditions, prices[0])
        prices.append(meter.price)
    if "size_bytes" in limits:
        prices.append(_size(source))
    if "peak_memory_bytes" in limits:
        inputs, size = _batch(source, sample, conditions)
        prices.append(memory_price(source, inputs, conditions, size))
    return arrange(prices, settings), meter


def _size(source: Source) -> MeasuredPrice:
    """Bytes of the file and its data files: predicted by parameters, and counted of an α's file where that matters."""
    beta, params = source.network.architecture, Params(source.network.architecture)
    full = float(source.size_bytes)

    def weigh(alphas: Sequence[Architecture]) -> list[Estimate]:
        return [Estimate(*3 * (file_bytes(_written(source, alpha)) / full,)) for alpha in alphas]

    return MeasuredPrice(beta, Measure("size_bytes", "size (bytes)", full, weigh), _ByParameters(params, full))


@dataclass(frozen=True)
class _ByParameters:
    """Predicts the size of a file: four bytes less for every parameter."""

    params: Params
    full: float

    def predict(self, alpha: Architecture) -> float:
        """See `Predictor.predict`."""
        return 1 - 4 * (self.params.full - self.params.cost(alpha)) / self.full

    def learn(self, alpha: Architecture, found: Estimate) -> None:
        """See `Predictor.learn`: nothing is to be learned."""


def _written(source: Source, alpha: Architecture) -> onnx.ModelProto:
    """Build the file of an architecture with given weights; its size is that with trained ones."""
    model = build(source.network, alpha)
    edits = edits_between(source.network.architecture, alpha)
    add_provenance(model, version=__version__, source_sha256=source.sha256, edits=edits)
    return model


def _batch(source: Source, sample: Batches, conditions: Conditions) -> tuple[Mapping[str, np.ndarray], int]:
    """Return inputs of one batch of the data, and its size."""
    size = source.network.batch_axes.size or conditions.batch or 1
    return sample.sample(size).repeat(size).inputs, size


def _latency(
    source: Source, sample: Batches, settings: Settings, conditions: Conditions, counted: Price
) -> LatencyMeter:
    network = source.network
    inputs, _ = _batch(source, sample, conditions)
    stopwatch = Stopwatch(network, inputs, conditions)
    stopwatch.check()
    shapes = [f"{name} {value.dtype} {value.shape}" for name, value in sorted(inputs.items())]
    path = table_file(source, conditions, shapes)
    table = LatencyTable.load(path, network.architecture)
    if table is None:
        table = _measure(stopwatch, network.architecture, counted, settings, source)
        table.save(path)
    else:
        _log.log(NOTICE, "%s: latencies as measured before (%s)", source.path, path)
    amounts = settings.limits["latency_ms"]
    limit = min(amount.of(table.full) for amount in amounts)
    measure = Measure("latency_ms", "latency (ms)", table.full, stopwatch.compare)
    predictor = LatencyPredictor(network.architecture, table.measured)
    return LatencyMeter(stopwatch, MeasuredPrice(network.architecture, measure, predictor), limit)


def _measure(
    stopwatch: Stopwatch, beta: Architecture, counted: Price, settings: Settings, source: Source
) -> LatencyTable:
    """Measure architectures of all costs roughly."""
    full = stopwatch.full()
    seconds = _SECONDS if settings.time_budget is None else min(_SECONDS, _BUDGET_SHARE * settings.time_budget)
    wanted = [amount.of(full) for amount in settings.limits["latency_ms"]]
    lowest = float(np.clip(_MARGIN * min(wanted), 0.05, _LOWEST + 0.3))
    alphas = sample_architectures(beta, counted, _SAMPLES, lowest=lowest, seed=settings.seed)
    _log.log(NOTICE, "%s: %.3f ms; measuring edited models, at most %.0f s", source.path, full, seconds)
    end = time.monotonic() + seconds
    each = _ROUGH_SHARE * seconds / max(1, len(alphas))
    found = stopwatch.rough(alphas, each, lambda: time.monotonic() < end)
    _log.info("latency table: %d of %d architectures were measured", len(found), len(alphas))
    return LatencyTable(full, found)
