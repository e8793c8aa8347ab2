"""`natonnx optimize` from end to end: its report, its file, and what it leaves alone."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from natonnx import apply, inspect
from natonnx.cli import main
from natonnx.contract.edits import parse_edits
from natonnx.contract.optimize import OptimizeReport
from natonnx.policy import LEARNERS
from natonnx.session import run, session
from tests.cli import tiny
from tests.contract.conforms import require_payload
from tests.e2e.conftest import CHEAPER, OPTIMIZE, SPOILT, Run, optimize


def properties(path: Path) -> dict[str, str]:
    return {prop.key: prop.value for prop in onnx.load(path).metadata_props}


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for item in value.values():
            yield from numbers(item)
    elif isinstance(value, list):
        for item in value:
            yield from numbers(item)
    elif isinstance(value, (int, float)):
        yield value


STATUS = {
    "improved": "improved",
    "several": "improved",
    "paper": "improved",
    "unchanged": "unchanged",
    "missed": "unchanged",
}


@pytest.fixture(params=STATUS)
def either(request: pytest.FixtureRequest) -> Run:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Run)
    assert found.report["status"] == STATUS[request.param]
    return found


def test_the_contract(either: Run) -> None:
    report = either.report
    require_payload(report, OptimizeReport)
    for row in (report["input"], report["output"]):
        if row is not None:
            assert all(0 <= value <= 1 for value in row["score"].values())
            assert row["latency_ms"] > 0
    for limit in report["constraints"]:
        assert limit["met"] == (limit["value"] is not None and limit["value"] <= limit["limit"])
    for row in (*report["front"], *report["scored"]):
        assert 0 <= row["score"]["validation"] <= 1
        assert row["edits"]
        assert row["madds"] <= report["input"]["madds"]
    assert [row["madds"] for row in report["front"]] == sorted((r["madds"] for r in report["front"]), reverse=True)
    assert report["scored"]
    assert (report["nearest"] is None) == (report["output"] is not None or not report["front"])
    assert (report["images"]["output"] is None) == (report["output"] is None)
    assert all(map(math.isfinite, numbers(report)))
    assert report["learner"] == LEARNERS[0]
    assert report["seconds"] > 0


def test_input_row_is_the_file(either: Run) -> None:
    row = either.report["input"]
    assert row["path"] == "model.onnx"
    assert row["size_bytes"] == (either.folder / "model.onnx").stat().st_size
    assert (row["params"], row["madds"]) == (1275, 78360)


def test_code_status_and_file_agree(either: Run) -> None:
    found = either.report["status"] == "improved"
    assert either.code == (0 if found else 1)
    assert either.output.exists() == found
    assert (either.report["output"] is not None) == found
    assert bool(either.report["edits"]) == found
    assert all(limit["met"] for limit in either.report["constraints"]) == found
    assert either.report["constraints"]


def test_nothing_but_the_output_and_the_front_is_left(either: Run) -> None:
    after = tiny.snapshot(either.folder)
    assert either.before.items() <= after.items()
    front = {row["path"] for row in either.report["front"] if row["path"] is not None}
    output = {either.output.name} if either.code == 0 else set()
    assert after.keys() - either.before.keys() == output | front | ({"front"} if front else set())


PLAN = re.compile(
    r"model\.onnx: (5 look-ups(, then 400 training images for (the model that is made|each target))?|"
    r"2 epochs of Algorithm 1, then 2 finalists and the input are trained); about \d+ s, \d+\.\d GiB of memory"
)
LINE = re.compile(r"(look up|train|search|select|fine-tune) (\d+)/(\d+)  .*\(\d+ s(, about \d+ s left)?\)")


def test_progress_is_a_plain_line_now_and_then(either: Run) -> None:
    """The plan first, then the data's notes, then a line as each stage ends at least."""
    assert "\x1b" not in either.stderr
    assert "\r" not in either.stderr
    space, plan, data, *lines = either.stderr.splitlines()
    assert space.startswith("model.onnx: 7 edges, 8 legal transitions; ")
    assert PLAN.fullmatch(plan)
    assert data.startswith("data data.npz: ")
    found = [LINE.fullmatch(line) for line in lines]
    assert all(found)
    stages = [match[1] for match in found if match]
    images = either.report["images"]
    if either.report["algorithm"] == "paper":
        assert list(dict.fromkeys(stages)) == ["search", "select", "fine-tune"]
    else:  # a search that looks up fewer than it may ends that stage without a word
        trained = [stage for stage in dict.fromkeys(stages) if stage not in ("look up", "remove")]
        assert trained == ["train"] * bool(images["training"])
        assert stages[0] == "look up" or either.report["status"] == "unchanged"
    for match in found:
        assert match
        assert int(match[2]) <= int(match[3])


