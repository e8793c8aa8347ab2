"""The checks of docs/scale.md; see `checks`."""

from tools.upkeep.check_readme.check import Check
from tools.upkeep.check_readme.compare import rows, says

__all__ = ["SCALE_CHECKS"]

_NUMBER = r"\d+\.\d+"

SCALE_CHECKS: tuple[Check, ...] = (
    Check(
        "natonnx optimize model.onnx --data set.npz --journal F",
        60,
        "the table",
        says(r"^(improved: model\.nat\.onnx|unchanged: )"),
        budget="--lookups 4 --finetune-epochs 0.02 --force",
        first=("cp small.onnx model.onnx",),
        codes=(0, 1),
    ),
    Check(
        "natonnx worker --journal F --data set.npz",
        10,
        "that it ends",
        never="it waits for work until it is ended",
    ),
    Check(
        "python -m tools.benchmarks.bench_others --rounds 3",
        60,
        "rows of the page",
        rows(["way"], measured={"look-ups a second": _NUMBER, "training images a second": _NUMBER}),
        budget="--rounds 1 --lookups 4 --trainings 2 --images 64",
        minutes=5,
        skip="minutes of measuring, in which nothing else may run",
    ),
    Check(
        "python -m tools.conformance.soak_others --kills 100",
        0,
        "that nothing is lost",
        says(r"^100 kills: 0 runs ended with anything else$"),
        minutes=15,
        skip="it kills processes for a quarter of an hour",
    ),
)
