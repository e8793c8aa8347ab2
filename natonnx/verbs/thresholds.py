"""The limits of `check`."""

from dataclasses import asdict, dataclass, fields
from math import isfinite

from natonnx.errors import InputError

__all__ = ["Thresholds"]


@dataclass(frozen=True)
class Thresholds:
    """Limits; None is none.

    Attributes:
        max_madds_ratio: Most MAdds, as a multiple of the baseline's.
        max_params_ratio: Most parameters, likewise.
        max_size_ratio: Most bytes of the file and its data files, likewise.
        max_memory_ratio: Most peak memory of a fresh process that runs it, likewise.
        max_latency_ratio: Most latency, likewise.
        min_accuracy: Least accuracy, 0 to 1.
        max_drop: Most points below the baseline on the same data, of accuracy, or of agreement where there are no
            labels; below 0 where it must be better.
        min_agreement: Least agreement with the baseline of every output: the share of samples given the same class
            where it is class scores, else the cosine or the explained variance; at most 1.

    Raises:
        InputError: If there is no limit at all, or one is out of its range.
    """

    max_madds_ratio: float | None = None
    max_params_ratio: float | None = None
    max_size_ratio: float | None = None
    max_memory_ratio: float | None = None
    max_latency_ratio: float | None = None
    min_accuracy: float | None = None
    max_drop: float | None = None
    min_agreement: float | None = None

    def __post_init__(self) -> None:
        given = {name: value for name, value in asdict(self).items() if value is not None}
        if not given:
            options = ", ".join(f"--{field.name.replace('_', '-')}" for field in fields(self))
            raise InputError(f"no limit to check; give at least one of {options}")
        for name, value in given.items():
            option = f"--{name.replace('_', '-')} {value:g}"
            if name.endswith("ratio") and not (isfinite(value) and value > 0):
                raise InputError(f"{option}: must be above 0, such as 0.8")
            if name in ("min_accuracy", "min_agreement") and not 0 <= value <= 1:
                raise InputError(f"{option}: must be a share from 0 to 1, such as 0.88")
            if name == "max_drop" and not abs(value) <= 100:
                raise InputError(f"{option}: must be points from -100 to 100, such as 0.5")

    @property
    def need_data(self) -> bool:
        """Whether a limit is about what the models say of data."""
        return any(value is not None for value in (self.min_accuracy, self.max_drop, self.min_agreement))

    @property
    def need_runs(self) -> bool:
        """Whether models have to be run for a limit."""
        return self.need_data or self.max_latency_ratio is not None or self.max_memory_ratio is not None
