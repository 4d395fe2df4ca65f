"""The report page in a real browser: it loads nothing, sorts, filters, leads everywhere, fits a phone, and prints."""

# ruff: noqa: E501 (scripts for the page have long lines)

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.made import classified
from tests.test_report import result
from tsbench.report import as_html
from tsbench.summary import boards

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
    pytest.mark.slow,
]

#: Runs in the page after its own script; what it returns is left in the page as JSON.
PROBE = """
var errors = [];
window.addEventListener("error", function (e) { errors.push(e.message); });
function column(table, i) { return Array.from(table.tBodies[0].rows).map(function (r) { return r.cells[i].textContent; }); }
function board() { return document.querySelector("#data-1 table.board"); }
function head(table, words) { return Array.from(table.tHead.rows[0].cells).find(function (h) { return h.textContent === words; }); }
function press(table, words) { head(table, words).querySelector("button").click(); return column(table, 1); }
function current() { return Array.from(document.querySelectorAll(".page")).filter(function (p) { return p.getClientRects().length; }).map(function (p) { return p.id; }); }
function seen() { return Array.from(board().tBodies[0].rows).filter(function (r) { return getComputedStyle(r).display !== "none"; }).length; }
function set(name, value) { var f = document.getElementById("filters").elements[name]; if (typeof value === "boolean") f.checked = value; else f.value = value; f.dispatchEvent(new Event("input", {bubbles: true})); }
function go(hash) { location.hash = hash; window.dispatchEvent(new HashChangeEvent("hashchange")); return current(); }
"""

STEPS = """
var t = board(), ids = Array.from(document.querySelectorAll("[id]")).map(function (e) { return e.id; });
var out = {first: current(), ids: ids};
out.links = Array.from(document.querySelectorAll("a")).map(function (a) { return a.getAttribute("href"); });
out.unnamed = Array.from(document.querySelectorAll("svg[role=img]")).filter(function (s) { return !s.firstChild || s.firstChild.nodeName !== "title"; }).length;
out.plain = document.querySelectorAll(".figure > svg:not([role=img])").length;
out.headings = Array.from(document.querySelectorAll("h1, h2, h3, h4")).map(function (h) { return +h.nodeName[1]; });
out.up = press(t, "accuracy"); out.order = head(t, "accuracy").getAttribute("aria-sort");
out.down = press(t, "accuracy"); out.turned = head(t, "accuracy").getAttribute("aria-sort");
out.byRank = press(t, "rank");
out.focusable = head(t, "rank").querySelector("button").tabIndex;
out.rows = seen(); set("model", "B"); out.b = seen(); set("model", ""); out.again = seen();
set("told", true); out.told = seen(); set("told", false);
var list = document.querySelector("#overview table.wide").tBodies[0].rows;
function listed() { return Array.from(list).filter(function (r) { return !r.classList.contains("filtered"); }).length; }
out.all = listed(); set("generated", true); out.real = listed(); set("generated", false);
set("family", "ltsf"); out.family = listed(); set("family", "");
set("dataset", "etth1"); out.dataset = listed(); set("dataset", "");
out.routed = go("#data-1"); out.focused = document.activeElement.textContent; out.family_page = go("#family-1"); out.nowhere = go("#nothing");
out.requests = performance.getEntriesByType("resource").map(function (r) { return r.name; });
out.errors = errors;
return out;
"""

WIDTHS = """
var out = {};
document.querySelectorAll(".page").forEach(function (page) {
  go("#" + page.id);
  document.querySelectorAll("details").forEach(function (d) { d.open = true; });
  out[page.id] = document.documentElement.scrollWidth - window.innerWidth;
});
out.width = window.innerWidth;
return out;
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of three tables in two families, one of generated data, with a model that is told answers."""
    random = np.random.default_rng(0)
    scores = {
        "constant": 0.4,
        "a": 0.9,
        "b": 0.75,
        "c_with_a_very_long_name_that_no_phone_could_show_in_one_line": 0.08,
    }
    results = [
        classified(m, s, v + float(random.normal()) / 100, d, generated=g, curves=[{"train_loss": v}, {"train_loss": v / 2}])
        for m, v in scores.items() for s in (1, 2, 3) for d, g in (("uea/made", False), ("uea/invented", True))
    ]  # fmt: skip
    results += [result(m, 1, v) for m, v in (("dlinear", 0.4), ("repeat", 1.3))]
    shown = boards(results)
    board = next(b for b in shown if b.dataset == "uea/made")
    board.rows[-1].told = "test answers"
    shown.sort(key=lambda b: b is not board)
    failed = [{**results[0], "reason": "out of memory"}]
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(as_html(shown, failed), encoding="utf-8")
    return path


