"""Run ONNX's official cases through the op table and print what passes, what fails and what is skipped, and why.

`python -m tools.conformance.op_coverage` prints to read; with `--markdown` it prints natonnx/supernet/ops/README.md.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import click
import onnx
import torch

from natonnx.supernet import ops
from tools.command import run_command
from tools.conformance.onnx_cases import DTYPES, FOREIGN_TYPES, KNOWN_FAILURES, OUTSIDE, UNCOVERED, all_cases, failure

README = Path(ops.__file__).with_name("README.md")


@dataclass
class Coverage:
    """The outcome of a run.

    Attributes:
        passed: How many cases passed.
        failures: What went wrong, by case.
        skipped: How many cases were skipped, by reason.
        outside: How many cases want each operator that the table lacks.
        types: How many cases want each element type that torch does not compute with.
    """

    passed: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    outside: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)

    @property
    def summary(self) -> str:
        """The numbers in one line."""
        total = self.passed + len(self.failures)
        share = f"{self.passed / total:.1%} of the {total} in reach"
        return f"{self.passed} passed, {len(self.failures)} failed ({share}), {self.skipped.total()} skipped"


def measure() -> Coverage:
    """Run every official case."""
    coverage = Coverage()
    for case in all_cases():
        if reason := case.skipped:
            coverage.skipped[reason] += 1
            if reason == OUTSIDE:
                coverage.outside.update(case.outside)
            elif reason == FOREIGN_TYPES:
                coverage.types.update({value.dtype.name for value in (*case.inputs, *case.outputs)} - DTYPES)
        elif problem := failure(case):
            coverage.failures[case.name] = problem
        else:
            coverage.passed += 1
    return coverage


def families() -> dict[str, list[str]]:
    """Return the operators of each module, by its title: those that it registers itself or by the keys of a table."""
    result = {}
    for name in sorted(ops.__all__):
        source = Path(ops.__file__).with_name(f"{name}.py")
        if source.exists():
            tree = ast.parse(source.read_text(encoding="utf-8"))
            entries = [
                node.args if isinstance(node, ast.Call) else node.keys
                for node in ast.walk(tree)
                if isinstance(node, ast.Dict) or (isinstance(node, ast.Call) and ast.unparse(node.func) == "register")
            ]
            words = {str(node.value) for entry in entries for node in entry if isinstance(node, ast.Constant)}
            title = (ast.get_docstring(tree) or name).split("\n")[0]
            result[title] = sorted(words & ops.supported())
    return result


def describe_table() -> str:
    """Return what the README says of the table: the operators, and the cases in reach that fail."""
    introduction = (
        f"{len(ops.supported())} operators of ONNX's default domain, from opset 7 on. What a kernel cannot do exactly"
        " it refuses."
    )
    lines = [
        "# The op table",
        "",
        "Written by `python -m tools.conformance.op_coverage --markdown`.",
        "",
        introduction,
        "",
        "| family | operators |",
        "|---|---|",
        *(f"| {title.rstrip('.')} | {' '.join(names)} |" for title, names in families().items()),
        "",
        f"No official case covers {' and '.join(sorted(UNCOVERED))}; the tests compare with onnxruntime there.",
        "",
        "## Official cases in reach that fail",
        "",
        "| why | cases |",
        "|---|---|",
    ]
    by_reason = defaultdict(list)
    for case, reason in KNOWN_FAILURES.items():
        by_reason[reason].append(case)
    lines += [f"| {reason} | {' '.join(f'`{case}`' for case in cases)} |" for reason, cases in by_reason.items()]
    return "\n".join([*lines, ""])


def describe_run(coverage: Coverage) -> str:
    """Return what the README says of a run."""
    versions = f"onnx {onnx.__version__}, torch {torch.__version__.partition('+')[0]} on the CPU"
    lines = [
        "## Coverage",
        "",
        f"The official node cases and those that onnx's wheel carries as files ({versions}): {coverage.summary}.",
        "",
        "| skipped because of | cases |",
        "|---|---|",
        *(f"| {reason} | {count} |" for reason, count in coverage.skipped.most_common()),
        "",
        f"Operators outside the table: {_listed(coverage.outside)}.",
        "",
        f"Element types that torch does not compute with: {_listed(coverage.types)}.",
    ]
    return "\n".join([*lines, ""])


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()))


@click.command()
@click.option("--markdown", is_flag=True, help="Print the README of the op table.")
def main(*, markdown: bool) -> None:
    """Run ONNX's official cases through the op table and print what passes, what fails and what is skipped."""
    torch.set_num_threads(1)
    coverage = measure()
    if markdown:
        print(describe_table(), describe_run(coverage), sep="\n", end="")
        return
    print(coverage.summary)
    for reason, count in coverage.skipped.most_common():
        print(f"skipped {count:4}  {reason}")
    print(f"outside the table: {_listed(coverage.outside)}")
    print(f"element types: {_listed(coverage.types)}")
    for case, problem in coverage.failures.items():
        print(f"failed  {case}: {KNOWN_FAILURES.get(case, 'NOT EXPECTED: ' + problem)}")
    for case in KNOWN_FAILURES.keys() - coverage.failures.keys():
        print(f"passes, though known to fail: {case}")


if __name__ == "__main__":
    run_command(main)
