"""The check of the pages finds what is wrong with a page: each test changes one that is right."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tools.upkeep.check_readme.check import Check, unmatched
from tools.upkeep.check_readme.checks import CHECKS
from tools.upkeep.check_readme.compare import junit, report, rows, same_tables, says, unchanged, writes
from tools.upkeep.check_readme.nasbench import captured
from tools.upkeep.check_readme.page import PAGES, Shown, mentions, normal, read, tables
from tools.upkeep.check_readme.place import ROOT, Place, Ran
from tools.upkeep.check_readme.prose import differences
from tools.upkeep.check_readme.sample import consistent, optimized

SAMPLE = read(ROOT)[0]


def pages(folder: Path, text: str) -> list[Shown]:
    (folder / "page.md").write_text(text, encoding="utf-8")
    return read(folder, ["page.md"])


def commands(folder: Path, text: str) -> list[str]:
    return [shown.command for shown in pages(folder, text)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("place"))


def ran(place: Place, stdout: str, *, code: int = 0, full: bool = False) -> Ran:
    return Ran("command", full, code, stdout, "", 0.0, place)


def test_a_block_is_read_line_by_line(tmp_path: Path) -> None:
    block = (
        "```\nnatonnx inspect a.onnx   # why\n\nA=1 python -m tools.x --y \\\n    --z 'a # b' > c.json\n# said\n```\n"
    )
    assert commands(tmp_path, block) == ["natonnx inspect a.onnx", "A=1 python -m tools.x --y --z 'a"]
    assert [shown.line for shown in pages(tmp_path, block)] == [2, 4]


def test_a_session_has_commands_and_output(tmp_path: Path) -> None:
    first, second = pages(
        tmp_path, "```\n$ natonnx inspect a\nnatonnx is\n$ natonnx bench a\n1\n```\nText.\n\n## On\nno"
    )
    assert (first.command, second.command) == ("natonnx inspect a", "natonnx bench a")
    assert second.below == "1\n```\nText.\n\n"


def test_a_workflow_and_python(tmp_path: Path) -> None:
    steps = "```yaml\nsteps:\n  - run: natonnx check a --baseline b\n```\n"
    workflow, code = pages(tmp_path, f"{steps}```python\nimport natonnx\n\nnatonnx.load('a')\n```\n")
    assert workflow.command == "natonnx check a --baseline b"
    assert code.command == "python: import natonnx"
    assert code.code == "import natonnx\n\nnatonnx.load('a')\n"
    assert code.complete


def test_a_line_of_no_known_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"page\.md: block at line 1: 'podman run x' is no command"):
        pages(tmp_path, "```\nnatonnx inspect a\npodman run x\n```\n")


def test_commands_in_the_text(tmp_path: Path) -> None:
    text = "Run `python -m tools.x`, or `natonnx\ninspect --window 3 M`; `python -m tools.x export NAME`, `natonnxes`."
    shown = pages(tmp_path, text)
    assert [(each.command, each.complete) for each in shown] == [
        ("python -m tools.x", True),
        ("natonnx inspect --window 3 M", False),
        ("python -m tools.x export NAME", False),
    ]
    assert mentions(shown) == shown[1:]


def test_comments_and_continuations_go() -> None:
    assert normal("a  b \\\n   --c 'x#y'   # d") == "a b --c 'x#y'"


def test_a_command_without_a_check_and_a_check_without_a_command(tmp_path: Path) -> None:
    shown = pages(tmp_path, "```\nnatonnx inspect a\nnatonnx inspect b\n```\n`natonnx inspect M`")
    check = Check("natonnx inspect a", 1, "")
    assert unmatched(shown, [check, Check("natonnx inspect b", 1, "")]) == []
    (problem,) = unmatched(shown, [check])
    assert problem.startswith("page.md:3: no check for 'natonnx inspect b'")
    (problem,) = unmatched(shown[:1], [check, Check("natonnx inspect c", 1, "")])
    assert problem == "no page has 'natonnx inspect c' any more; take its check away"
    assert unmatched(shown[:1], [check, check]) == ["two checks for 'natonnx inspect a'"]
    code = pages(tmp_path, "```python\nimport a\n1\n```\n```python\nimport a\n2\n```\n")
    assert unmatched(code, [Check("python: import a", 1, "")]) == ["two blocks of Python begin with 'import a'"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("`--window N`", "`--windows N`", "no command has the option --windows"),
        ("| `natonnx bench M [M2 …]`", "| `natonnx race M [M2 …]`", "the table of commands lacks natonnx bench"),
        ("| `natonnx bench M [M2 …]`", "| `natonnx race M [M2 …]`", "natonnx has no command race"),
        ("| `natonnx doctor`", "| `natonnx nurse`", "the table of commands lacks natonnx doctor"),
        ("| 130 | interrupted", "| 131 | interrupted", "exit codes ['0', '1', '2', '3', '4', '131']"),
        ("knows 171 operators", "knows 172 operators", "does not say '172 operators'"),
        ("1,652 of 1,664", "1,653 of 1,664", "does not say '1653 passed'"),
        ("## Licence", "word " * 1500, "words, more than 1,500"),
    ],
)
def test_the_text_is_compared_with_the_code(tmp_path: Path, old: str, new: str, says: str) -> None:
    for name in ("natonnx", "tools"):
        (tmp_path / name).symlink_to(ROOT / name)
    texts = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}
    assert any(old in text for text in texts.values())
    for page, text in texts.items():
        (tmp_path / page).parent.mkdir(exist_ok=True)
        (tmp_path / page).write_text(text.replace(old, new), encoding="utf-8")
    assert any(says in problem for problem in differences(tmp_path, []))


def test_usage_names_only_options_of_the_command(tmp_path: Path) -> None:
    shown = pages(
        tmp_path, "`natonnx inspect M --learner gcn`, `natonnx optimise M`, `natonnx --help`, `natonnx apply`"
    )
    problems = differences(ROOT, shown)
    assert problems == [
        "page.md:1: natonnx inspect has no option --learner",
        "page.md:1: natonnx has no command optimise",
    ]


def test_the_sample_is_compared_with_its_edits(place: Place) -> None:
    below = SAMPLE.below
    for old, new in (
        ("213,690", "213,691"),
        ("19,983,232      -35.6 %", "19,983,232      -35.7 %"),
        ("876,401", "876,402"),
        ("-0.1 points", "-0.9 points"),
    ):
        assert old in below
        below = below.replace(old, new, 1)
    problems = consistent(replace(SAMPLE, below=below), place)
    assert [problem.partition(":")[0] for problem in problems] == [
        "parameters",
        "MAdds",
        "size (bytes)",
        "test accuracy of 10,000 (%)",
    ]
    assert problems[-1] == (
        "test accuracy of 10,000 (%): from 90.9 ± 0.6 to 90.8 ± 0.6 is -0.1 points, on the page -0.9 points"
    )


def test_edits_of_the_sample_that_do_not_exist(place: Place) -> None:
    below = SAMPLE.below.replace("S → N  relu_8->relu_10\n", "S → N  relu->relu_9\n")
    (problem,) = consistent(replace(SAMPLE, below=below), place)
    assert problem.startswith("the edits shown cannot be applied: natonnx: error: ")


def test_a_run_that_prints_the_sample_agrees_with_it(place: Place) -> None:
    printed = SAMPLE.below.partition("```")[0]
    assert optimized(SAMPLE, ran(place, printed)) == []
    slower = printed.replace("0.581", "0.731").replace("(126 s)", "(12 s)").replace("89 % of them", "88 % of them")
    assert optimized(SAMPLE, ran(place, slower)) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("before       after", "before       later"),
        ("latency (ms, 1 thread)", "latency (ms)          "),
        ("272,186", "272,187"),
        ("90.8 ± 0.9  90.6", "90.7 ± 0.9  90.6"),
        ("at most 20,164,269", "at most 20,164,270"),
        ("accuracy lost", "accuracy gone"),
        ("improved: models/resnet20-fashion.nat.onnx", "improved: resnet20-fashion.nat.onnx"),
        ("into the model", "into a model"),
    ],
)
def test_another_printed_form_is_a_difference(place: Place, old: str, new: str) -> None:
    printed = SAMPLE.below.partition("```")[0]
    assert old in printed
    assert optimized(SAMPLE, ran(place, printed.replace(old, new))) != []


def test_unchanged_needs_its_exit_code(place: Place) -> None:
    printed = re.sub(r"improved: .*", "unchanged: no architecture", SAMPLE.below.partition("```")[0])
    assert optimized(SAMPLE, ran(place, printed, code=1)) == []
    assert optimized(SAMPLE, ran(place, printed, code=0)) != []


PAGE = "| model | edges | time |\n|---|---|---|\n| a | 3 | 1.5 |\n| **b** | 4 | 2.5 |\n"


def shown(below: str = PAGE) -> Shown:
    return Shown("page.md", 1, "natonnx", True, below=below)


def test_tables_are_read_without_emphasis() -> None:
    (table,) = tables(f"text\n\n{PAGE}\ntext")
    assert table.header == ("model", "edges", "time")
    assert table.records()[1] == {"model": "b", "edges": "4", "time": "2.5"}


def test_rows(place: Place) -> None:
    compare = rows(["model"], exact={"edges": lambda row: row["edges"]}, header=True, measured={"time": r"\d\.\d"})
    other_times = PAGE.replace("1.5", "9.9")
    only_a = PAGE.replace("| **b** | 4 | 2.5 |\n", "")
    assert compare(shown(), ran(place, other_times, full=True)) == []
    assert compare(shown(), ran(place, only_a)) == []
    assert compare(shown(), ran(place, only_a, full=True)) == ["does not print the page's row b"]
    assert compare(shown(only_a), ran(place, PAGE)) == ["the page lacks b"]
    assert compare(shown(), ran(place, PAGE.replace("| 4", "| 5"))) == ["b: edges is 5, on the page 4"]
    assert compare(shown(), ran(place, PAGE.replace("2.5", "fast"))) == [r"b: time 'fast' is no \d\.\d"]
    assert compare(shown(), ran(place, PAGE.replace("edges", "nodes")))[0].startswith("columns model, nodes, time")
    assert compare(shown(), ran(place, "")) == ["prints no table"]
    assert compare(shown(""), ran(place, PAGE)) == ["no table on the page"]
    assert "prints no row of the page" in compare(shown(), ran(place, PAGE.replace("| a", "| c").replace("**b", "**d")))


def test_same_tables(place: Place) -> None:
    assert same_tables(shown(), ran(place, PAGE, full=True)) == []
    assert same_tables(shown(), ran(place, PAGE.replace("2.5", "2.6"))) == [
        "prints a row that the page lacks: b | 4 | 2.6"
    ]
    only_a = PAGE.replace("| **b** | 4 | 2.5 |\n", "")
    assert same_tables(shown(), ran(place, only_a)) == []
    assert len(same_tables(shown(), ran(place, only_a, full=True))) == 1
    assert same_tables(shown(), ran(place, "")) == ["prints no table"]


def test_captured(place: Place) -> None:
    page = (
        "| learner | CIFAR-10 | CIFAR-100 | ImageNet16-120 | cells not made worse, CIFAR-10 |\n|---|---|---|---|---|\n"
        "| gcn | 0.884 ± 0.006 | 0.850 ± 0.007 | 0.814 ± 0.010 | 0.928 |\n"
        "| random | -0.084 ± 0.019 | -0.057 ± 0.017 | -0.076 ± 0.012 | 0.571 |\n"
    )
    printed = (
        "| data | learner | captured | not worse (test) |\n| --- | --- | --- | --- |\n"
        "| CIFAR-10 | random | -0.084 ± 0.019 | 0.571 |\n| CIFAR-100 | random | -0.057 ± 0.017 | 0.585 |\n"
        "| ImageNet16-120 | random | -0.076 ± 0.012 | 0.575 |\n"
    )
    assert captured(shown(page), ran(place, printed)) == []
    assert captured(shown(page), ran(place, printed.replace("0.571", "0.572"))) != []
    assert captured(shown(page), ran(place, printed.replace("-0.057", "-0.058"))) != []
    assert captured(shown(page), ran(place, printed, full=True)) == ["does not print gcn"]
    gcn = (
        printed.replace("random", "gcn").replace("0.571", "0.921").replace("-0.084", "0.899").replace("-0.057", "0.85")
    )
    gcn = gcn.replace("-0.076", "0.80")
    assert captured(shown(page), ran(place, gcn)) == []
    assert captured(shown(page), ran(place, gcn.replace("0.899", "0.905"))) != []
    assert captured(shown(page), ran(place, "")) != []


def test_text_and_files(place: Place) -> None:
    assert says("^b")(shown(), ran(place, "a\nb")) == []
    assert says("^c")(shown(), ran(place, "a\nb")) != []
    (place.folder / "there.json").write_text('{"seed": 1, "status": "improved"}')
    assert writes("there.*")(shown(), ran(place, "")) == []
    assert writes("gone.json")(shown(), ran(place, "")) != []
    assert report("there.json", seed=1)(shown(), ran(place, "")) == []
    assert report("there.json", seed=2)(shown(), ran(place, "")) != []
    assert report("there.json", seed=1)(shown(), ran(place, "", code=1)) != []
    (place.folder / "junit.xml").write_text("<testsuite><testcase/><testcase><failure/></testcase></testsuite>")
    assert junit("junit.xml", 2)(shown(), ran(place, "", code=1)) == []
    assert junit("junit.xml", 3)(shown(), ran(place, "", code=1)) != []
    assert junit("junit.xml", 2)(shown(), ran(place, "")) != []
    assert unchanged("models/README.md")(shown(), ran(place, "")) == []
    (place.folder / "models" / "README.md").write_text("new")
    assert unchanged("models/README.md")(shown(), ran(place, "")) != []


def test_how_a_check_runs(place: Place) -> None:
    check = Check("echo X > out.txt", 1, "", budget="--small", fill=("X", "y"))
    assert check.line(full=False) == "echo y --small > out.txt"
    assert check.line(full=True) == "echo y > out.txt"
    assert check.run([shown()], place, full=False).problems == ()
    assert (place.folder / "out.txt").read_text() == "y --small\n"
    (problem,) = Check("echo no; exit 3", 1, "").run([shown()], place, full=False).problems
    assert problem == "exit code 3: no"
    assert Check("exit 1", 1, "", codes=(0, 1)).run([shown()], place, full=False).problems == ()
    assert Check("exit 9", 1, "", skip="why").run([shown()], place, full=False).skipped == "why"
    assert (
        Check("exit 9", 1, "", needs=("table",)).run([shown()], place, full=False).skipped.startswith("needs --table")
    )
    assert Check("true", 1, "", first=("exit 4",)).run([shown()], place, full=False).problems[0].startswith("exit 4: ")
    code = Shown("page.md", 1, "python: import sys", True, "python", code="import sys\nsys.exit(X)\n")
    assert Check(code.command, 1, "", fill=("X", "0")).run([code], place, full=False).problems == ()
    assert (
        Check(code.command, 1, "", fill=("X", "5")).run([code], place, full=False).problems[0].startswith("exit code 5")
    )


def test_the_commands_run_the_copy(place: Place) -> None:
    where = place.run('python -c "import natonnx; print(natonnx.__file__)"').stdout
    assert where == f"{place.folder}/natonnx/__init__.py\n"
    assert place.run("natonnx --version").code == 0
    assert os.access(place.folder / "bin" / "natonnx", os.X_OK)


def test_every_check_says_what_it_compares() -> None:
    assert [check.command for check in CHECKS if not check.says and not (check.skip or check.never)] == []