def browse(page: Path, *more: str, hash: str = "") -> subprocess.CompletedProcess[str]:
    """Open the page in headless Chromium, which can reach no address."""
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command += ["--enable-logging=stderr", f"--user-data-dir={page.parent / 'profile'}", *more, f"file://{page}{hash}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def ask(page: Path, steps: str, *more: str) -> Any:
    """What some steps find in a copy of the page."""
    script = f"<script>{PROBE}var found = (function () {{{steps}}})();"
    script += "var pre = document.createElement('pre'); pre.id = 'found'; pre.textContent = JSON.stringify(found);"
    script += "document.body.appendChild(pre);</script>"
    copy = page.with_name("asked.html")
    copy.write_text(page.read_text("utf-8").replace("</body>", script + "</body>"), encoding="utf-8")
    done = browse(copy, "--dump-dom", *more)
    assert "CONSOLE" not in done.stderr, done.stderr
    answer = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert answer is not None, done.stderr[-2000:]
    return json.loads(html.unescape(answer[1]))


def test_the_page_works(page: Path) -> None:
    found = ask(page, STEPS)
    assert found["errors"] == []
    assert found["requests"] == [], "it opens from disk and loads nothing"
    # links and names
    assert len(found["ids"]) == len(set(found["ids"]))
    assert {link for link in found["links"] if link[1:] not in found["ids"]} == set()
    assert (found["unnamed"], found["plain"]) == (0, 0), "every drawing has a role and a title"
    assert found["headings"][0] == 1
    assert all(b - a <= 1 for a, b in zip(found["headings"], found["headings"][1:], strict=False)), "no level left out"
    # sorting
    long = "c_with_a_very_long_name_that_no_phone_could_show_in_one_line (told test answers)"
    assert found["up"] == [long, "constant", "b", "a"]
    assert found["down"] == found["up"][::-1]
    assert (found["order"], found["turned"]) == ("ascending", "descending")
    assert found["byRank"] == ["a", "b", "constant", long], "no rank comes last"
    assert found["focusable"] == 0
    # filters
    assert (found["rows"], found["b"], found["again"], found["told"]) == (4, 1, 4, 3)
    assert (found["all"], found["real"], found["family"], found["dataset"]) == (3, 2, 1, 1)
    # pages
    assert found["first"] == ["overview"]
    assert found["routed"] == ["data-1"]
    assert found["focused"].startswith("uea/made")
    assert found["family_page"] == ["family-1"]
    assert found["nowhere"] == ["overview"]


def test_no_page_is_wider_than_a_phone(page: Path) -> None:
    # Headless windows have a least width, so the phone is a frame of 390 pixels.
    frame = page.with_name("phone.html")
    inner = page.with_name("asked-phone.html")
    script = f"<script>{PROBE}parent.postMessage(JSON.stringify((function () {{{WIDTHS}}})()), '*');</script></body>"
    inner.write_text(page.read_text("utf-8").replace("</body>", script), encoding="utf-8")
    frame.write_text(
        "<pre id=found></pre><script>addEventListener('message', e => { found.textContent = e.data; });</script>"
        f'<iframe src="{inner.name}" width="390" height="844" frameborder="0"></iframe>',
        encoding="utf-8",
    )
    done = browse(frame, "--dump-dom", "--virtual-time-budget=20000")
    answer = re.search(r'<pre id="found">(.+?)</pre>', done.stdout, re.DOTALL)
    assert answer is not None, done.stderr[-2000:]
    beyond = json.loads(answer[1])
    assert beyond.pop("width") == 390
    assert len(beyond) > 8
    assert {name: pixels for name, pixels in beyond.items() if pixels > 0} == {}


def test_without_javascript_all_pages_follow_each_other(page: Path) -> None:
    plain = page.with_name("plain.html")
    text = re.sub(r"<script>.*?</script>", "", page.read_text("utf-8"), flags=re.DOTALL)
    plain.write_text(text, encoding="utf-8")
    found = ask(plain, "return [current(), getComputedStyle(document.getElementById('filters')).display];")
    assert len(found[0]) == text.count('<section class="page"') > 8
    assert found[1] == "none", "filters that do nothing are not shown"


def test_the_overview_prints_all_pages_and_others_themselves(page: Path, tmp_path: Path) -> None:
    pages = {}
    for hash in ("", "#data-1", "#models"):
        pdf = tmp_path / f"{hash[1:] or 'all'}.pdf"
        browse(page, f"--print-to-pdf={pdf}", "--no-pdf-header-footer", hash=hash)
        pages[hash] = len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes()))
    assert pages["#models"] == 1
    assert pages["#data-1"] < pages[""]
    assert pages[""] >= page.read_text("utf-8").count('<section class="page"'), "each on a sheet of its own"
    folded = ask(page, "window.dispatchEvent(new Event('beforeprint'));"
        "return document.querySelectorAll('details:not([open])').length;")  # fmt: skip
    assert folded == 0, "what is folded is printed, too"
