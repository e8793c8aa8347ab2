"""The checks of docs/performance.md; see `checks`."""

from tools.upkeep.check_readme.check import Check
from tools.upkeep.check_readme.compare import says

__all__ = ["PERFORMANCE_CHECKS"]

_NUMBER = r"-?\d+\.\d+"

PERFORMANCE_CHECKS: tuple[Check, ...] = (
    Check(
        "python3 -m venv peers && peers/bin/pip install onnxslim onnxsim onnxoptimizer",
        0,
        "",
        skip="installs the tools that natonnx is compared with",
        minutes=1,
    ),
    Check(
        "python -m tools.benchmarks.bench_static --peers-python peers/bin/python",
        4,
        "a row of seconds and MiB of each command, and their ratio",
        says(rf"^\| models/vgg-fashion\.onnx \| ({_NUMBER} \({_NUMBER}–{_NUMBER}\) / \d+ \| ){{3}}{_NUMBER} \("),
        budget="--models models/vgg-fashion.onnx --rounds 1",
        fill=(" --peers-python peers/bin/python", ""),
        minutes=12,
    ),
    Check(
        "python -m tools.benchmarks.bench_data loader",
        20,
        "CPU seconds, and their ratio",
        says(rf"^\| natonnx \| ({_NUMBER} \| ){{2}}\d+ \| {_NUMBER} \("),
        budget="--count 64 --size 64 --rounds 2",
        minutes=2,
    ),
    Check(
        "python -m tools.benchmarks.bench_data memory",
        20,
        "peak memory by what --memory gives",
        says(r"^\| [\d,]+ \| 1GiB \| \d+ \|"),
        budget="--count 200 --links 2 --size 32 --limits 1GiB",
        minutes=6,
    ),
    Check(
        "python -m tools.benchmarks.bench_search_cost --rounds 2",
        20,
        "milliseconds by form",
        says(rf"^\| residual, .* \| draw \| ({_NUMBER} \| ){{2}}{_NUMBER} \|$"),
        budget="--kinds residual --sizes 100,200",
        minutes=1,
    ),
)
