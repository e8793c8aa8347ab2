"""The checks of docs/paper.md; see `checks`."""

from tools.upkeep.check_readme.check import Check
from tools.upkeep.check_readme.compare import says

__all__ = ["PAPER_CHECKS"]

_SPREAD = r"\d+\.\d\d( ± \d+\.\d\d)?"
_TINY = (
    "--networks ResNet-20 --seeds 2 --train 60 --validation 30 --test 40 --epochs 1 --batch 20 --search-epochs 1"
    " --alphas 2 --reward-batch 30 --evaluated 2 --folder tiny"
)

PAPER_CHECKS: tuple[Check, ...] = (
    Check(
        "python -m tools.benchmarks.reproduce_tables learners",
        90,
        "the table's rows by form",
        says(rf"^\| Sampling-GCN \| {_SPREAD} \|", rf"^\| β, trained alike \| {_SPREAD} \|"),
        budget=_TINY,
        minutes=3000,
    ),
)
