"""The checks of docs/paper.md; see `checks`."""

from tools.upkeep.check_readme.check import Check
from tools.upkeep.check_readme.compare import says, writes

__all__ = ["PAPER_CHECKS"]

_COMMAND = "python -m tools.benchmarks.reproduce_tables learners"
_ARCHIVE = " --archive cifar10-jpeg.tar.xz"
_SMALL = (
    "--networks VGG16 --width 0.125 --train 2000 --validation 1000 --test 4000 --epochs 10 --search-epochs 6"
    f" --search-rate 0.03 --alphas 4 --reward-batch 50 --evaluated 8{_ARCHIVE}"
)
_SMALLER = (
    "--networks ResNet-20 --blocks 1 --train 1500 --validation 500 --test 4000 --epochs 8 --search-epochs 2"
    f" --search-rate 0.03 --alphas 4 --reward-batch 50 --evaluated 6{_ARCHIVE}"
)
_SEARCH = (
    " --validation 500 --test 4000 --epochs 6 --search-epochs 2 --search-rate 0.03 --alphas 4 --reward-batch 50"
    f" --evaluated 6{_ARCHIVE}"
)
_CELLS = f"--networks MobileNetV2,ENAS,DARTS --width 0.125 --cells 3 --train 1500{_SEARCH}"
_NAONET = f"--networks NAONet --width 0.03125 --cells 3 --train 1500{_SEARCH}"
_NAO = f"--networks DARTS --learners nao --width 0.125 --cells 3 --train 1500{_SEARCH}"
_TINY_NAO = (
    "--width 0.06 --seeds 1 --train 60 --validation 30 --test 40 --epochs 1 --batch 20 --search-epochs 1 --alphas 2"
    " --reward-batch 30 --evaluated 2 --folder tiny-nao"
)
_TINY = (
    "--networks ResNet-20 --seeds 2 --train 60 --validation 30 --test 40 --epochs 1 --batch 20 --search-epochs 1"
    " --alphas 2 --reward-batch 30 --evaluated 2 --folder tiny"
)
_SPREAD = r"\d+\.\d\d( ± \d+\.\d\d)?"
_ROWS = says(rf"^\| Sampling-GCN \| {_SPREAD} \|", rf"^\| β, trained alike \| {_SPREAD} \|")

PAPER_CHECKS: tuple[Check, ...] = (
    Check(_COMMAND, 90, "the table's rows by form", _ROWS, budget=_TINY, minutes=3000),
    *(
        Check(
            f"{_COMMAND} {scale}",
            90,
            "the table's rows by form",
            _ROWS,
            fill=(_ARCHIVE, ""),
            skip="as the command above it, of another scale",
            minutes=minutes,
        )
        for scale, minutes in ((_SMALL, 12), (_SMALLER, 5), (_CELLS, 36), (_NAONET, 12))
    ),
    Check(
        f"{_COMMAND} {_NAO}",
        25,
        "the table's rows by form",
        says(rf"^\| NAO \| {_SPREAD} \|"),
        budget=_TINY_NAO,
        fill=(_ARCHIVE, ""),
        minutes=6,
    ),
    Check(
        "python -m tools.benchmarks.reproduce_tables pictures -o docs/pictures",
        95,
        "a picture is written",
        writes("docs/pictures/ResNet-20.svg"),
        budget="--folder tiny",
        first=(f"{_COMMAND} {_TINY}",),
    ),
    Check(
        "python -m tools.benchmarks.reproduce_tables nao --table nasbench201.csv --optimizers nao --steps 1500",
        20,
        "the table's rows by form",
        says(r"^\| CIFAR-10 \| nao \| most probable α \| \d\d\.\d\d \| "),
        budget="--steps 1 --seeds 1 --folder nao",
        minutes=6,
        needs=("table",),
    ),
)
