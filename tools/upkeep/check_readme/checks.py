"""The checks, one entry a command of the pages, in their order; `check.Check` has the fields."""

import operator
from dataclasses import replace

from tools.upkeep.check_readme.check import Check
from tools.upkeep.check_readme.compare import (
    everything,
    junit,
    report,
    rows,
    same_tables,
    says,
    shows,
    unchanged,
    writes,
)
from tools.upkeep.check_readme.install import INSTALL_CHECKS
from tools.upkeep.check_readme.latency import LATENCY_CHECKS
from tools.upkeep.check_readme.nasbench import captured
from tools.upkeep.check_readme.page import Shown
from tools.upkeep.check_readme.paper import PAPER_CHECKS
from tools.upkeep.check_readme.performance import PERFORMANCE_CHECKS
from tools.upkeep.check_readme.place import Ran
from tools.upkeep.check_readme.python import PYTHON_CHECKS
from tools.upkeep.check_readme.sample import consistent, optimized
from tools.upkeep.check_readme.scale import SCALE_CHECKS
from tools.upkeep.check_readme.search import SEARCH_CHECKS
from tools.upkeep.check_readme.torch_module import TORCH_CHECKS

__all__ = ["CHECKS"]

_SMALL, _NUMBER, _WHOLE = r"\d\.\de[-+]\d\d", r"-?\d+\.\d+", r"\d+"
_SEARCH = "--lookups 4 --finetune-epochs 0.02"
_LEARN = "--steps 1 --grid-steps 1"
_INSTALLS = "installs; .ci/run does that from the README's own line"


def _wild(shown: Shown, ran: Ran) -> list[str]:
    """Models that could not be fetched are left out in quick mode."""
    kept = "\n".join(line for line in ran.stdout.splitlines() if "| skipped: " not in line)
    compare = rows(
        ["model"],
        exact={
            "edges": lambda row: row["edges"],
            "legal transitions": lambda row: row["legal"],
            "MAdds": lambda row: f"{int(row['MAdds']) / 1e6:,.0f}M",
            "in reach": lambda row: row["in reach"].replace("%", " %"),
        },
        measured={"β": _SMALL, "edits an α": r"\d+ to \d+", "largest of the α's": _SMALL, "ill-conditioned": _WHOLE},
    )
    return compare(shown, replace(ran, stdout=kept))


_DARTS = "python -m tools.research.networks export DARTS -o darts.onnx --free-skips --channels 8"
_COSTS = {name: operator.itemgetter(name) for name in ("edits", "params", "MAdds")}
_MEASURED_RUN = {
    "MAdds": r"[01]\.\d{3}|unchanged",
    "validation, %": r"\d\d\.\d",
    "test, %": r"\d\d\.\d",
    "β fine-tuned, test %": r"\d\d\.\d|–",
    "seconds": _WHOLE,
}

_EDITED = """printf '%s' '[{"edge": "relu_14->relu_16", "from": "S", "to": "N"},
{"edge": "stage3_block2.first.conv", "from": "O", "to": "S"}]' |
natonnx apply models/resnet20-fashion.onnx - -o edited.onnx --force"""