def test_the_output_is_what_the_report_says(improved: Run) -> None:
    row = improved.report["output"]
    found = inspect(improved.output)
    assert row["path"] == improved.output.name
    assert row["size_bytes"] == improved.output.stat().st_size
    assert (row["params"], row["madds"]) == (found["cost"]["params"], found["cost"]["madds"])
    model = onnx.load(improved.output)
    onnx.checker.check_model(model, full_check=True)
    data = tiny.arrays()
    (scores,) = run(session(model), {"image": data["x_test"]}).values()
    accuracy = float(np.mean(scores.argmax(1) == data["y_test"]))
    assert row["score"]["test"] == pytest.approx(accuracy)


def test_the_target_holds_by_inspect(improved: Run) -> None:
    before, after = (inspect(path)["cost"]["madds"] for path in (improved.folder / "model.onnx", improved.output))
    assert before is not None
    assert after is not None
    assert after <= 0.55 * before
    limits = {limit["name"]: limit for limit in improved.report["constraints"]}
    assert limits["madds"]["limit"] == pytest.approx(0.55 * before)
    assert limits["lost"]["limit"] == 40.0


def test_never_worse_on_validation(improved: Run) -> None:
    before, after = (improved.report[part]["score"]["validation"] for part in ("input", "output"))
    assert after >= before - 0.4


def test_every_check_passed(improved: Run) -> None:
    assert all(check["passed"] for check in improved.report["checks"])
    assert "onnxruntime equals the supernet" in {check["name"] for check in improved.report["checks"]}


def test_apply_replays_the_report(improved: Run, tmp_path: Path) -> None:
    edits = parse_edits(json.dumps(improved.report), "report")
    replayed, _ = apply(improved.folder / "model.onnx", edits, tmp_path / "replayed.onnx")
    mine, theirs = inspect(replayed), inspect(improved.output)
    for part in ("cost", "feature_maps", "edges", "opaque"):
        assert mine[part] == theirs[part]
    shape = [(node.op_type, list(node.input), list(node.output)) for node in onnx.load(replayed).graph.node]
    assert shape == [
        (node.op_type, list(node.input), list(node.output)) for node in onnx.load(improved.output).graph.node
    ]


def test_the_file_says_where_it_comes_from(improved: Run) -> None:
    said = properties(improved.output)
    (entry,) = json.loads(said.pop("natonnx.provenance"))
    assert said == {"author": "the tests"}
    assert entry["source_sha256"] == improved.before["model.onnx"]
    assert entry["edits"] == improved.report["edits"]


def test_the_contract_of_the_model_is_kept(improved: Run) -> None:
    before, after = inspect(improved.folder / "model.onnx")["model"], inspect(improved.output)["model"]
    assert {**after, "path": None} == {**before, "path": None}


def test_the_same_seed_gives_the_same_bytes(improved: Run, folder: Path) -> None:
    again = optimize(folder, *CHEAPER, PYTHONHASHSEED="1")
    assert again.report["edits"] == improved.report["edits"]
    for part in ("front", "scored", "images", "constraints"):
        assert again.report[part] == improved.report[part]
    assert again.output.read_bytes() == improved.output.read_bytes()


