"""Compare learners on one model and budget: `natonnx optimize` by each, several seeds, a table in Markdown.

Every run is a process of its own, exactly what a user would run. MAdds are those that `natonnx inspect` counts on the
file that was written. Test accuracies are onnxruntime's; the test split takes no part in the search.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from tools.command import run_command


@click.command()
@click.argument("model", type=click.Path(exists=True, path_type=Path))
@click.option("--learners", default="gcn,random", show_default=True)
@click.option("--seeds", default=3, show_default=True)
@click.option("--target-madds", default=0.7, show_default=True)
@click.option("--max-drop", default=1.0, show_default=True)
@click.option("--keep", type=click.Path(path_type=Path), help="Folder for the models and reports.")
@click.argument("more", nargs=-1)
def main(
    model: Path,
    learners: str,
    seeds: int,
    target_madds: float,
    max_drop: float,
    keep: Path | None,
    more: tuple[str, ...],
) -> None:
    """Compare LEARNERS on MODEL; MORE options go to `natonnx optimize` (after --)."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print(
            "| learner | seed | MAdds | validation, % | test, % | β fine-tuned, test % | β as given, test % | seconds |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for learner in learners.split(","):
            reports = []
            for seed in range(seeds):
                output = folder / f"{learner}-{seed}.onnx"
                options = ["--target-madds", str(target_madds), "--max-drop", str(max_drop), "--learner", learner]
                report = optimize([str(model), "-o", str(output), *options, "--seed", str(seed), *more])
                (folder / f"{learner}-{seed}.json").write_text(json.dumps(report))
                reports.append(report)
                print(row(learner, str(seed), report, output), flush=True)
            print(mean_row(learner, reports))


def optimize(arguments: Sequence[str]) -> Any:
    """Run `natonnx optimize --json`; exit codes 0 and 1 both come with a report."""
    command = [sys.executable, "-m", "natonnx", "optimize", *arguments, "--json", "--force"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, 1):
        raise click.ClickException(f"{' '.join(command)} ended with {done.returncode}")
    return json.loads(done.stdout)


def row(learner: str, seed: str, report: Any, output: Path) -> str:
    """One run."""
    before, after = report["input"], report["output"]
    given = before["score"]["test"]
    if after is None:
        found = "unchanged | |"
    else:
        command = [sys.executable, "-m", "natonnx", "inspect", str(output), "--json"]
        cost = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)["cost"]
        share = cost["madds"] / before["madds"]
        found = f"{share:.3f} | {100 * after['score']['validation']:.1f} | {100 * after['score']['test']:.1f}"
    cells = [found, finetuned([report]), f"{100 * given:.1f}", f"{report['seconds']:.0f}"]
    return f"| {learner} | {seed} | {' | '.join(cells)} |"


def finetuned(reports: Sequence[Any]) -> str:
    """Mean test accuracy of β fine-tuned alike; a dash where that was not done, as Algorithm 1 alone does it."""
    betas = [report["finetuned_input"] for report in reports]
    return "–" if None in betas else f"{100 * mean([beta['score']['test'] for beta in betas]):.1f}"


def mean_row(learner: str, reports: Sequence[Any]) -> str:
    """Means over seeds; β as given stands for a run that found nothing."""
    found = [report["output"] or report["input"] for report in reports]
    madds = mean([result["madds"] / report["input"]["madds"] for result, report in zip(found, reports, strict=True)])
    columns = [100 * mean([result["score"][split] for result in found]) for split in ("validation", "test")]
    given = 100 * mean([report["input"]["score"]["test"] for report in reports])
    seconds = mean([report["seconds"] for report in reports])
    cells = [
        f"{madds:.3f}",
        *(f"{value:.1f}" for value in columns),
        finetuned(reports),
        f"{given:.1f}",
        f"{seconds:.0f}",
    ]
    return " | ".join([f"| **{learner}** | mean", *cells]) + " |"


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean."""
    return sum(values) / len(values)


if __name__ == "__main__":
    run_command(main)
