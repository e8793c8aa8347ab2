"""The summary of `natonnx optimize` in Markdown."""

from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from natonnx.cli import main
from natonnx.contract.optimize import OptimizeReport
from natonnx.errors import InputError
from natonnx.report.markdown import check_summary, optimization, table
from tests.report.examples import AGREEMENT, HOSTILE, POINTS, SHOWN, found, made
from tests.report.test_console import FRONT, report, row


def payload(**changed: Any) -> OptimizeReport:
    return report(**changed)


def test_improved() -> None:
    text = optimization(payload())
    lines = text.splitlines()
    assert lines[0] == "## natonnx optimize: improved"
    assert (
        lines[2]
        == "`model.onnx` became `out[1].onnx`, 12 s, algorithm refit, learner gcn-directed, protocol fine-tuned, seed 3"
    )
    start = lines.index("|  | before | after | change |")
    assert lines[start + 1] == "| --- | --: | --: | --: |"
    assert lines[start + 2 : start + 8] == [
        "| parameters | 2,000 | 1,000 | -50.0 % |",
        "| MAdds | 1,000,000 | 600,000 | -40.0 % |",
        "| size (bytes) | 9,000 | 9,000 | +0.0 % |",
        "| latency (ms, 1 thread) | 2.000 | 1.500 | -25.0 % |",
        "| validation accuracy of 200 (%) | 90.0 | 91.0 | +1.0 points |",
        "| test accuracy of 1,000 (%) | 88.0 | 87.0 | -1.0 points |",
    ]
    assert "| MAdds | 600,000 | at most 700,000 | met |" in lines
    assert "- the input itself, fine-tuned by the same budget: test accuracy 88.5 %" in lines
    assert not any("from scratch" in line for line in lines)
    assert "<details><summary>Edits: 1</summary>" in lines
    assert "| `block[0].conv` | O → S |" in lines
    assert "- 2,400 training images, 80 % of them into the model that is written; the teacher's took 800 more," in text
    assert "95 % interval" not in text


def test_unchanged() -> None:
    label = "validation accuracy lost"
    limit = {"name": "drop", "label": label, "unit": POINTS, "limit": 0.0, "value": float("inf"), "met": False}
    text = optimization(payload(status="unchanged", output=None, edits=[], constraints=[limit]))
    assert text.startswith("## natonnx optimize: unchanged\n\n`model.onnx`, 12 s")
    assert "the input model stands, nothing was written" in text
    assert "| parameters | 2,000 |  |  |" in text
    assert "| validation accuracy lost | no architecture found | at most +0.0 points | **not met** |" in text
    assert "<details>" not in text


def test_the_front_is_a_table_for_a_parser_that_is_not_ours() -> None:
    """Where there are several models, or where none of them is the result."""
    text = optimization(payload(front=FRONT, nearest={"front": 2, "samples": 9.0, "option": "--max-drop 5"}))
    cells = [token.content for token in MarkdownIt("commonmark").enable("table").parse(text) if token.type == "inline"]
    start = cells.index("model")
    assert cells[start : start + 8] == [
        "model",
        "target",
        "cost",
        "MAdds",
        "validation lost",
        "95 % interval",
        "edits",
        "limits",
    ]
    assert cells[start + 8 : start + 16] == ["1", "0.8", "0.750", "-25.0 %", "+0.5 points", "-1.5 to +2.5", "1", "met"]
    assert cells[start + 16 : start + 24] == ["2", "0.5", "0.450", "-55.0 %", "+5.0 points", "", "0", "not met"]
    assert "by 9 validation samples; --max-drop 5 would accept it" in text
    assert "95 % interval" in optimization(payload(front=FRONT[:1], output=None, edits=[]))


def test_what_was_not_measured_is_left_out() -> None:
    before = row(test=None, madds=None, latency_ms=None)
    text = optimization(payload(input=before, output=before, finetuned_input=before))
    assert "| MAdds | unknown | unknown |  |" in text
    assert "test accuracy" not in text
    assert "None" not in text


