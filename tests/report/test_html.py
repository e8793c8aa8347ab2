"""The HTML report: what it says, that nothing in a model can break it, and that it asks the network for nothing."""

import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from natonnx.cli import main
from natonnx.contract.optimize import OptimizeReport
from natonnx.errors import InputError
from natonnx.policy.backend import Backend
from natonnx.report.environment import environment
from natonnx.report.html import check_report, html_report
from natonnx.report.html.charts import Mark, line_chart, scatter, ticks
from tests.cli import tiny
from tests.report.examples import (
    AGREEMENT,
    ENVIRONMENT,
    HOSTILE,
    POINTS,
    REWARD,
    SHOWN,
    found,
    inspected,
    made,
    model,
    stack,
)

VOID = {"meta", "link", "input", "br", "path", "rect", "circle"}
ASSETS = files("natonnx.report.html") / "assets"


class Page(HTMLParser):
    """Elements, text by element, and tables as rows of cells; refuses elements that are not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.rows: list[list[str]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "div" and dict(attrs).get("role") == "region":
            self.rows = self.tables.setdefault(str(dict(attrs)["aria-label"]), [])
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def text(self) -> str:
        return " ".join(data for tag, data in self.texts if tag not in ("script", "style"))

    def data(self) -> Any:
        texts = [data for tag, data in self.texts if tag == "script"]
        return json.loads(texts[0])


def test_a_search() -> None:
    page = Page(html_report(inspected(), ENVIRONMENT, found()))
    text = page.text()
    assert "Improved. MAdds −47.0 %, parameters −45.8 %, latency +0.0 %, validation accuracy +1.0 points." in re.sub(
        r"\s+", " ", text
    )
    rows = {row[0]: row[1:] for row in page.tables["Before and after"]}
    assert rows["MAdds a sample"] == ["78,360", "41,496", "−47.0 %", ""]
    assert rows["validation accuracy of 200 samples, %"] == ["90.0", "91.0", "+1.0 points", "90.5"]
    assert not [name for name in rows if name.startswith("test")]
    changes = {row[0]: row[1:3] for row in page.tables["Edges that changed"]}
    assert changes["one"] == ["O → N", "Conv becomes null"]
    assert changes["two"] == ["idle", "Conv carries nothing any more"]
    assert ["cost does not grow", "✓ passed", "less"] in page.tables["Checks"]
    assert ["MAdds", "41,496", "50,000", "✓ met"] in page.tables["Constraints"]
    assert page.tables["Models that were made"][1:] == [
        ["1", "0.6", "0.530", "−47.0 %", "−1.0 points", "−3.0 to +1.0", "1", "met"]
    ]
    kinds = [row[0] for row in page.tables["Candidates considered"][1:]]
    assert kinds == ["input as given", "input, trained alike", "chosen", *["scored before training"] * 2]
    assert "1 more lie below 75.0 %" in text
    assert ENVIRONMENT["command"] is not None
    assert ENVIRONMENT["command"] in text
    versions = {row[0]: row[1] for row in page.tables["Versions and settings"]}
    assert versions["onnx"] == "1.2.3"
    assert versions["dgl"] == "—"
    assert versions["seed"] == "3"
    assert versions["data"] == "set.npz (800 train, 200 validation)"
    charts = [attributes for _, attributes in page.elements if attributes.get("class") == "chart"]
    assert len(charts) == 5
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in charts)


def test_scores_have_an_interval() -> None:
    before = model(0.9, standard_error={"validation": 0.0212, "test": None})
    page = Page(html_report(inspected(), ENVIRONMENT, found(input=before)))
    rows = {row[0]: row[1:] for row in page.tables["Before and after"]}
    assert rows["validation accuracy of 200 samples, %"] == ["90.0 ± 4.2", "91.0", "+1.0 points", "90.5"]


def test_without_a_fine_tuned_input_there_is_no_column_of_it() -> None:
    page = Page(html_report(inspected(), ENVIRONMENT, found(finetuned_input=None)))
    assert page.tables["Before and after"][0] == ["", "before", "after", "change"]
    assert "fine-tuning" not in [row[0] for row in page.tables["Before and after"]]
    assert "input, trained alike" not in [row[0] for row in page.tables["Candidates considered"]]
    assert "last column" not in page.text()


def test_every_refusal_has_its_reason() -> None:
    payload = inspected()
    refused = {
        (edge["name"], f"{edge['state']} → {wanted}", reason)
        for edge in payload["edges"]
        for wanted, reason in edge["illegal"].items()
    }
    tables = Page(html_report(payload, ENVIRONMENT)).tables
    assert refused
    assert {tuple(row[:3]) for row in tables["Refusals"][1:]} == refused
    assert tables["Fixed nodes"][1][:2] == ["pool", "ReduceMean"]
    assert len(tables["All edges"]) == 1 + len(payload["edges"])
    assert "Before and after" not in tables


def test_no_architecture_was_better() -> None:
    label = "validation accuracy lost"
    limit = {"name": "drop", "label": label, "unit": POINTS, "limit": 0.0, "value": float("nan"), "met": False}
    page = Page(html_report(inspected(), ENVIRONMENT, found(output=None, edits=[], idle_edges=[], constraints=[limit])))
    assert "Unchanged." in page.text()
    assert page.tables["Constraints"][1] == [label, "no architecture found", "+0.0 points", "✗ not met"]
    assert "Edges that changed" not in page.tables
    assert "chosen" not in [row[0] for row in page.tables["Candidates considered"]]


def test_what_was_not_measured_is_left_out() -> None:
    report = found(history=[], front=[], scored=[], checks=[], constraints=[])
    for row in (report["input"], report["output"]):
        assert row is not None
        row.update({"madds": None, "latency_ms": None, "score": {"validation": 0.5, "test": None}})
    payload = inspected()
    payload["cost"]["madds"] = None
    page = Page(html_report(payload, ENVIRONMENT, report))
    rows = {row[0]: row[1:] for row in page.tables["Before and after"]}
    assert rows["MAdds a sample"] == ["—", "—", "", ""]
    assert not re.search(r"\b(None|nan|inf)\b", page.text())
    assert "Learning curves" not in page.text()
    assert "Models that were made" not in page.text()


def test_agreement_has_a_row_an_output() -> None:
    before = model(1.0, outputs={"validation": {"logits": 1.0, HOSTILE: 1.0}, "test": None})
    after = model(0.97, outputs={"validation": {"logits": 0.98, HOSTILE: 0.96}, "test": None})
    tuned = model(0.99, outputs={"validation": {"logits": 0.995, HOSTILE: 0.985}, "test": None})
    report = found(objective=AGREEMENT, input=before, output=after, finetuned_input=tuned)
    page = Page(html_report(inspected(), ENVIRONMENT, report))
    rows = {row[0]: row[1:] for row in page.tables["Before and after"]}
    assert rows["validation agreement of 200 samples, %"] == ["100.0", "97.0", "−3.0 points", "99.0"]
    assert rows["validation top-1 agreement of logits of 200 samples, %"] == ["100.0", "98.0", "−2.0 points", "99.5"]
    assert rows[f"validation cosine of {SHOWN} of 200 samples, %"] == ["100.0", "96.0", "−4.0 points", "98.5"]
    assert "validation agreement −3.0 points." in re.sub(r"\s+", " ", page.text())
    assert "accuracy" not in page.text()


def test_the_users_own_reward() -> None:
    """In its own unit; and in the chart is also what lies far below, there being no points."""
    front = [made(-12.5, lost=-0.5, interval=None)]
    scored = [{**found()["scored"][0], "score": {"validation": -1e6, "test": None}}]
    report = found(
        objective=REWARD,
        input=model(-13.0),
        output=model(-12.5),
        finetuned_input=model(-12.75),
        front=front,
        scored=scored,
    )
    page = Page(html_report(inspected(), ENVIRONMENT, report))
    rows = {row[0]: row[1:] for row in page.tables["Before and after"]}
    assert rows["validation reward of 200 samples"] == ["−13", "−12.5", "+0.5", "−12.75"]
    assert "more lie below" not in page.text()
    assert page.tables["Candidates considered"][0][4] == "validation"
    assert page.tables["Models that were made"][1][4:6] == ["−0.5", ""]
    assert [row[4] for row in page.tables["Candidates considered"][1:]] == ["−13", "−12.75", "−12.5", "−1e+06"]


def test_the_page_carries_the_payloads() -> None:
    data = Page(html_report(inspected(), ENVIRONMENT, found())).data()
    assert data["inspection"] == inspected()
    assert data["environment"] == ENVIRONMENT
    assert data["optimization"]["history"][1]["reward"] is None


@pytest.mark.parametrize("optimization", [None, found(HOSTILE)], ids=["inspect", "optimize"])
def test_names_are_text(optimization: OptimizeReport | None) -> None:
    harmless = html_report(inspected(), ENVIRONMENT, None if optimization is None else found())
    payload = inspected({"one": HOSTILE, "x": f"x{HOSTILE}"})
    payload["model"]["path"] = HOSTILE.replace("/", "")
    payload["opaque"][0]["op_type"] = HOSTILE
    page = html_report(payload, {**ENVIRONMENT, "command": HOSTILE}, optimization)
    assert "<script>alert" not in page
    assert "<!--" not in page
    parsed = Page(page)
    assert [tag for tag, _ in parsed.elements] == [tag for tag, _ in Page(harmless).elements]
    assert not [key for _, attributes in parsed.elements for key in attributes if key.startswith("on")]
    assert SHOWN in [row[0] for row in parsed.tables["All edges"]]
    assert SHOWN in [edge["name"] for edge in parsed.data()["inspection"]["edges"]]


def test_nothing_is_loaded() -> None:
    page = html_report(inspected(), ENVIRONMENT, found())
    for tag, attributes in Page(page).elements:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,")), (tag, attributes)
    assert not re.search(r"@import|@font-face|url\(\s*[\"']?(?!#)|sourceMappingURL", page)
    assert not re.search(r"\bfetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|\bimport\(", page)
    assert "default-src 'none'" in page
    assert set(re.findall(r"https?://[^\s\"'`<]+", page)) == {"http://www.w3.org/2000/svg"}


def test_the_policy_names_each_script() -> None:
    page = Page(html_report(inspected(), ENVIRONMENT))
    (policy,) = (a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    scripts = [a for tag, a in page.elements if tag == "script" and "type" not in a]
    assert policy is not None
    assert policy.count("'sha256-") == len(scripts) == 4
    assert "unsafe" not in policy.split("script-src")[1]


def test_the_layout_library_comes_with_its_licence() -> None:
    assert "Permission is hereby granted" in (ASSETS / "dagre.LICENSE.txt").read_text(encoding="utf-8")
    (version,) = re.findall(r"@dagrejs/dagre (\d+\.\d+\.\d+)", (ASSETS / "dagre.README.md").read_text(encoding="utf-8"))
    assert f'"{version}"' in (ASSETS / "dagre.min.js").read_text(encoding="utf-8")


def test_tables_and_sections_are_accessible() -> None:
    page = Page(html_report(inspected(), ENVIRONMENT, found()))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    anchors = [str(a["href"])[1:] for tag, a in page.elements if tag == "a"]
    assert set(anchors) <= set(ids)
    assert all("scope" in attributes for tag, attributes in page.elements if tag == "th")
    tags = [tag for tag, _ in page.elements]
    assert tags.count("caption") == tags.count("table")
    assert tags.count("h1") == 1
    style = (ASSETS / "page.css").read_text(encoding="utf-8")
    for query in ("prefers-color-scheme: dark", "prefers-reduced-motion", "print"):
        assert f"@media {query}" in style or f"@media ({query}" in style


def _luminance(colour: str) -> float:
    digits = colour if len(colour) == 7 else "#" + "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_contrast(scheme: int) -> None:
    """WCAG 2.2: 4.5 for text (1.4.3), 3 for what must be seen to understand a graphic (1.4.11)."""
    blocks = re.findall(r":root \{(.*?)\}", (ASSETS / "page.css").read_text(encoding="utf-8"), re.DOTALL)
    colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]+)", blocks[scheme]))

    def contrast(one: str, two: str) -> float:
        low, high = sorted((_luminance(colours[one]), _luminance(colours[two])))
        return (high + 0.05) / (low + 0.05)

    text = [(name, back) for name in ("text", "quiet", "link", "yes", "no") for back in ("page", "panel")]
    text += [("text", back) for back in ("halo", "better", "same", "box")] + [("quiet", "box")]
    lines = [(name, "panel") for name in ("o", "s", "n", "fixed", "change", "focus")]
    assert {pair: contrast(*pair) for pair in text if contrast(*pair) < 4.5} == {}
    assert {pair: contrast(*pair) for pair in lines if contrast(*pair) < 3} == {}


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0)),
        (3e7, 3.2e7, (3e7, 3.05e7, 3.1e7, 3.15e7, 3.2e7)),
        (-1.1, 0.9, (-1, -0.5, 0, 0.5)),
    ],
)
def test_ticks(low: float, high: float, expected: tuple[float, ...]) -> None:
    assert ticks(low, high, 4) == pytest.approx(expected)


def test_charts_of_little() -> None:
    assert line_chart("nothing", [1, 2], [None, None], str) == ""
    assert line_chart("one", [7], [0.0], str).count("<circle") == 1
    assert 'd="M' in line_chart("gap", [1, 2, 3], [1.0, None, 2.0], str)
    assert scatter([Mark(1.0, 1.0, "given", "<")], ("x", "y"), (str, str), None).count("&lt;") == 1


def test_a_report_replaces_reports_only(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    check_report(path)
    path.write_text(html_report(inspected({"one": HOSTILE}), ENVIRONMENT), encoding="utf-8")
    check_report(path)
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="natonnx did not write it"):
        check_report(path)
    with pytest.raises(InputError, match="is also the model"):
        check_report(tmp_path / "a" / ".." / "model.onnx", tmp_path / "model.onnx")
    with pytest.raises(InputError, match="is a folder"):
        check_report(tmp_path)


def test_inspect_writes_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "report.html"
    model = str(tiny.ROOT / "models" / "vgg-fashion.onnx")
    with pytest.raises(SystemExit) as stopped:
        main(["inspect", model, "--json", "--html", str(path)])
    assert stopped.value.code == 0
    data = Page(path.read_text(encoding="utf-8")).data()
    assert data["inspection"] == json.loads(capsys.readouterr().out)
    assert data["environment"]["command"] == f"natonnx inspect {model} --json --html {path}"


def test_bad_paths_are_told_before_anything_else(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tiny.snapshot(folder)
    for command in ("inspect", "optimize"):
        for path in ("model.onnx", "data.npz", "nowhere/report.html"):
            with pytest.raises(SystemExit) as stopped:
                main([command, str(folder / "model.onnx"), "--html", str(folder / path)])
            stdout, stderr = capsys.readouterr()
            assert stopped.value.code == 2
            assert stdout == ""
            assert stderr.count("\n") == 1
            assert "--html" in stderr or "create it first" in stderr
    assert tiny.snapshot(folder) == before


def test_environment_names_what_runs() -> None:
    made = environment(["inspect", "a b.onnx"])
    assert made["command"] == "natonnx inspect 'a b.onnx'"
    assert made["versions"].keys() == {"natonnx", "onnx", "onnxruntime", "torch", "dgl", "python"}
    assert {name for name, version in made["versions"].items() if version is None} <= {"dgl"}
    assert environment(messages=Backend("torch", "as asked"))["versions"]["messages"] == "torch (as asked)"


def test_a_thousand_edges_are_a_page_of_moderate_size() -> None:
    payload = stack(250)
    assert len(payload["edges"]) == 999
    assert len(html_report(payload, ENVIRONMENT)) < 1_500_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.fill(tmp_path)


@pytest.mark.parametrize("sign", ["\x1b", "\x9b", "\u202e", "\u2066", "\u200f", "\u061c", "\u200b", "\ufeff"])
def test_control_and_bidi_characters_are_written_out(sign: str) -> None:
    name = f"a{sign}b"
    payload = inspected({"one": name, "x": f"x{name}"})
    payload["model"]["path"] = name
    page = html_report(payload, {**ENVIRONMENT, "command": name}, found(name))
    assert sign not in page
    assert f"a{sign.encode('unicode_escape').decode()}b" in Page(page).text()
