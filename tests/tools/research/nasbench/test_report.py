"""Tables of made-up runs."""

from dataclasses import replace

import numpy as np

from tools.research.nasbench.measure import Measures
from tools.research.nasbench.report import variants_table
from tools.research.nasbench.runs import Job, Run
from tools.research.nasbench.table import DATASETS


def _run(label: str, seed: int, queries: int, captured: float) -> Run:
    measures = Measures(50.0, 60.0, 70.0, captured, captured, 0.9, 0.9, -0.1, -0.1, 0.0)
    measured = {name: {"zero_shot": measures} for name in DATASETS}
    return Run(Job("gcn", seed=seed, label=label), queries, queries, 2.0, (), 70.0, measured, {})


def test_a_row_is_one_variant_with_one_number_of_look_ups() -> None:
    runs = [
        _run(label, seed, queries, captured + seed / 10)
        for label in ("a", "b")
        for queries, captured in ((1_000, 0.5), (3_000, 0.7))
        for seed in range(2)
    ]
    rows = [line.split(" | ") for line in variants_table(runs).splitlines()[2:]]
    deviation = np.std([0.0, 0.1], ddof=1)
    assert [(row[0], row[1], row[5]) for row in rows] == [
        (f"| {label}", f"{mean:.3f} ± {deviation:.3f}", queries)
        for label in ("a", "b")
        for mean, queries in ((0.55, "1,000"), (0.75, "3,000"))
    ]


def test_one_seed_has_no_deviation() -> None:
    run = _run("a", 0, 1_000, 0.5)
    assert "±" not in variants_table([run, replace(run, queries=3_000)])
