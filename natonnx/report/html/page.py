"""The page as a whole: sections, style, scripts and data in one file that asks the network for nothing."""

import base64
import hashlib
import json
import re
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from natonnx.contract.inspect import Inspection
from natonnx.contract.optimize import DataRow, OptimizeReport
from natonnx.contract.schema import finite
from natonnx.report.environment import Environment
from natonnx.report.html.model import facts, model_sections
from natonnx.report.html.sections import search_sections, verdict
from natonnx.report.html.text import UNKNOWN, table
from natonnx.report.place import check_place
from natonnx.report.text import all_visible

__all__ = ["check_report", "html_report"]

_GENERATOR = '<meta name="generator" content="natonnx">'
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src "
"""What a browser may load: nothing; what it may run: the scripts of that hash, and no others."""
_SCRIPTS = ("dagre.min.js", "layout.js", "graph.js", "page.js")


def html_report(inspection: Inspection, environment: Environment, optimization: OptimizeReport | None = None) -> str:
    """One self-contained page; whatever a model's names hold, it is shown as text.

    Args:
        inspection: The payload of `natonnx inspect --json`.
        environment: See `natonnx.report.environment`.
        optimization: The payload of `natonnx optimize --json` on the same model, if that is what is reported.
    """
    inspection, optimization, environment = all_visible(finite([inspection, optimization, environment]))
    path = inspection["model"]["path"]
    sections = {} if optimization is None else search_sections(optimization, inspection)
    graph = {"The graph": _asset("graph.html")}
    keys = list(sections)
    first = {key: sections[key] for key in keys[:2]}
    rest = {key: sections[key] for key in keys[2:]}
    ordered = {
        **first,
        **graph,
        **rest,
        **model_sections(inspection),
        "How this was made": _made(environment, optimization),
    }
    scripts = [_script(name) for name in _SCRIPTS]
    return Template(_asset("page.html")).substitute(
        policy=_POLICY + " ".join(map(_hash, scripts)),
        generator=_GENERATOR,
        title=escape(f"natonnx: {Path(path).name}"),
        heading=escape(path),
        verdict="" if optimization is None else verdict(optimization),
        facts=facts(inspection),
        contents="".join(f'<li><a href="#{_anchor(title)}">{escape(title)}</a></li>' for title in ordered),
        sections="\n".join(_section(title, content) for title, content in ordered.items()),
        style=_asset("page.css"),
        data=_embed({"inspection": inspection, "optimization": optimization, "environment": environment}),
        scripts="\n".join(f"<script>{script}</script>" for script in scripts),
    )


def check_report(path: Path, *others: Path) -> None:
    """Refuse, before long work starts, a path where a report may not be written.

    Args:
        path: Where the report should go.
        others: Paths that are read or written beside it.

    Raises:
        InputError: If it cannot be written, is one of the others, or holds something that is no report of natonnx.
    """
    check_place(path, others, _GENERATOR, "--html")


def _made(environment: Environment, optimization: OptimizeReport | None) -> str:
    rows = [(escape(name), escape(version or UNKNOWN)) for name, version in environment["versions"].items()]
    if optimization is not None:
        rows.append(("learner", escape(optimization["learner"])))
        rows.append(("protocol", optimization["protocol"]))
        rows.append(("seed", str(optimization["seed"])))
        rows.append(("seconds", f"{optimization['seconds']:.0f}"))
        rows.append(("data", _data(optimization["data"])))
    command, shown = environment["command"], ""
    if command is not None:
        shown = f'<pre tabindex="0" aria-label="Command line"><code>{escape(command)}</code></pre>'
    return shown + table(("", "version or setting"), rows, "Versions and settings")


def _data(data: DataRow) -> str:
    counts = (f"{count:,} {split}" for split, count in data["samples"].items() if count is not None)
    return escape(f"{data['name']} ({', '.join(counts)})")


def _section(title: str, content: str) -> str:
    anchor = _anchor(title)
    heading = f'<h2 id="{anchor}-title">{title}</h2>'
    return f'<section id="{anchor}" aria-labelledby="{anchor}-title">{heading}{content}</section>'


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _embed(data: Any) -> str:
    """JSON that HTML reads as text: nothing in it can end the script element, or start a comment."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return re.sub("[<>&\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", text)


def _script(name: str) -> str:
    """A script without the comment that points to its source map, which a browser's tools would fetch."""
    return re.sub(r"//# sourceMappingURL=\S+", "", _asset(name))


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _asset(name: str) -> str:
    return (files("natonnx.report.html") / "assets" / name).read_text(encoding="utf-8")
