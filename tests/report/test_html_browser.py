"""The HTML report in a real browser: it draws the graph, nothing is on the console, nothing asked of the network."""

import html
import http.server
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from natonnx.report.html import html_report
from tests.report.examples import ENVIRONMENT, HOSTILE, found, inspected, stack

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium")


class Seen(NamedTuple):
    """What a browser made of a page: its document after the scripts ran, its console, the hosts that it asked for."""

    document: str
    console: list[str]
    hosts: list[str]


OWN = re.compile(r"(^|[./])(google|googleapis|gvt1|gstatic)\.com(:|/|$)")
"""Chromium's own services, which it asks whatever page is open."""


class Proxy(http.server.BaseHTTPRequestHandler):
    """Everything that is no file goes through the proxy, which notes it and answers that it may not be had."""

    hosts: list[str]

    def refuse(self) -> None:
        self.hosts.append(self.path)
        self.send_error(403)

    do_GET = do_POST = do_CONNECT = do_HEAD = refuse  # noqa: N815 - the names that http.server looks for

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - its name in http.server
        pass


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    hosts: list[str] = []
    handler = type("Noting", (Proxy,), {"hosts": hosts})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", hosts
        server.shutdown()


def browse(page: Path, *options: str, proxy: tuple[str, list[str]] | None = None) -> Seen:
    """Open a page without a window, and wait until its scripts are done."""
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-default-apps",
            "--disable-sync",
            "--disable-extensions",
            "--enable-logging=stderr",
            f"--user-data-dir={page.parent / 'profile'}",
            f"--proxy-server={proxy[0] if proxy else 'http://127.0.0.1:9'}",
            "--virtual-time-budget=20000",
            *options,
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return Seen(done.stdout, console, [host for host in proxy[1] if not OWN.search(host)] if proxy else [])


def write(folder: Path, page: str) -> Path:
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def test_a_search(tmp_path: Path, proxy: tuple[str, list[str]]) -> None:
    page = html_report(inspected({"one": HOSTILE, "x": f"x{HOSTILE}"}), ENVIRONMENT, found(HOSTILE))
    seen = browse(write(tmp_path, page), "--dump-dom", proxy=proxy)
    assert seen.console == []
    assert seen.hosts == []
    assert len(re.findall(r'class="item map', seen.document)) == 6
    assert len(re.findall(r'class="item edge changed', seen.document)) == 2
    assert "Conv O → N" in seen.document
    assert "Conv: idle" in seen.document
    assert re.search(r'id="wait"[^>]*hidden', seen.document)


def test_the_check_can_fail(tmp_path: Path, proxy: tuple[str, list[str]]) -> None:
    page = "<script>console.error('oh'); fetch('http://example.test/x').catch(() => 0)</script>"
    seen = browse(write(tmp_path, page), "--dump-dom", proxy=proxy)
    assert any("oh" in line for line in seen.console)
    assert any("example.test" in host for host in seen.hosts)


def test_a_script_in_a_page_would_not_run(tmp_path: Path) -> None:
    """Even if text could become an element: the policy lets nothing run that is not ours."""
    page = html_report(inspected(), ENVIRONMENT).replace("<main", "<script>document.title = 'bad'</script><main")
    seen = browse(write(tmp_path, page), "--dump-dom")
    assert "<title>bad" not in seen.document
    assert any("Content Security Policy" in line for line in seen.console)


DRIVE = """
<script>
setTimeout(() => {
  const said = [], note = (what) => said.push(what), at = () => document.activeElement.getAttribute("aria-label");
  const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
  document.querySelector("[data-do=next]").click(); note(at()); note($("tally").textContent);
  press("ArrowDown"); note(at());
  press("ArrowUp"); note(at());
  press("ArrowLeft"); note(at());
  const before = $("view").getAttribute("viewBox");
  press("+"); note($("view").getAttribute("viewBox") !== before);
  note(document.querySelectorAll("#spare .item").length);
  $("show-spare").click(); note(document.querySelectorAll("#spare .item").length);
  $("find").value = "head"; $("find").dispatchEvent(new Event("change")); note(at());
  document.querySelector("[data-edge=stem]").click(); note(at()); note($("inspector").textContent);
  const form = document.querySelector(".filter"), search = form.querySelector("input");
  search.value = "OUTPUT depends"; search.dispatchEvent(new Event("input", {bubbles: true}));
  note(form.querySelector("output").textContent);
  note(document.querySelectorAll('#view [tabindex="0"]').length);
  document.title = "said" + JSON.stringify(said);
}, 1000);
</script>
"""


def test_pointer_and_keyboard(tmp_path: Path) -> None:
    """Driven from within: a script of the test's, in a page whose policy lets it run."""
    payload = inspected()
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html_report(payload, ENVIRONMENT, found()))
    seen = browse(write(tmp_path, page.replace("</body>", f"{DRIVE}</body>")), "--dump-dom")
    assert seen.console == []
    (title,) = re.findall(r"<title>said(.*?)</title>", seen.document)
    change, tally, down, up, left, zoomed, hidden, shown, head, stem, inspector, rows, stops = json.loads(
        html.unescape(title)
    )
    assert change.startswith("one, edge x → y, state O, Conv → N, null, parameters 584, MAdds 36,864")
    assert tally == "change 1 of 2"
    assert down.startswith("y, feature map one edge, shape batch × 8")
    assert up == change
    assert left.startswith("x->z, edge x → z")
    assert zoomed
    spare = sum(edge["state"] == "N" for edge in payload["edges"])
    assert (hidden, shown) == (0, spare)
    assert head.startswith("head, edge pooled → scores")
    assert stem.startswith("stem, edge image → x")
    assert "parameters80" in inspector
    refused = [reason for edge in payload["edges"] for reason in edge["illegal"].values()]
    assert rows == f"{sum('output depends' in reason for reason in refused)} of {len(refused)}"
    assert stops == 1


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_thousand_edges(dark: bool, tmp_path: Path) -> None:
    payload = stack(334)
    assert sum(edge["state"] != "N" for edge in payload["edges"]) == 1002
    path = write(tmp_path, html_report(payload, ENVIRONMENT))
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    picture = tmp_path / "report.png"
    seen = browse(path, "--dump-dom", f"--screenshot={picture}", "--window-size=1200,1200", *scheme)
    assert seen.console == []
    assert len(re.findall(r'class="item edge', seen.document)) == 1002
    with Image.open(picture) as image:
        assert image.size == (1200, 1200)
        corner = image.convert("L").tobytes()[0]
        assert corner < 60 if dark else corner > 200
        assert len(image.convert("RGB").getcolors(1 << 20) or ()) > 50
