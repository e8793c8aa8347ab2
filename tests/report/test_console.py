"""Tables for people."""

import io
import re
from typing import Any

import pytest
from rich.console import Console

from natonnx.contract.inspect import inspection
from natonnx.contract.optimize import ModelRow, OptimizeReport
from natonnx.frontend import parse
from natonnx.report.console import show_inspection, show_optimization
from tests.cli import tiny
from tests.report.examples import AGREEMENT, HOSTILE, POINTS, REWARD, found, made, model, quality


def row(validation: float = 0.9, test: float | None = 0.88, **changed: Any) -> ModelRow:
    return model(validation, test, **{"params": 2000, "madds": 1_000_000, **changed})


def report(**changed: Any) -> OptimizeReport:
    after = row(0.91, 0.87, path="out[1].onnx", params=1000, madds=600_000, latency_ms=1.5)
    edits = [{"edge": "block[0].conv", "from": "O", "to": "S"}]
    limit = {"name": "madds", "label": "MAdds", "unit": None, "limit": 700_000.0, "value": 600_000.0, "met": True}
    data = {"name": "x", "samples": {"train": 800, "validation": 200, "test": 1000}, "notes": []}
    given = {"input": row(), "output": after, "edits": edits, "constraints": [limit]}
    return found(**{**given, "data": data, "finetuned_input": quality(0.9, 0.885), **changed})


def shown(payload: OptimizeReport, width: int = 100) -> str:
    stream = io.StringIO()
    show_optimization(Console(file=stream, width=width), payload)
    return stream.getvalue()


def quantities(text: str) -> dict[str, list[str]]:
    """The cells of each line that are not empty, by the first one; two spaces at least lie between them."""
    lines = [re.split(r" {2,}", line.strip()) for line in text.splitlines()]
    return {label: cells for label, *cells in lines}


def test_improved() -> None:
    text = shown(report())
    lines = quantities(text)
    assert lines["parameters"] == ["2,000", "1,000", "-50.0 %"]
    assert lines["MAdds"] == ["1,000,000", "600,000", "-40.0 %"]
    assert lines["latency (ms, 1 thread)"] == ["2.000", "1.500", "-25.0 %"]
    assert lines["validation accuracy of 200 (%)"] == ["90.0", "91.0", "+1.0 points"]
    assert lines["test accuracy of 1,000 (%)"] == ["88.0", "87.0", "-1.0 points"]
    assert "O → S  block[0].conv" in text
    assert "MAdds: 600,000, at most 700,000: met" in text
    assert "fine-tuned by the same budget: test accuracy 88.5 %" in text
    assert "improved: out[1].onnx (12 s)" in text


def test_unchanged() -> None:
    label = "validation accuracy lost"
    limit = {"name": "drop", "label": label, "unit": POINTS, "limit": 0.0, "value": 3.5, "met": False}
    text = shown(report(status="unchanged", output=None, edits=[], constraints=[limit]))
    lines = quantities(text)
    assert lines["parameters"] == ["2,000"]
    assert lines["test accuracy of 1,000 (%)"] == ["88.0"]
    assert "validation accuracy lost: +3.5 points, at most +0.0 points: not met" in text
    assert "unchanged: no architecture met every constraint" in text
    assert "improved" not in text
    assert "came nearest" not in text


def test_scores_have_an_interval_and_the_number_of_samples() -> None:
    """1.96 standard errors on either side; the original agrees with itself without any."""
    error = (0.9 * 0.1 / 200) ** 0.5
    before = row(standard_error={"validation": error, "test": 0.0})
    lines = quantities(shown(report(input=before)))
    assert lines["validation accuracy of 200 (%)"] == ["90.0 ± 4.2", "91.0", "+1.0 points"]
    assert lines["test accuracy of 1,000 (%)"] == ["88.0", "87.0", "-1.0 points"]
    data = {"name": "x", "samples": {"train": None, "validation": None, "test": 10}, "notes": []}
    lines = quantities(shown(report(input=before, data=data)))
    assert "validation accuracy (%)" in lines
    assert "test accuracy of 10 (%)" in lines


FRONT = [
    made(0.895, target=0.8, share=0.75, madds=750_000),
    made(0.85, target=0.5, share=0.45, madds=450_000, met=False, interval=None, edits=[]),
]


