"""The checks of docs/paper.md; see `checks`."""

from tools.upkeep.check_readme.check import Check
from tools.upkeep.check_readme.compare import says

__all__ = ["PAPER_CHECKS"]

_COMMAND = "python -m tools.benchmarks.reproduce_tables learners"
_ARCHIVE = " --archive cifar10-jpeg.tar.xz"
_SCALE = (
    "--train 2000 --validation 1000 --test 4000 --epochs 10 --search-epochs 6 --search-rate 0.03 --alphas 4"
    f" --reward-batch 50 --evaluated 8{_ARCHIVE}"
)
_TINY = (
    "--networks ResNet-20 --seeds 2 --train 60 --validation 30 --test 40 --epochs 1 --batch 20 --search-epochs 1"
    " --alphas 2 --reward-batch 30 --evaluated 2 --folder tiny"
)
_SPREAD = r"\d+\.\d\d( ± \d+\.\d\d)?"
_ROWS = says(rf"^\| Sampling-GCN \| {_SPREAD} \|", rf"^\| β, trained alike \| {_SPREAD} \|")
_SAME = "as the command above it, of another scale"

PAPER_CHECKS: tuple[Check, ...] = (
    Check(_COMMAND, 90, "the table's rows by form", _ROWS, budget=_TINY, minutes=3000),
    Check(
        f"{_COMMAND} --networks VGG16 --width 0.125 {_SCALE}",
        90,
        "the table's rows by form",
        _ROWS,
        fill=(_ARCHIVE, ""),
        skip=_SAME,
        minutes=15,
    ),
    Check(
        f"{_COMMAND} --networks ResNet-20 --width 0.25 --blocks 1 {_SCALE}",
        90,
        "the table's rows by form",
        _ROWS,
        fill=(_ARCHIVE, ""),
        skip=_SAME,
        minutes=15,
    ),
)
