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
_MODELS: tuple[Literal["model", "baseline"], ...] = ("model", "baseline")
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def lines(payload: CheckReport) -> list[str]:
    """One line a gate."""
    return [f"{gate['state']:<9}  {_sentence(gate)}: {gate['detail']}" for gate in payload["gates"]]


def markdown(payload: CheckReport) -> str:
    """A heading and a table, one row a gate."""
    payload = all_visible(payload)
    heading = f"{TITLE}: {payload['status']}"
    models = f"{code(payload['model'])} against {code(payload['baseline'])}"
    return "\n\n".join((heading, models, table(_COLUMNS, map(_row, payload["gates"])))) + "\n"


def junit_xml(payload: CheckReport) -> bytes:
    """One test case a gate; one that is failed or undecided is a failure."""
    payload = all_visible(payload)
    gates = payload["gates"]
    failures = str(sum(gate["state"] != "met" for gate in gates))
    counts = {"name": "natonnx check", "tests": str(len(gates)), "failures": failures, "errors": "0", "skipped": "0"}
    root = ET.Element("testsuites", counts)
    suite = ET.SubElement(root, "testsuite", counts)
    properties = ET.SubElement(suite, "properties")
    for key in _MODELS:
        ET.SubElement(properties, "property", name=key, value=_legal(payload[key]))
    for gate in gates:
        case = ET.SubElement(suite, "testcase", classname=_legal(payload["model"]), name=gate["name"])
        if gate["state"] == "met":
            ET.SubElement(case, "system-out").text = _legal(f"{_sentence(gate)}: {gate['detail']}")
        else:
            failure = ET.SubElement(case, "failure", type=gate["state"], message=_legal(_sentence(gate)))
            failure.text = _legal(gate["detail"])
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _row(gate: GateRow) -> tuple[str, ...]:
    state = gate["state"] if gate["state"] == "met" else f"**{gate['state']}**"
    limit = f"{_bound(gate)} {_number(gate, gate['limit'])}"
    return cell(gate["label"]), _number(gate, gate["value"]), limit, state, cell(gate["detail"])


def _sentence(gate: GateRow) -> str:
    return f"{gate['label']} {_number(gate, gate['value'])}, {_bound(gate)} {_number(gate, gate['limit'])}"


def _bound(gate: GateRow) -> str:
    return "at least" if gate["at_least"] else "at most"


def _number(gate: GateRow, value: float) -> str:
    """With as many digits as tell it from the limit, three at least; a difference has its sign and unit."""
    sign, scale, unit = ("", 1.0, "") if gate["unit"] is None else ("+", gate["unit"]["scale"], gate["unit"]["symbol"])
    for digits in range(3, 12):
        found, limit, text = (f"{scale * one:{sign}.{digits}f}" for one in (gate["value"], gate["limit"], value))
        if gate["value"] == gate["limit"] or found != limit:
            break
    return f"{text} {unit}".rstrip()


def _legal(text: str) -> str:
    """Without what XML cannot hold: control characters, and bytes of a file name that are no text."""
    return _NOT_XML.sub("?", text)
