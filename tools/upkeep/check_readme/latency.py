"""The checks of docs/latency.md; see `checks`."""

from tools.upkeep.check_readme.check import Check
from tools.upkeep.check_readme.compare import rows, says

__all__ = ["LATENCY_CHECKS"]

_SEARCH, _NUMBER, _WHOLE = "--lookups 4 --finetune-epochs 0.02", r"-?\d+\.\d+", r"\d+"

LATENCY_CHECKS: tuple[Check, ...] = (
    *(
        Check(
            f"natonnx optimize model.onnx --data set.npz {limits}",
            60,
            "the table, and what was limited",
            says(rf"^  {label}: ", r"^(improved: model\.nat\.onnx|unchanged: )"),
            budget=f"{_SEARCH} --force",
            first=("cp small.onnx model.onnx",),
            codes=(0, 1),
        )
        for limits, label in (
            ("--target-latency 0.7", r"latency \(ms\)"),
            ("--target-latency 5ms --latency-threads 4 --latency-batch 8", r"latency \(ms\)"),
            ("--target-size 2MB --target-madds 0.8", r"size \(bytes\)"),
        )
    ),
    Check(
        "natonnx optimize model.onnx --data set.npz --target-latency 0.7 --dry-run",
        30,
        "what can be reached, and what it takes",
        says(r"^latency \(ms\) ", r"look-ups, then .* about \d+ s and "),
        first=("cp small.onnx model.onnx",),
    ),
    Check(
        "python -m tools.benchmarks.bench_latency models/*.onnx SUBJECTS/*/model.onnx --markdown prediction.md",
        0,
        "rows of the page",
        rows(["model"], measured={"error": r"\d+\.\d %", "Spearman": _NUMBER}),
        fill=("SUBJECTS/*/model.onnx --markdown prediction.md", ""),
        minutes=20,
        skip="minutes of measuring, in which nothing else may run",
    ),
    Check(
        "python -m tools.benchmarks.bench_latency_target models/vgg-fashion.onnx models/resnet20-fashion.onnx"
        " SUBJECTS/vit/model.onnx=SUBJECTS/vit/data.npz SUBJECTS/bert/model.onnx=SUBJECTS/bert/data.npz"
        " --runs 25 --samples 300 --seconds 3",
        0,
        "rows of the page",
        rows(["model"], measured={"met, measured again": _WHOLE}),
        fill=(" SUBJECTS/vit/model.onnx=SUBJECTS/vit/data.npz SUBJECTS/bert/model.onnx=SUBJECTS/bert/data.npz", ""),
        minutes=60,
        skip="an hour of measuring, in which nothing else may run",
    ),
    *(
        Check(
            f"python -m tools.benchmarks.subjects --make-only --only {name} --samples {samples} 2000 2000 --folder F",
            0,
            "what inspect sees",
            says(rf"^{name}: \d+ edges, "),
            fill=("--folder F", "--folder subjects"),
            minutes=3,
            skip="it trains a model, or fetches one",
        )
        for name, samples in (("bert", 20000), ("ppocr-orientation", 6000))
    ),
)
