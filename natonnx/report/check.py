"""What `natonnx check` found: lines for people, Markdown for a job summary, JUnit XML for a test report."""

import re
from typing import Literal
from xml.etree import ElementTree as ET

from natonnx.contract.check import CheckReport, GateRow
from natonnx.report.markdown import cell, code, table
from natonnx.report.text import all_visible

__all__ = ["JUNIT_MARK", "TITLE", "junit_xml", "lines", "markdown"]

TITLE = "## natonnx check"
JUNIT_MARK = 'name="natonnx check"'
"""What the reports begin with."""

_COLUMNS = ("gate", "value", "limit", "state", "detail")
_MODELS: tuple[Literal["model", "baseline", "baseline_report"], ...] = ("model", "baseline", "baseline_report")
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def lines(payload: CheckReport) -> list[str]:
    """One line a gate."""
    several = _on_several(payload)
    return [f"{gate['state']:<9}  {_sentence(gate, several)}: {gate['detail']}" for gate in payload["gates"]]


def markdown(payload: CheckReport) -> str:
    """A heading and a table, one row a gate."""
    payload = all_visible(payload)
    heading = f"{TITLE}: {payload['status']}"
    others = [code(other) for other in (payload["baseline_report"], payload["baseline"]) if other is not None]
    models = f"{code(payload['model'])} against {', with '.join(others)}"
    several = _on_several(payload)
    rows = (_row(gate, several) for gate in payload["gates"])
    return "\n\n".join((heading, models, table(_COLUMNS, rows))) + "\n"


def junit_xml(payload: CheckReport) -> bytes:
    """One test case a gate: one that is failed is a failure, one that is undecided an error, as it was not judged."""
    payload = all_visible(payload)
    gates, several = payload["gates"], _on_several(payload)
    states = [gate["state"] for gate in gates]
    counts = {
        "name": "natonnx check",
        "tests": str(len(gates)),
        "failures": str(states.count("failed")),
        "errors": str(states.count("undecided")),
        "skipped": "0",
    }
    root = ET.Element("testsuites", counts)
    suite = ET.SubElement(root, "testsuite", counts)
    properties = ET.SubElement(suite, "properties")
    for key in _MODELS:
        if (path := payload[key]) is not None:
            ET.SubElement(properties, "property", name=key, value=_legal(path))
    for gate in gates:
        name = f"{gate['name']} on {gate['provider']}" if several and gate["provider"] else gate["name"]
        case = ET.SubElement(suite, "testcase", classname=_legal(payload["model"]), name=name)
        if gate["state"] == "met":
            ET.SubElement(case, "system-out").text = _legal(f"{_sentence(gate, several)}: {gate['detail']}")
        else:
            kind = "failure" if gate["state"] == "failed" else "error"
            told = ET.SubElement(case, kind, type=gate["state"], message=_legal(_sentence(gate, several)))
            told.text = _legal(gate["detail"])
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _on_several(payload: CheckReport) -> bool:
    """Whether models were run on several providers, so that gates have to be told apart."""
    return len({gate["provider"] for gate in payload["gates"]} - {None}) > 1


def _row(gate: GateRow, several: bool) -> tuple[str, ...]:
    state = gate["state"] if gate["state"] == "met" else f"**{gate['state']}**"
    limit = f"{_bound(gate)} {_number(gate, gate['limit'])}"
    return cell(_label(gate, several)), _number(gate, gate["value"]), limit, state, cell(gate["detail"])


def _sentence(gate: GateRow, several: bool) -> str:
    value, limit = _number(gate, gate["value"]), _number(gate, gate["limit"])
    return f"{_label(gate, several)} {value}, {_bound(gate)} {limit}"


def _label(gate: GateRow, several: bool) -> str:
    return f"{gate['label']} on {gate['provider']}" if several and gate["provider"] else gate["label"]


def _bound(gate: GateRow) -> str:
    return "at least" if gate["at_least"] else "at most"


def _number(gate: GateRow, value: float | None) -> str:
    """With as many digits as tell it from the limit, three at least; a difference has its sign and unit."""
    if value is None:
        return "unknown"
    sign, scale, unit = ("", 1.0, "") if gate["unit"] is None else ("+", gate["unit"]["scale"], gate["unit"]["symbol"])
    for digits in range(3, 12):
        numbers = (value if gate["value"] is None else gate["value"], gate["limit"], value)
        found, limit, text = (f"{scale * one:{sign}.{digits}f}" for one in numbers)
        if numbers[0] == numbers[1] or found != limit:
            break
    return f"{text} {unit}".rstrip()


def _legal(text: str) -> str:
    """Without what XML cannot hold: control characters, and bytes of a file name that are no text."""
    return _NOT_XML.sub("?", text)
