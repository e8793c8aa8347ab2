"""The table that compares learners."""

from pathlib import Path

from tests.report.examples import found, model, quality
from tools.benchmarks.compare_learners import mean_row, row


def test_a_run_that_found_nothing() -> None:
    report = found(input=model(0.9, 0.88), output=None, finetuned_input=None)
    cells = [cell.strip() for cell in row("gcn", "3", report, Path("none.onnx")).split("|")]
    assert cells[1:] == ["gcn", "3", "unchanged", "", "", "–", "88.0", "12", ""]


def test_means_over_seeds() -> None:
    """The input stands for a run that found nothing."""
    better = model(0.92, 0.9, madds=39180)
    reports = [found(input=model(0.9, 0.88), output=output, finetuned_input=None) for output in (better, None)]
    cells = [cell.strip() for cell in mean_row("gcn", reports).split("|")]
    assert cells[1:] == ["**gcn**", "mean", "0.750", "91.0", "89.0", "–", "88.0", "12", ""]
    reports = [{**report, "finetuned_input": quality(0.9, 0.89)} for report in reports]
    assert mean_row("gcn", reports).split("|")[6].strip() == "89.0"