CHECKS: tuple[Check, ...] = (
    # README.md
    Check(
        "natonnx optimize models/resnet20-fashion.onnx --target-madds 0.65",
        70,
        "labels, units, order, the input's figures, limits, the last line; the edits shown cost what it says",
        everything(lambda shown, ran: consistent(shown, ran.place), optimized),
        budget=_SEARCH,
        codes=(0, 1),
        minutes=2,
    ),
    Check(
        "python3 -m venv .venv && .venv/bin/pip install ."
        " && .venv/bin/natonnx optimize models/resnet20-fashion.onnx --target-madds 0.65",
        0,
        "a table of before and after",
        says("^parameters +272,186", "^(improved|unchanged): "),
        codes=(0, 1),
        minutes=5,
        skip=_INSTALLS,
    ),
    Check(
        "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest",
        0,
        "all tests pass",
        says(r"^\d+ passed"),
        minutes=15,
        skip=_INSTALLS,
    ),
    Check("natonnx inspect M", 2, "counts of edges", says("legal transitions$"), fill=("M", "small.onnx")),
    Check(
        "natonnx apply M EDITS",
        4,
        "no edits are no change",
        says("0 edits"),
        fill=("M EDITS", "small.onnx none.json -o applied.onnx --force"),
    ),
    Check(
        "natonnx optimize model.onnx --data images/ --mean 0.5 --std 0.25",
        10,
        "the table, and the file that the last line names",
        says("^validation accuracy", r"^(improved: model\.nat\.onnx|unchanged: )"),
        budget=f"{_SEARCH} --force",
        first=("cp small.onnx model.onnx",),
        codes=(0, 1),
    ),
    Check(
        "natonnx optimize model.onnx --data set.npz --mean 0.286 --std 0.353 --target-madds 0.7 --max-drop 1 --json"
        " > report.json",
        12,
        "JSON alone on stdout; its seed, learner and status",
        report("report.json", seed=0, learner="gcn-directed"),
        budget=f"{_SEARCH} --force",
        first=("cp small.onnx model.onnx",),
        codes=(0, 1),
    ),
    Check(
        "natonnx optimize model.onnx --data pictures/ --target-madds 0.7 --no-training",
        8,
        "the table; nothing is trained",
        says("^validation agreement", r"^(improved: model\.nat\.onnx|unchanged: )"),
        budget="--lookups 4 --force",
        first=("cp efficientnet.onnx model.onnx",),
        codes=(0, 1),
    ),
    Check(
        "natonnx optimize model.onnx --data set.npz --target-madds 0.8,0.6,0.4 --front models/",
        10,
        "the table, and files of the front",
        everything(says(r"^(improved: model\.nat\.onnx|unchanged: )"), writes("front/*.onnx")),
        budget=f"{_SEARCH} --force",
        fill=("models/", "front/"),
        first=("cp small.onnx model.onnx",),
        codes=(0, 1),
    ),
    Check(
        "natonnx optimize model.onnx --data my.package:load --time-budget 600",
        11,
        "the table; the function's data are used",
        says("^validation accuracy", r"^(improved: model\.nat\.onnx|unchanged: )"),
        budget=f"{_SEARCH} --force",
        first=("cp small.onnx model.onnx",),
        codes=(0, 1),
    ),
    Check(
        "natonnx inspect model.onnx --granularity branch --exclude 'head*' --input-shape x:1,3,48,320",
        2,
        "the branch is one edge, the head is kept",
        says(r"^branch\.one\.\.branch\.two .* Branch +4,423,680 ", r"--exclude 'head\*' keeps it as it is"),
        first=("cp open.onnx model.onnx",),
    ),
    *(
        Check(
            f"natonnx optimize {rest}",
            seconds,
            "what it is judged by, and how the last line ends",
            says(rf"^{judged}", rf"^(improved: {rest.split('.')[0]}\.nat\.onnx|unchanged: )"),
            budget=f"{_SEARCH} --threads 1 --force",
            codes=(0, 1),
        )
        for rest, seconds, judged in (
            ("bert.onnx --data tokens.npz --granularity branch --target-madds 0.8", 11, "test agreement"),
            (
                "minilm.onnx --data sentences/ --granularity branch",
                11,
                "  agreement is the cosine of sentence_embedding",
            ),
            (
                "detector.onnx --data pages.npz --target-madds 0.8",
                11,
                "  agreement is the explained variance of probabilities of map",
            ),
            (
                "recogniser.onnx --data lines.npz --target-madds 0.8",
                11,
                "  agreement is the top-1 agreement of characters",
            ),
            ("twohead.onnx --data my.package:loaders", 8, "validation explained variance of box"),
            (
                "efficientnet.onnx --data pictures/ --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225",
                11,
                "data pictures: 500 grey pictures made RGB",
            ),
            ("efficientnet.onnx --data images/ --classes classes.txt", 11, "validation accuracy"),
            ("detector.onnx --data pages.npz --objective my.package:Overlap --max-drop 2", 11, "validation IoU"),
            ("detector.onnx --data pages.npz --reward my.package:contrast", 11, "validation reward"),
        )
    ),
    Check(
        "natonnx check detector.nat.onnx --baseline detector.onnx --data pages.npz --min-agreement 0.9",
        4,
        "one line with the figure",
        says(r"^(met|not met|failed) +agreement .*explained variance of probabilities [01]\.\d{4} on "),
        first=("cp detector.onnx detector.nat.onnx",),
        codes=(0, 1),
    ),
    Check(
        "natonnx bench models/resnet20-fashion.onnx models/vgg-fashion.onnx --data fashion-mnist --profile",
        60,
        "columns, rows, parameters, MAdds, accuracies, operators",
        says(
            r"^ +resnet20-fashion\.onnx +vgg-fashion\.onnx|^ +models/resnet20-fashion\.onnx +models/vgg-fashion\.onnx",
            "^parameters +272,186 +271,258",
            "^MAdds +31,021,952 +28,620,096",
            r"^test accuracy \(%\) +90\.9 +91\.6$",
            "^99 % interval",
            "^peak memory",
            "^operator +provider +nodes",
        ),
        budget="--seconds 1",
    ),
    # docs/commands.md
    Check(
        "natonnx demo",
        10,
        "its commands, what they print, and where it all is",
        everything(
            says(
                r"^\$ natonnx inspect natonnx-demo/", r"^\$ natonnx optimize natonnx-demo/", "^(improved|unchanged): "
            ),
            writes("natonnx-demo/report.html"),
        ),
        budget="--time-budget 1",
        codes=(0, 1),
        minutes=1,
    ),
    Check(
        "natonnx bench a.onnx b.onnx --input-shape x:8,3,224,224 --threads 4 --provider cuda --json > bench.json",
        6,
        "JSON alone on stdout; without CUDA a line that says so",
        everything(writes("bench.json"), says("^$|cannot be used here.*; onnxruntime took CPUExecutionProvider")),
        budget="--seconds 0.5",
    ),
    Check(
        "natonnx bench old.onnx new.onnx --json > last-week.json",
        6,
        "JSON alone on stdout",
        everything(writes("last-week.json"), says("^$")),
        budget="--seconds 0.5",
    ),
    Check(
        "natonnx check new.onnx --baseline old.onnx --baseline-report last-week.json --max-latency-ratio 1.1",
        6,
        "the ratio is compared through old.onnx; the exit code fits",
        says(r"latency ratio .* times old\.onnx"),
        budget="--seconds 0.5",
        first=("natonnx bench old.onnx new.onnx --json > last-week.json",),
        codes=(0, 1, 4),
    ),
    Check(
        "natonnx check new.onnx --baseline old.onnx --max-madds-ratio 0.8 --max-latency-ratio 0.95 --data set.npz"
        " --max-drop 0.5 --junit check.xml --markdown check.md",
        8,
        "one line a gate; JUnit XML and Markdown; the exit code fits",
        everything(
            says(r"^met +MAdds ratio 0\.597, at most 0\.800", "^(met|undecided|not met|failed) +latency ratio"),
            junit("check.xml", tests=3),
            writes("check.md"),
        ),
        budget="--seconds 0.5",
        codes=(0, 1, 4),
    ),
    Check(
        "python -m tools.benchmarks.bench_bench --seconds 10 --batch 64",
        4,
        "how much more work the copy has; the last line",
        says(r"the copy has 9\.7 % more MAdds$", r"^cpu: contains 1 against itself: \d+ of \d+; more work found: "),
        budget="--runs 1 --seconds 0.5",
        minutes=8,
    ),
    Check(
        "natonnx diff models/resnet20-fashion.onnx edited.onnx",
        4,
        "every line, but for how much the outputs differ",
        shows(r"(?<=max \|Δ\| ).*"),
        first=(_EDITED,),
    ),
    Check(
        "natonnx doctor",
        12,
        "what natonnx needs runs here, and the last line says so",
        says(
            "^ok +onnxruntime cpu +a model",
            "^ok +torch cpu +a conv",
            "^ok +optimize ",
            "^natonnx optimize can run here$",
        ),
    ),
    # docs/confidence.md
    Check(
        "natonnx optimize models/resnet20-fashion.onnx --target-madds 0.65 --max-drop 0.5 --confidence 0.95",
        70,
        "the first line of what can be promised, and the row of the promise",
        says(
            r"the same on all 10,000 test samples they rule out a loss above 0\.0301 points, at 95 % confidence$",
            r"^  test accuracy lost, upper bound at 95 % confidence: \+\d+\.\d\d points, at most \+0\.50 points: ",
        ),
        budget=_SEARCH,
        codes=(0, 1),
        minutes=3,
    ),
    Check(
        "python -m tools.benchmarks.bench_promise",
        3,
        "three tables; the first is never above the level",
        says(r"^\| 0\.5 \| 2 % \| [0-4]\.\d % \|", r"^\| 0 \| 6 % \| ", r"^\| one in 200 loses all \| "),
        budget="--samples 200 --splits 5",
        minutes=15,
    ),
    Check(
        "python -m tools.benchmarks.bench_promise --pairs ~/.cache/natonnx-search/search-final.jsonl",
        0,
        "",
        never="its rows are those of bench_search, whose pictures are not part of the repository",
    ),
    # docs/terminal.md
    Check('eval "$(natonnx completion bash)"', 1, "bash takes the script"),
    Check(
        "natonnx completion fish > ~/.config/fish/completions/natonnx.fish",
        1,
        "a script",
        writes("natonnx.fish"),
        fill=("~/.config/fish/completions/", ""),
    ),
    *PYTHON_CHECKS,
    # docs/benchmarks.md
    Check(
        "python -m tools.benchmarks.subjects --markdown docs/subjects.md",
        60,
        "a row of a subject, and what optimize and check say of it is the same",
        says(r"^\| lstm-state \|"),
        budget="--only lstm-state --time-budget 5 --folder subjects",
        fill=("docs/subjects.md", "subjects.md"),
        minutes=30,
    ),
    Check(
        "python -m tools.benchmarks.bench_policy --table nasbench201.csv --seeds 3",
        40,
        "`random` to the digit; in full the others within three times their ±",
        captured,
        budget=f"--learners random {_LEARN}",
        minutes=10,
        needs=("table",),
    ),
    Check(
        "python -m tools.benchmarks.compare_learners models/resnet20-fashion.onnx --learners gcn-directed,random"
        " --seeds 3",
        150,
        "columns, rows, accuracy of β as given; the rest by form",
        rows(
            ["learner", "seed"],
            exact={"β as given, test %": lambda row: row["β as given, test %"]},
            header=True,
            measured=_MEASURED_RUN,
        ),
        budget=f"--seeds 1 -- {_SEARCH}",
        minutes=35,
    ),
    Check(
        "python -m tools.conformance.wild --models 'light/*,ocr/*'",
        210,
        "edges, legal transitions, MAdds, in reach of every model; differences by form",
        _wild,
        budget="--alphas 1",
        minutes=60,
    ),
    Check("python -m tools.research.networks list", 1, "architectures", says("^NAT-DARTS +cifar", "^GHN +not built: ")),
    Check(
        "python -m tools.research.networks export NAT-DARTS -o nat-darts.onnx",
        8,
        "the file is there",
        writes("nat-darts.onnx"),
    ),
    Check(
        "OMP_NUM_THREADS=1 python -m tools.benchmarks.bench_lookup --count 20",
        25,
        "networks, columns; ratios by form",
        rows(["network"], header=True, measured={"look-up": _NUMBER, "score / its samples": _NUMBER}),
        budget="--count 4 --networks bert",
        minutes=5,
    ),
    Check(
        "python -m tools.benchmarks.bench_scaling",
        2,
        "columns, numbers of nodes; times by form",
        rows(["nodes"], header=True, measured={"parse s": _NUMBER, "parse µs/node": _WHOLE}),
        budget="--sizes 1000,3000 --repeats 1",
        minutes=0.5,
    ),
    Check(
        "OMP_NUM_THREADS=1 python -m tools.benchmarks.bench_supernet --rounds 7 --batch 32",
        20,
        "networks; ratios by form",
        rows(["network"], measured={"training": _NUMBER, "evaluation": _NUMBER}),
        budget="--rounds 2 --networks resnet20,vit",
        minutes=5,
    ),
    Check(
        "OMP_NUM_THREADS=1 python -m tools.benchmarks.bench_supernet --to-torch --rounds 7 --batch 32",
        20,
        "networks; ratios by form",
        rows(["network"], measured={"training": _NUMBER, "evaluation": _NUMBER}),
        budget="--rounds 2 --networks resnet20,vit",
        minutes=5,
    ),
    Check(
        "python -m tools.benchmarks.check_gpu",
        0,
        "",
        skip="it takes a GPU; tests/tools/benchmarks runs it on the CPU",
        minutes=10,
    ),
    # CONTRIBUTING.md
    Check("python3 -m venv .venv && .venv/bin/pip install -e '.[test]'", 0, "", skip=_INSTALLS, minutes=1),
    Check(".venv/bin/pre-commit install", 0, "", never="hooks belong into a git checkout"),
    Check(".venv/bin/pytest", 0, "", never="the line of the README runs it"),
    Check(
        ".venv/bin/python -m build",
        4,
        "a wheel and an sdist",
        writes("dist/natonnx-*.whl", "dist/natonnx-*.tar.gz"),
        fill=(".venv/bin/", ""),
        budget="--no-isolation",
    ),
    Check("bash .ci/run", 0, "", never="it is what runs this"),
    Check(
        "python -m tools.conformance.op_coverage --markdown > natonnx/supernet/ops/README.md",
        60,
        "the file is what the repository has",
        unchanged("natonnx/supernet/ops/README.md"),
    ),
    Check(
        "python -m tools.benchmarks.bench_policy --table nasbench201.csv --learners gcn-directed,yours",
        60,
        "a row for each learner",
        says(r"^\| CIFAR-10 \| gcn-directed \|", r"^\| CIFAR-10 \| gcn \|"),
        budget=f"--seeds 1 {_LEARN}",
        fill=("yours", "gcn"),
        minutes=6,
        needs=("table",),
    ),
    Check(
        "python -m tools.benchmarks.compare_learners models/resnet20-fashion.onnx --learners gcn-directed,yours",
        150,
        "a mean for each learner",
        says(r"^\| \*\*gcn-directed\*\* \| mean", r"^\| \*\*lstm\*\* \| mean"),
        budget=f"--seeds 1 -- {_SEARCH}",
        fill=("yours", "lstm"),
        minutes=35,
    ),
    Check(
        "python -m tools.benchmarks.bench_policy --table nasbench201.csv --learners gcn-directed --seeds 1 --save"
        " natonnx/policy/weights/gcn-directed.safetensors",
        60,
        "the weights are written",
        writes("made.safetensors"),
        budget=_LEARN,
        fill=("natonnx/policy/weights/gcn-directed.safetensors", "made.safetensors"),
        minutes=4,
        needs=("table",),
    ),
    Check(
        "python -m tools.benchmarks.bench_policy --table nasbench201.csv --transitions nat++ --learners gcn-directed"
        " --seeds 1 --learning-rate 0.003 --entropy 0.3 --steps 1000 --start pretrained --save"
        " natonnx/policy/weights/gcn-directed.safetensors",
        60,
        "the weights are written",
        writes("cheaper.safetensors"),
        budget="--steps 1",
        fill=("natonnx/policy/weights/gcn-directed.safetensors", "cheaper.safetensors"),
        minutes=2,
        needs=("table",),
    ),
    Check(
        "python -m tools.upkeep.train_models",
        40,
        "models and the table of their README",
        writes("models-again/vgg-fashion.onnx"),
        budget="vgg --epochs 1 --out models-again",
        minutes=30,
        needs=("onnxscript",),
    ),
    Check(
        "python -m tools.conformance.wild",
        6,
        "nothing fails",
        says(r"^\| light/squeezenet \| 9 \| 45 \| 35 \| 84 \|", "^largest difference "),
        budget="--models light/squeezenet --alphas 1",
        minutes=240,
    ),
    Check(
        "python -m tools.conformance.replays MODEL... --node-cases",
        6,
        "nothing is wrong",
        says(r"^40 α's equal, 0 not compared, 0 wrong; 0 models refused$"),
        fill=("MODEL...", "models/vgg-fashion.onnx"),
        without=" --node-cases",
        minutes=10,
    ),
    Check(
        "python -m tools.conformance.replays MODEL... --transitions nat++",
        6,
        "nothing is wrong",
        says(r"^40 α's equal, 0 not compared, 0 wrong; 0 models refused$"),
        fill=("MODEL...", "models/vgg-fashion.onnx"),
        minutes=10,
    ),
    Check(
        "python -m tools.research.networks export NAME -o name.onnx",
        5,
        "the file is there",
        writes("name.onnx"),
        fill=("NAME", "ResNet-20"),
    ),
    Check("python -m tools.conformance.paper costs", 60, "every row of docs/tables.md", same_tables),
    Check(
        "python -m tools.conformance.paper inspect --names NAME",
        15,
        "the row of docs/tables.md",
        says(r"^\| ResNet-20 \| cifar \|"),
        fill=("NAME", "ResNet-20"),
    ),
    Check(
        "python -m tools.conformance.paper apply --names NAME",
        15,
        "the row of docs/tables.md",
        says(r"^\| NAT-ResNet-20 \| 16 \| 269,034 \| 269,034 \|"),
        fill=("NAME", "NAT-ResNet-20"),
    ),
    Check("python -m tools.upkeep.check_readme", 0, "", never="it is what runs this"),
    # models/README.md
    Check("pip install -e .[export]", 0, "", skip=_INSTALLS, minutes=1),
    *SEARCH_CHECKS,
    # docs/tables.md
    Check(
        "python -m tools.conformance.paper inspect",
        15,
        "rows of the page, to the letter",
        same_tables,
        budget="--names ResNet-20,NAT-ResNet-20",
        minutes=30,
    ),
    Check(
        "python -m tools.conformance.paper apply",
        15,
        "rows of the page; the difference of outputs by form",
        rows(["network"], exact=_COSTS, header=True, measured={"difference of outputs": _SMALL}),
        budget="--names NAT-ResNet-20",
        minutes=15,
    ),
    Check(
        "python -m tools.research.networks export DARTS -o darts.onnx --free-skips",
        10,
        "the file is there",
        writes("darts.onnx"),
    ),
    Check(
        "python -m tools.research.networks edits NAT-DARTS darts.onnx > edits.json",
        10,
        "the file is there",
        writes("edits.json"),
        first=(_DARTS,),
    ),
    Check(
        "natonnx apply darts.onnx edits.json --granularity branch",
        40,
        "as many edits as the page's table has",
        says(": 42 edits"),
        budget="--force",
        first=(_DARTS, "python -m tools.research.networks edits NAT-DARTS darts.onnx > edits.json"),
    ),
    *LATENCY_CHECKS,
    *INSTALL_CHECKS,
    *SCALE_CHECKS,
    *PERFORMANCE_CHECKS,
    *PAPER_CHECKS,
    *TORCH_CHECKS,
)
