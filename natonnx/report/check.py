"""What `natonnx check` found: lines for people, Markdown for a job summary, JUnit XML for a test report."""

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

from natonnx.report.markdown import code, table

__all__ = ["JUNIT_MARK", "TITLE", "junit_xml", "lines", "markdown"]

TITLE = "## natonnx check"
JUNIT_MARK = 'name="natonnx check"'
"""What the reports begin with."""

_NAMES = {
    "madds_ratio": "MAdds ratio",
    "params_ratio": "parameters ratio",
    "latency_ratio": "latency ratio",
    "drop": "accuracy points lost",
}
_COLUMNS = ("gate", "value", "limit", "state", "detail")
_SHARES = ("accuracy", "agreement")
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def lines(payload: Mapping[str, Any]) -> list[str]:
    """One line a gate."""
    return [f"{gate['state']:<9}  {_sentence(gate)}: {gate['detail']}" for gate in payload["gates"]]


def markdown(payload: Mapping[str, Any]) -> str:
    """A heading and a table, one row a gate."""
    heading = f"{TITLE}: {payload['status']}"
    models = f"{code(payload['model'])} against {code(payload['baseline'])}"
    return "\n\n".join((heading, models, table(_COLUMNS, map(_row, payload["gates"])))) + "\n"


def junit_xml(payload: Mapping[str, Any]) -> bytes:
    """One test case a gate; one that is failed or undecided is a failure."""
    gates = payload["gates"]
    failures = str(sum(gate["state"] != "met" for gate in gates))
    counts = {"name": "natonnx check", "tests": str(len(gates)), "failures": failures, "errors": "0", "skipped": "0"}
    root = ET.Element("testsuites", counts)
    suite = ET.SubElement(root, "testsuite", counts)
    properties = ET.SubElement(suite, "properties")
    for key in ("model", "baseline"):
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


def _row(gate: Mapping[str, Any]) -> tuple[str, ...]:
    state = gate["state"] if gate["state"] == "met" else f"**{gate['state']}**"
    limit = f"{_bound(gate)} {_number(gate, gate['limit'])}"
    return _NAMES.get(gate["name"], gate["name"]), _number(gate, gate["value"]), limit, state, gate["detail"]


def _sentence(gate: Mapping[str, Any]) -> str:
    name = _NAMES.get(gate["name"], gate["name"])
    return f"{name} {_number(gate, gate['value'])}, {_bound(gate)} {_number(gate, gate['limit'])}"


def _bound(gate: Mapping[str, Any]) -> str:
    return "at least" if gate["name"] in _SHARES else "at most"


def _number(gate: Mapping[str, Any], value: float) -> str:
    """With as many digits as tell it from the limit, three at least."""
    signed = "+" if gate["name"] == "drop" else ""
    for digits in range(3, 12):
        text = f"{value:{signed}.{digits}f}"
        if gate["value"] == gate["limit"] or f"{gate['value']:.{digits}f}" != f"{gate['limit']:.{digits}f}":
            break
    return text


def _legal(text: str) -> str:
    """Without what XML cannot hold: control characters, and bytes of a file name that are no text."""
    return _NOT_XML.sub("?", text)