def table(text: str) -> list[list[str]]:
    """The cells of the table of models; two spaces at least lie between them."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("model"))
    return [re.split(r" {2,}", line.strip()) for line in lines[start : start + 3]]


def test_the_front_is_a_table_where_it_says_more_than_the_result() -> None:
    rows = table(shown(report(front=FRONT)))
    assert rows == [
        ["model", "target", "cost", "MAdds", "validation lost", "95 % interval", "edits", "limits"],
        ["1", "0.8", "0.750", "-25.0 %", "+0.5 points", "-1.5 to +2.5", "1", "met"],
        ["2", "0.5", "0.450", "-55.0 %", "+5.0 points", "0", "not met"],
    ]
    assert "95 % interval" not in shown(report(front=FRONT[:1]))
    assert "95 % interval" in shown(report(front=FRONT[1:], output=None, edits=[]))


def test_what_came_nearest() -> None:
    nearest = {"front": 2, "samples": 9.0, "option": "--max-drop 5"}
    text = shown(report(output=None, edits=[], front=FRONT, nearest=nearest), 200)
    told = "number 2 of the models that were made came nearest"
    assert f"  {told}, by 9 validation samples; --max-drop 5 would accept it\n" in text
    text = shown(report(output=None, front=FRONT, nearest={**nearest, "samples": None, "option": None}), 200)
    assert f"  {told}\n" in text
    assert "came nearest" not in shown(report(front=FRONT))


def test_where_the_images_went() -> None:
    images = {"look_ups": 1234.0, "training": 100_000.0, "teacher": 33_333.0, "output": 75_000.0}
    more = "the teacher's took 33,333 more, look-ups 1,234"
    text = shown(report(images=images), 200)
    assert f"  100,000 training images, 75 % of them into the model that is written; {more}\n" in text
    text = shown(report(images={**images, "output": None}, output=None), 200)
    assert f"  100,000 training images; {more}\n" in text
    assert "training images" not in shown(report(images={**images, "training": 0.0}), 200)


def test_without_a_fine_tuned_input() -> None:
    assert "fine-tuned" not in shown(report(finetuned_input=None))


def test_what_was_not_measured_is_left_out() -> None:
    before = row(test=None, madds=None, latency_ms=None)
    text = shown(report(input=before, output=before, finetuned_input=before))
    lines = quantities(text)
    assert lines["MAdds"] == ["unknown", "unknown"]
    assert lines["latency (ms, 1 thread)"] == []
    assert "test accuracy" not in text
    assert "fine-tuned by the same budget: validation accuracy 90.0 %" in text
    assert "None" not in text
    assert "nan" not in text


@pytest.mark.parametrize("width", [40, 80, 200])
def test_any_width_and_no_colour_where_it_is_no_terminal(width: int) -> None:
    text = shown(report(front=FRONT), width)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= width


def test_inspection() -> None:
    made = tiny.model()
    for node in made.graph.node:
        for names in (node.input, node.output):
            names[:] = ["x[bold]" if name == "x" else name for name in names]
    payload = inspection(parse(made), "odd[red].onnx")
    stream = io.StringIO()
    show_inspection(Console(file=stream, width=200), payload)
    text = stream.getvalue()
    assert "odd[red].onnx  opset 17, IR 8" in text
    assert "image → x[bold]" in text
    assert "input image: float [batch, 1, 8, 8]" in text
    (stem,) = (line.split() for line in text.splitlines() if line.startswith("stem "))
    assert stem[4:8] == ["O", "Conv", "4,608", "S"]
    assert "fixed: pool (ReduceMean): " in text


def test_a_batch_that_does_not_lead_is_told_of() -> None:
    payload = inspection(parse(tiny.model()), "model.onnx")
    payload["model"]["inputs"].append({"name": "h", "dtype": "float", "shape": [2, "N", 8], "batch_axis": 1})
    payload["model"]["inputs"].append({"name": "sr", "dtype": "int64", "shape": [], "batch_axis": None})
    stream = io.StringIO()
    show_inspection(Console(file=stream, width=200), payload)
    lines = [line.strip() for line in stream.getvalue().splitlines()]
    assert "input image: float [batch, 1, 8, 8]" in lines
    assert "input h: float [2, N, 8], batch on axis 1" in lines
    assert "input sr: int64 [], no batch axis" in lines


def test_inspection_of_unknown_shapes() -> None:
    payload = inspection(parse(tiny.model()), "model.onnx")
    payload["model"]["inputs"][0]["shape"] = None
    payload["model"]["outputs"][0]["shape"] = ["batch", None]
    payload["cost"]["madds"] = None
    payload["opaque"][0]["op_type"] = "Odd[red]"
    stream = io.StringIO()
    show_inspection(Console(file=stream, width=200), payload)
    text = stream.getvalue()
    assert "input image: float ?" in text
    assert "output scores: float [batch, ?]" in text
    assert "unknown MAdds a sample" in text
    assert "MAdds depend on sizes of image that the file leaves open; give --input-shape image:..." in text
    assert "(Odd[red])" in text
    payload["model"]["inputs"][0]["shape"] = ["batch", 3, "height", None]
    show_inspection(Console(file=stream, width=200), payload)
    assert "give --input-shape image:batch,3,height,?" in stream.getvalue()
    payload["model"]["inputs"][0]["shape"] = ["batch", 3, 8, 8]
    show_inspection(Console(file=stream, width=200), payload)
    assert "MAdds depend on sizes within that are not known before the model runs" in stream.getvalue()


def test_the_users_own_reward_has_its_own_unit() -> None:
    limit = {
        "name": "drop",
        "label": "reward lost",
        "unit": REWARD["unit"],
        "limit": 0.0,
        "value": -0.00125,
        "met": True,
    }
    before, after = row(12.5, None), row(12.50125, None)
    text = shown(
        report(objective=REWARD, input=before, output=after, constraints=[limit], finetuned_input=row(12.25, None))
    )
    assert quantities(text)["validation reward of 200"] == ["12.5", "12.5", "+0.00125"]
    assert "reward lost: -0.00125, at most +0: met" in text
    assert "fine-tuned by the same budget: validation reward 12.25\n" in text
    assert "%" not in text.split("validation reward")[1]
    text = shown(report(objective=REWARD, input=before, output=None, finetuned_input=before))
    assert quantities(text)["validation reward of 200"] == ["12.5"]
    assert "reward" not in shown(report())


def test_agreement_has_a_line_an_output() -> None:
    """Every output that was judged, by its own measure; also where the test split has none of it."""
    before = row(1.0, 1.0, outputs={"validation": {"logits": 1.0, HOSTILE: 1.0}, "test": {"logits": 1.0}})
    after = row(0.97, 0.96, outputs={"validation": {"logits": 0.98, HOSTILE: 0.96}, "test": {"logits": 0.955}})
    text = shown(report(objective=AGREEMENT, input=before, output=after), 200)
    name = HOSTILE.replace("\u2028", "\\u2028")
    parts = [line.partition(" (%)") for line in text.splitlines() if " (%)" in line]
    lines = {label: cells.split() for label, _, cells in parts}
    assert lines == {
        "validation agreement of 200": ["100.0", "97.0", "-3.0", "points"],
        "validation top-1 agreement of logits of 200": ["100.0", "98.0", "-2.0", "points"],
        f"validation cosine of {name} of 200": ["100.0", "96.0", "-4.0", "points"],
        "test agreement of 1,000": ["100.0", "96.0", "-4.0", "points"],
        "test top-1 agreement of logits of 1,000": ["100.0", "95.5", "-4.5", "points"],
    }
    assert "fine-tuned by the same budget: test agreement 88.5 %" in text
    assert "accuracy" not in text


def test_what_agreement_means_of_a_single_output() -> None:
    single = {**AGREEMENT, "outputs": [{"name": "embedding[0]", "measure": "cosine"}]}
    text = shown(report(objective=single))
    assert "  agreement is the cosine of embedding[0]\n" in text
    assert "cosine of embedding[0] (%)" not in text


def test_notes_on_the_data() -> None:
    data = {"name": "x", "samples": {"train": 1, "validation": 1, "test": None}, "notes": ["resized [32x32] to 28x28"]}
    assert "  resized [32x32] to 28x28\n" in shown(report(data=data))
