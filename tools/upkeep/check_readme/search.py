"""The checks of docs/search.md and docs/policy.md; see `checks`."""

from tools.upkeep.check_readme.check import Check
from tools.upkeep.check_readme.compare import rows, says, writes

__all__ = ["SEARCH_CHECKS"]

_LEARN = "--steps 1 --grid-steps 1"
_NUMBER = r"-?\d+\.\d+"

SEARCH_CHECKS: tuple[Check, ...] = (
    # docs/search.md
    Check(
        "python -m tools.benchmarks.bench_search --target 0.5,0.35 --method natonnx,greedy,greedy-2025",
        0,
        "",
        never="its pictures are not part of the repository; tests/tools/benchmarks/search runs it on small ones",
    ),
    Check(
        "python -m tools.benchmarks.bench_search --network fashion-vgg,fashion-resnet20,vgg,resnet20 --target 0.5"
        " --method natonnx-untrained-nat++,natonnx-untrained --baseline natonnx-untrained --latency 0"
        " --markdown natpp.md",
        0,
        "",
        never="its pictures are not part of the repository; tests/tools/benchmarks/search runs it on small ones",
    ),
    Check(
        "python -m tools.benchmarks.bench_search ranks --network resnet20,densenet",
        0,
        "",
        never="its pictures are not part of the repository; tests/tools/benchmarks/search runs it on small ones",
    ),
    Check(
        "python -m tools.benchmarks.bench_search lookups --network densenet,resnet56"
        " --method greedy,gcn-directed,evolution,random,plain-greedy",
        0,
        "",
        never="its pictures are not part of the repository; tests/tools/benchmarks/search runs it on small ones",
    ),
    Check(
        "natonnx optimize models/resnet20-fashion.onnx --data few.npz --no-training --target-madds 0.65"
        " --max-drop 100 --force --threads 1",
        0,
        "",
        never="its pictures are drawn from those that are not part of the repository",
    ),
    Check(
        "python -m tools.benchmarks.bench_budget",
        0,
        "",
        skip="it runs for as long as its budgets say; tests/tools/benchmarks runs it on little data",
        minutes=12,
    ),
    Check(
        "python -m tools.benchmarks.bench_macro --table nasbench-macro.json --processes 1",
        0,
        "",
        never="its table is not part of the repository; tests/tools/benchmarks runs it on a small one",
    ),
    Check(
        "python -m tools.benchmarks.bench_macro --table nasbench-macro.json --transitions nat++"
        " --proposers gcn-directed,random,greedy,evolution",
        0,
        "",
        never="its table is not part of the repository; tests/tools/benchmarks runs it on a small one",
    ),
    Check(
        "python -m tools.benchmarks.bench_transfer --macro nasbench-macro.json --cells nasbench201.csv",
        0,
        "",
        never="its tables are not part of the repository; tests/tools/benchmarks runs it on small ones",
    ),
    # docs/policy.md
    Check(
        "python -m tools.benchmarks.bench_policy --table nasbench201.csv --transitions nat++"
        " --learners gcn-directed,random",
        60,
        "a row for each learner",
        says(r"^\| CIFAR-10 \| gcn-directed \|", r"^\| CIFAR-10 \| random \|"),
        budget=f"--seeds 1 {_LEARN}",
        minutes=9,
        needs=("table",),
    ),
    Check(
        "python -m tools.benchmarks.bench_policy --table nasbench201.csv --transitions nat++ --price 0.5"
        " --learners gcn-directed --learning-rate 0.003 --entropy 0.3 --steps 1000 --first-seed 3",
        60,
        "a row of the learner",
        says(r"^\| CIFAR-10 \| gcn-directed \|"),
        budget="--seeds 1 --steps 1",
        minutes=4,
        needs=("table",),
    ),
    Check(
        "python -m tools.benchmarks.bench_policy --table nasbench201.csv --seeds 3 --ablations"
        " --plot docs/policy-learning.svg --efficiency docs/policy-efficiency.svg",
        0,
        "the plots are written",
        writes("docs/policy-learning.svg", "docs/policy-efficiency.svg"),
        skip="its trainings take 25 minutes, however short the grid's are",
        minutes=25,
        needs=("table", "matplotlib"),
    ),
    Check(
        "python -m tools.benchmarks.bench_pretrained models/resnet20-fashion.onnx models/vgg-fashion.onnx"
        " models/mobilenetv2-fashion.onnx --seeds 3 --rounds 12 --epochs 2",
        300,
        "columns and rows; the rest by form",
        rows(["model", "θ from"], header=True, measured={"first reward": _NUMBER, "last reward": _NUMBER}),
        budget="--seeds 1 --rounds 4 --epochs 1",
        minutes=40,
    ),
)
