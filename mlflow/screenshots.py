"""Take the screenshots of docs/mlflow.md from a running MLflow UI, in headless Chromium.

tsbench ui --port 5077 &
python mlflow/screenshots.py --ui http://127.0.0.1:5077 --dataset sktime/airline/12 --study NAME --into docs/images
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
from mlflow import MlflowClient

SIZE = (1360, 760)
TRAINING = "workflowType=machine_learning"  # as after a click on 'Model training'
PATIENCE = 60  # seconds for a page to show what is waited for


class Browser:
    """Chromium without a window, driven over its debugging protocol."""

    def __init__(self, program: str, port: int) -> None:
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        size = f"--window-size={SIZE[0]},{SIZE[1] + 140}"  # the window has a frame
        self.address = f"http://127.0.0.1:{port}/json"
        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", f"--remote-debugging-port={port}",
             f"--user-data-dir={self.folder.name}", size, "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.calls = 0

    async def __aenter__(self) -> Browser:
        self.session = aiohttp.ClientSession()
        for _ in range(PATIENCE * 5):
            try:
                async with self.session.get(self.address) as answer:
                    page = next(p for p in await answer.json() if p["type"] == "page")
                    break
            except (aiohttp.ClientError, StopIteration):
                await asyncio.sleep(0.2)
        self.socket = await self.session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)
        width, height = SIZE
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.session.close()
        self.process.terminate()
        self.process.wait()

    async def call(self, method: str, **parameters: Any) -> Any:
        """One command of the protocol, and its answer."""
        self.calls += 1
        await self.socket.send_json({"id": self.calls, "method": method, "params": parameters})
        while True:
            answer = json.loads((await self.socket.receive()).data)
            if answer.get("id") == self.calls:
                return answer.get("result", answer)

    async def run(self, code: str) -> Any:
        """The value of a piece of JavaScript in the page."""
        answer = await self.call("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        return answer.get("result", {}).get("value")

    async def open(self, address: str, shown: str) -> None:
        """Open a page and wait until the JavaScript condition `shown` holds, and a moment more."""
        await self.call("Page.navigate", url="about:blank")
        await self.call("Page.navigate", url=address)
        for _ in range(PATIENCE * 2):
            await asyncio.sleep(0.5)
            if await self.run(shown):
                break
        else:
            raise SystemExit(f"{address} did not show in {PATIENCE} s: {shown}")
        await asyncio.sleep(3)

    async def click(self, found: str) -> None:
        """Click, as a mouse does, on what a JavaScript expression finds, once it is there."""
        place = f"""(() => {{ const found = {found}; if (!found) return null;
            found.scrollIntoView({{block: 'nearest'}});
            const r = found.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"""
        for _ in range(PATIENCE * 2):
            if at := await self.run(place):
                break
            await asyncio.sleep(0.5)
        else:
            raise SystemExit(f"nothing to click on in {PATIENCE} s: {found}")
        for event, button in (("mouseMoved", "none"), ("mousePressed", "left"), ("mouseReleased", "left")):
            await self.call("Input.dispatchMouseEvent", type=event, x=at[0], y=at[1], button=button, clickCount=1)
        await asyncio.sleep(1.5)

    async def shoot(self, path: Path) -> None:
        """Write what is seen as PNG."""
        answer = await self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(answer["data"]))
        print(f"{path}: {path.stat().st_size // 1000} kB", flush=True)


def having(selector: str, text: str) -> str:
    """JavaScript that finds the element whose text this is."""
    return f"[...document.querySelectorAll({json.dumps(selector)})].find(e => e.innerText.trim() == {json.dumps(text)})"


def state(**changes: Any) -> dict[str, Any]:
    """What the UI remembers of a view of runs; these are its own settings, as it keeps them in the browser."""
    usual = {
        "searchFilter": "", "orderByKey": "attributes.start_time", "orderByAsc": True, "startTime": "ALL",
        "lifecycleFilter": "Active", "datasetsFilter": [], "modelVersionFilter": "All Runs", "selectedColumns": [],
        "columnOrder": [], "columnWidths": {"attributes.`Run Name`": 260}, "runsExpanded": {}, "runsPinned": [],
        "runsHidden": [], "runsVisibilityMap": {}, "runsHiddenMode": "SHOWALL", "compareRunCharts": [],
        "compareRunSections": [], "viewMaximized": False, "runListHidden": False, "isAccordionReordered": False,
        "useGroupedValuesInCharts": True, "hideEmptyCharts": True, "groupBy": None, "groupsExpanded": {},
        "autoRefreshEnabled": False,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }  # fmt: skip
    return {**usual, **changes}


async def view(browser: Browser, ui: str, experiment: str, mode: str, kept: dict[str, Any], shown: str) -> None:
    """Open the runs of an experiment as someone sees them who clicked together the view `kept`."""
    key = json.dumps(f'MLflowLocalStorage-1.1-ExperimentPage-["{experiment}"]-ReactComponentState')
    others = {"mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true", "mlflow.assistant.panelOpen_v1": "false"}
    await browser.open(f"{ui}/", "document.body.innerText.length > 100")
    for name, value in others.items():
        await browser.run(f"localStorage.setItem({json.dumps(name)}, {json.dumps(value)})")
    await browser.run(f"localStorage.setItem({key}, {json.dumps(json.dumps(kept))})")
    fields = ("searchFilter", "orderByKey", "orderByAsc", "startTime", "lifecycleFilter")
    query = "&".join(
        f"{name}={quote(str(kept[name]).lower() if name == 'orderByAsc' else kept[name])}" for name in fields
    )
    await browser.open(f"{ui}/#/experiments/{experiment}/runs?{query}&compareRunsMode={mode}&{TRAINING}", shown)


async def compare(browser: Browser) -> None:
    """Tick all runs of a table and compare them."""
    await browser.click("document.querySelector('[aria-label=\"Select all runs\"]')")
    await browser.click(having("button", "Compare"))


async def take(args: argparse.Namespace) -> None:
    """All screenshots."""
    client = MlflowClient(args.ui)
    family = args.dataset.split("/")[0]
    found = client.get_experiment_by_name(f"tsbench/{family}")
    assert found, f"no experiment tsbench/{family} at {args.ui}"
    experiment = found.experiment_id
    on = f'params.dataset = "{args.dataset}"'
    table = "document.querySelectorAll('[role=row]').length > 2"
    chart = "document.querySelectorAll('.js-plotly-plot .trace').length > 0"
    columns = ["tags.`best`", "metrics.`models`", "metrics.`test/mse`", "metrics.`std/test/mse`", "metrics.`seeds`"]

    async with Browser(args.chromium, args.debugging_port) as browser:
        kept = state(searchFilter='tags.level = "dataset"', selectedColumns=columns)
        await view(browser, args.ui, experiment, "TABLE", kept, table)
        await browser.shoot(args.into / "mlflow-best.png")

        kept = state(
            searchFilter=f'tags.level = "model" and {on}', selectedColumns=columns[2:],
            orderByKey="metrics.`test/mse`",
        )  # fmt: skip
        await view(browser, args.ui, experiment, "TABLE", kept, table)
        await browser.shoot(args.into / "mlflow-models.png")

        # Sorted by a score, so that the UI shows the runs found alone; by time it adds those above them.
        by_score = {"orderByKey": "metrics.`test/mse`", "selectedColumns": columns[2:3]}
        kept = state(searchFilter=f'tags.level = "seed" and {on}', **by_score)
        await view(browser, args.ui, experiment, "TABLE", kept, table)
        await compare(browser)
        await browser.click(having("[role=tab]", "Box Plot"))
        for axis, name in (("x", "variant"), ("y", "test/mse")):
            await browser.click(f"document.querySelector('#{axis}-axis-selector')")
            await browser.click(having("[role=option]", name))
        await browser.shoot(args.into / "mlflow-spread.png")

        group = {"aggregateFunction": "average", "groupByKeys": [{"groupByData": "variant", "mode": "param"}]}
        trained = f'tags.level = "seed" and {on} and metrics.`epoch/validation_mse` > 0'
        await view(browser, args.ui, experiment, "CHART", state(searchFilter=trained, groupBy=group, **by_score), chart)
        await browser.click("document.querySelector('input[placeholder=\"Search metric charts\"]')")
        await browser.call("Input.insertText", text="epoch/validation_mse")
        await asyncio.sleep(3)
        await browser.click("document.querySelector('[data-component-id=fullscreen_button_chartcard]')")
        await browser.shoot(args.into / "mlflow-curves.png")

        trials = f'tags.level = "trial" and params.study = "{args.study}" and attributes.status = "FINISHED"'
        by_score = {"orderByKey": "metrics.`validation/mse`", "selectedColumns": ["metrics.`validation/mse`"]}
        await view(browser, args.ui, experiment, "TABLE", state(searchFilter=trials, **by_score), table)
        await compare(browser)
        await browser.click(having("[role=tab]", "Parallel Coordinates Plot"))
        await browser.shoot(args.into / "mlflow-importance.png")


def main() -> int:
    """Read the arguments; take the screenshots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ui", default="http://127.0.0.1:5000", help="(default: http://127.0.0.1:5000)")
    parser.add_argument("--dataset", required=True, metavar="NAME", help="one with several models and seeds")
    parser.add_argument("--study", required=True, metavar="NAME", help="a study on it")
    parser.add_argument("--into", type=Path, default=Path("docs/images"), metavar="DIR")
    parser.add_argument("--chromium", default="chromium", help="program (default: chromium)")
    parser.add_argument("--debugging-port", type=int, default=9377)
    asyncio.run(take(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