@pytest.mark.parametrize("name", ["a|b`c", "a\\|b", HOSTILE, "*a* _b_ <b>", "[x](y)", "&lt;"])
def test_an_outputs_name_is_text_for_a_parser_that_is_not_ours(name: str) -> None:
    objective = {**AGREEMENT, "outputs": [{"name": name, "measure": "cosine"}] * 2}
    before = row(outputs={"validation": {name: 1.0}, "test": None})
    shown_name = name.replace(HOSTILE, SHOWN)
    text = optimization(payload(objective=objective, input=before))
    cells = [token for token in MarkdownIt("commonmark").enable("table").parse(text) if token.type == "inline"]
    shown = ["".join(part.content for part in cell.children or () if part.type == "text") for cell in cells]
    assert f"validation cosine of {shown_name} of 200 (%)" in shown


@pytest.mark.parametrize("name", ["a|b`c\nd\r\n", "a\\|b", HOSTILE, "*a* _b_ <b>", " ", "`"])
def test_a_name_is_one_cell_for_a_parser_that_is_not_ours(name: str) -> None:
    text = optimization(payload(edits=[{"edge": name, "from": "O", "to": "N"}]))
    cells = [token for token in MarkdownIt("commonmark").enable("table").parse(text) if token.type == "inline"]
    (position,) = [place for place, cell in enumerate(cells) if cell.content == "O → N"]
    (part,) = cells[position - 1].children or []
    assert part.type == "code_inline"
    written = name.replace("`", "'").replace("\n", "\\n").replace("\r", "\\r").replace(HOSTILE, SHOWN)
    assert part.content.strip() == written.strip()


def test_notes_are_text() -> None:
    text = optimization(payload(without_gradient=["<b>"]))
    assert "- run by onnxruntime, so that what only leads there was not trained: &lt;b&gt;" in text


def test_tables_are_rectangular() -> None:
    lines = table(("a", "b"), [("1", "2"), ("3", "4")], numbers=True).splitlines()
    assert lines == ["| a | b |", "| --- | --: |", "| 1 | 2 |", "| 3 | 4 |"]


def test_only_a_summary_is_overwritten(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine.md", tmp_path / "other.md"
    mine.write_text(optimization(payload()), encoding="utf-8")
    other.write_text("# Read me\n", encoding="utf-8")
    check_summary(mine)
    with pytest.raises(InputError, match="natonnx did not write it; choose another --markdown"):
        check_summary(other)
    with pytest.raises(InputError, match="is also the model, or another output"):
        check_summary(mine, tmp_path / "model.onnx", tmp_path / "." / "mine.md")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--markdown", "model.onnx"], "model.onnx: is also the model"),
        (["--markdown", "model.nat.onnx"], "is also the model"),
        (["--markdown", "r", "--html", "r"], "r: is also the model, or another output"),
        (["--markdown", "r", "--sync-navigation", "./r"], "r: is also the model, or another output"),
        (["--markdown", "nowhere/r.md"], "create it first"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_places(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["optimize", "model.onnx", *options])
    assert stopped.value.code == 2
    assert says in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("sign", ["\x1b", "\x07", "\x9b", "\u202e", "\u2066", "\u200f", "\u061c", "\u200b", "\ufeff"])
def test_control_and_bidi_characters_are_written_out(sign: str) -> None:
    name = f"a{sign}[31mb"
    before = {**row(outputs={"validation": {name: 1.0}, "test": None}), "path": name}
    objective = {**AGREEMENT, "outputs": [{"name": name, "measure": "cosine"}] * 2}
    edits = [{"edge": name, "from": "O", "to": "N"}]
    text = optimization(payload(objective=objective, input=before, edits=edits, without_gradient=[name]))
    assert sign not in text
    escaped = sign.encode("unicode_escape").decode()
    assert f"`a{escaped}[31mb`" in text


def test_from_scratch_each_model_is_held_against_the_input_trained_alike() -> None:
    front = [made(behind=0.012, behind_interval=(-0.004, 0.028)), made(behind=-0.02, behind_interval=None)]
    text = optimization(found(protocol="scratch", front=front))
    assert "protocol scratch" in text
    assert "- the input itself, trained from scratch by the same budget: validation accuracy 90.5 %\n" in text
    assert (
        "- number 1, from scratch: validation accuracy lost to that input +1.2 points (95 % interval -0.4 points to "
        "+2.8 points)\n- number 2, from scratch: validation accuracy lost to that input -2.0 points\n" in text
    )
