"""A model's figures in an earlier report, and whether they can be compared with what is measured now."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from natonnx.bench import Clock, Interval, quotient
from natonnx.contract.baseline import BaselineReport, Figures
from natonnx.contract.bench import Latency, MachineRow, MeasuredModel
from natonnx.contract.check import GateName
from natonnx.contract.objective import SplitName
from natonnx.errors import InputError
from natonnx.verbs.model_comparison import ModelComparison, describe_inputs, describe_machine, runtime_version

__all__ = ["Earlier"]

_ONE = Interval(1.0, 1.0, 1.0)


class Earlier(NamedTuple):
    """An earlier report, and its figures of the model that is compared with."""

    report: BaselineReport
    figures: Figures

    def __str__(self) -> str:
        return f"{self.figures.path} in {self.report.path}"

    @property
    def costs(self) -> dict[GateName, int | None]:
        """What can be counted, by the gate that is about it."""
        figures = self.figures
        return {"madds_ratio": figures.madds, "params_ratio": figures.params, "size_ratio": figures.size_bytes}

    def other_sizes(self, models: ModelComparison) -> str | None:
        """Say which input had another size than now, beside the batch; None where none had, or it is not known."""
        if self.report.conditions is None:
            return None
        axes = models.sources[-1].network.batch_axes.inputs
        then = {row["name"]: row["shape"] for row in self.report.conditions["inputs"]}
        for row in describe_inputs(models.inputs()):
            old = then.get(row["name"], row["shape"])
            if _but(old, axes.get(row["name"])) != _but(row["shape"], axes.get(row["name"])):
                return f"input {row['name']} is {row['shape']} now, and was {old} in {self.report.path}"
        return None

    def differences(self, models: ModelComparison, inputs: Mapping[str, npt.NDArray[np.generic]]) -> Iterator[str]:
        """Say what was otherwise when the report was made, so that its measurements say nothing of now.

        Raises:
            InputError: If nothing was measured for it.
        """
        given, path = self.report.conditions, self.report.path
        if given is None:
            raise InputError(f"{path}: has no measurements to compare with; give a report of natonnx bench")
        if models.provider not in self.figures.measured:
            yield f"{path} has no figures on {models.provider}, but on {', '.join(self.figures.measured)}"
        machines = _words(given["machine"]), _words(describe_machine())
        versions = given["onnxruntime"], runtime_version()
        threads = given["threads"], models.conditions.threads
        now = describe_inputs(inputs)
        for what, (then, here) in (("machine", machines), ("onnxruntime", versions), ("threads", threads)):
            if then != here:
                yield f"{what}: {then} in {path}, {here} now"
        if given["inputs"] != now:
            yield f"inputs: {_sizes(given['inputs'])} in {path}, {_sizes(now)} now"

    def latency(self, provider: str, clock: Clock) -> Interval | None:
        """The model's latency on a provider; None where it was not told by that clock."""
        row = self.figures.measured[provider]
        times: Latency | None = row["latency_ms"] if clock == "wall" else row["cpu_ms"]
        return None if times is None else Interval(times["median"], times["low"], times["high"])

    def ratio(self, sha256: str, provider: str, clock: Clock) -> Interval | None:
        """The model's latency as a multiple of that of another one in the report; None where that is not there."""
        rows = [model.measured[provider] for model in self.report.models if provider in model.measured]
        other = next((row for row in rows if row["sha256"] == sha256), None)
        row = self.figures.measured[provider]
        if other is None or other is row:
            return None if other is None else _ONE
        over, under = _to_first(row, clock), _to_first(other, clock)
        return None if over is None or under is None else quotient(over, under)

    def score(self, provider: str, split: SplitName) -> float | None:
        """The model's score on a provider; a report of optimize does not say on which, it is the CPU."""
        row = self.figures.measured.get(provider)
        return self.figures.score[split] if row is None else row["score"][split]


def _to_first(row: MeasuredModel, clock: Clock) -> Interval | None:
    """A model's ratio to the first one of its report; None where it was not told by that clock."""
    ratio, times = (row["ratio"], row["latency_ms"]) if clock == "wall" else (row["cpu_ratio"], row["cpu_ms"])
    if times is None:
        return None
    return _ONE if ratio is None else Interval(ratio["value"], ratio["low"], ratio["high"])


def _but(shape: Sequence[int], axis: int | None) -> list[int]:
    return [size for position, size in enumerate(shape) if position != axis]


def _words(row: MachineRow) -> str:
    return ", ".join([row["system"], row["cpu"] or "unknown processor", f"{row['cores']} cores", *row["gpus"]])


def _sizes(rows: Sequence[Mapping[str, object]]) -> str:
    return ", ".join(f"{row['name']} {row['dtype']} {row['shape']}" for row in rows)