def test_the_table(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In this process, with a data function that prints, which must not end up in stdout."""
    (folder / "chatty.py").write_text(
        "import numpy\ndef data():\n    print('loading')\n    return dict(numpy.load('data.npz'))\n", encoding="utf-8"
    )
    monkeypatch.chdir(folder)
    monkeypatch.setattr("natonnx.verbs.optimize.report.latencies_ms", lambda models, _, **__: [1.0] * len(models))
    arguments = ["optimize", "model.onnx", "--data", "chatty:data", "--lookups", "5", "--finetune-epochs", "0"]
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--learner", "random", "--target-madds", "0.55", "--max-drop", "100"])
    stdout, stderr = capsys.readouterr()
    assert stopped.value.code == 0
    assert "loading" in stderr
    assert "loading" not in stdout
    assert "validation accuracy of 100 (%)" in stdout
    assert "improved: model.nat.onnx" in stdout


def test_the_reports(folder: Path) -> None:
    """The page has the payload that --json prints, and the mapping knows the nodes of the input."""
    found = optimize(folder, *CHEAPER, "--html", "report.html", "--sync-navigation", "mapping.json")
    page = (folder / "report.html").read_text(encoding="utf-8")
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert data["optimization"] == found.report
    assert data["inspection"] == inspect(folder / "model.onnx") | {"model": data["inspection"]["model"]}
    assert data["environment"]["command"].endswith("--html report.html --sync-navigation mapping.json")
    mapping = json.loads((folder / "mapping.json").read_text(encoding="utf-8"))["mapping"]
    assert mapping.keys() == {node.name for node in onnx.load(folder / "model.onnx").graph.node}
    edges = {edge["name"] for edge in data["inspection"]["edges"]}
    assert set(found.report["idle_edges"]) <= edges


def accuracy(path: Path) -> float:
    """On the test samples, in onnxruntime."""
    data = tiny.arrays()
    (scores,) = run(session(onnx.load(path)), {"image": data["x_test"]}).values()
    return float(np.mean(scores.argmax(1) == data["y_test"]))


def test_every_model_of_the_front_is_what_its_row_says(several: Run, tmp_path: Path) -> None:
    """Its file, and what `apply` makes of its number, cost the same; and weights that were refitted serve."""
    dear, cheap = several.report["front"]
    assert (dear["target"], cheap["target"]) == (0.55, 0.06)
    (tmp_path / "report.json").write_text(json.dumps(several.report), encoding="utf-8")
    for number, row in enumerate((dear, cheap), 1):
        path = several.folder / row["path"]
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        assert row["madds"] <= row["target"] * several.report["input"]["madds"]
        assert inspect(path)["cost"] == {"params": row["params"], "madds": row["madds"]}
        (entry,) = json.loads(properties(path)["natonnx.provenance"])
        assert entry["edits"] == row["edits"]
        assert accuracy(path) > 0.9
        assert row["score"]["validation"] == several.report["input"]["score"]["validation"] - row["lost"]
        picked = tmp_path / f"{number}.onnx"
        arguments = ("apply", several.folder / "model.onnx", "report.json", "--pick", str(number), "-o", picked)
        code, _, stderr = tiny.natonnx(*arguments, cwd=tmp_path)
        assert code == 0, stderr
        assert inspect(picked)["cost"] == inspect(path)["cost"]
        assert accuracy(picked) < accuracy(path)  # with the weights of the input
    assert several.output.read_bytes() == (several.folder / cheap["path"]).read_bytes()
    assert several.report["edits"] == cheap["edits"]


def test_without_training_no_image_goes_into_it(several: Run, improved: Run) -> None:
    images = several.report["images"]
    assert (images["training"], images["teacher"], images["output"]) == (0, 0, 0)
    assert [row["images"] for row in several.report["front"]] == [0, 0]
    assert images["look_ups"] > 0
    images, (row,) = improved.report["images"], improved.report["front"]
    assert images["output"] == row["images"] == 400
    assert images["training"] >= 400 >= 0.6 * images["training"]
    assert images["teacher"] == pytest.approx(images["training"] / 3, abs=0.5)


def test_what_came_nearest_and_what_would_accept_it(missed: Run, folder: Path) -> None:
    front, nearest = missed.report["front"], missed.report["nearest"]
    lost = [row["lost"] for row in front]
    assert min(lost) > 0
    assert not any(row["met"] for row in front)
    assert nearest["front"] == 1 + lost.index(min(lost))
    over = round(100 * min(lost) - 0.5, 6)  # half a point is allowed, a point is a sample
    assert nearest["samples"] == math.ceil(over)
    for row in front:
        low, high = row["interval"]
        assert low < row["lost"] < high
    drop = {limit["name"]: limit for limit in missed.report["constraints"]}["lost"]
    assert drop["value"] == pytest.approx(100 * min(lost))
    assert drop["interval"] == pytest.approx([100 * end for end in front[nearest["front"] - 1]["interval"]])
    again = optimize(folder, *SPOILT, *nearest["option"].split())
    assert again.report["status"] == "improved"
    assert again.report["edits"] == front[nearest["front"] - 1]["edits"]


def test_algorithm_1_tells_its_epochs_and_the_input_fine_tuned_alike(paper: Run) -> None:
    report = paper.report
    assert report["algorithm"] == "paper"
    assert [row["epoch"] for row in report["history"]] == [1, 2]
    assert all({"epoch", "reward", "entropy", "loss"} <= row.keys() for row in report["history"])
    assert 0 <= report["finetuned_input"]["score"]["validation"] <= 1
    assert all(row["target"] is None for row in report["front"])
    assert report["images"]["output"] == 400
    assert report["images"]["training"] >= (2 + 3) * 400 - 10


def test_the_new_search_tells_no_epochs(improved: Run) -> None:
    assert improved.report["algorithm"] == "refit"
    assert (improved.report["history"], improved.report["finetuned_input"]) == ([], None)


def test_a_front_is_only_written_where_nothing_is(folder: Path) -> None:
    """Unless it is forced; then what lies there stays, but for files of the same names."""
    (folder / "front").mkdir()
    (folder / "front" / "mine.txt").write_text("mine", encoding="utf-8")
    quick = (*OPTIMIZE, "--target-madds", "0.55", "--no-training", "--front", "front")
    before = tiny.snapshot(folder)
    code, stdout, stderr = tiny.natonnx(*quick, cwd=folder)
    assert (code, stdout) == (2, "")
    assert stderr.startswith("natonnx: error: --front front: is not empty; ")
    assert tiny.snapshot(folder) == before
    found = optimize(folder, *quick, "--force")
    (row,) = found.report["front"]
    assert (folder / row["path"]).exists()
    assert (folder / "front" / "mine.txt").read_text(encoding="utf-8") == "mine"


def test_a_model_that_guesses_is_refused_unless_forced(folder: Path) -> None:
    """Its preprocessing is wrong: one line, behind the plan."""
    guessing = (*OPTIMIZE, "--target-madds", "0.55", "--no-training", "--mean", "1000")
    before = tiny.snapshot(folder)
    code, stdout, stderr = tiny.natonnx(*guessing, "-q", cwd=folder)
    assert (code, stdout) == (2, "")
    (line,) = stderr.splitlines()
    assert line.startswith("natonnx: error: model.onnx: gets ")
    assert "is the preprocessing (mean, std, scale, layout) the one that it was trained with" in line
    assert line.endswith("or --force to go on all the same")
    assert tiny.snapshot(folder) == before
    code, stdout, stderr = tiny.natonnx(*guessing, "--force", cwd=folder)
    assert code in (0, 1)
    assert json.loads(stdout)["input"]["score"]["validation"] < 0.5
    assert "natonnx: warning: model.onnx: gets " in stderr


def test_few_validation_samples_are_refused_unless_forced(folder: Path) -> None:
    few = {name: value[:300] if name.endswith("train") else value for name, value in tiny.arrays().items()}
    np.savez(folder / "data.npz", allow_pickle=False, **few)
    quick = (*OPTIMIZE, "--target-madds", "0.55", "--no-training")
    code, stdout, stderr = tiny.natonnx(*quick, cwd=folder)
    assert (code, stdout) == (2, "")
    (line,) = stderr.splitlines()
    told = "model.onnx: 60 validation samples cannot tell a loss of 5 points: give at least 100"
    assert line == f"natonnx: error: {told}; or --force to go on all the same"
    code, stdout, stderr = tiny.natonnx(*quick, "--force", cwd=folder)
    assert code in (0, 1)
    assert f"natonnx: warning: {told}\n" in stderr
    assert json.loads(stdout)["data"]["samples"]["validation"] == 60
