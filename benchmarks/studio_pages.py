"""How soon the label and browse pages answer on a large dataset: start, saying and finding, and key to crop.

    python -m benchmarks.studio_pages [--samples 100000] [--labels 10000] [--presses 300] [--json FILE]

The server is a process of its own, as `python main.py task=studio out=...` starts it, on a synthetic dataset whose rows
share 24 crop videos of 224 x 224; `--labels` were said before. "said, on disk" is one label from the request to the
answer, fsync included. "a page of crops" is what the label page asks for ahead of need. "key to next crop on screen" is
measured in Chromium, from the key's event to the first frame of the next crop that is presented; it needs playwright
and chromium and is left out without. Milliseconds.
"""

from __future__ import annotations

import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests

from benchmarks.studio import ROOT, stopped
from benchmarks.synthetic_dataset import synthetic_dataset
from benchmarks.table import Result, arguments, publish
from pipeline.labels import LabelStore, anchored
from pipeline.layout import Layout
from pipeline.tables import read_table

CLASSES = ("lying", "standing", "walking")
COLUMNS = ["video", "video_fingerprint", "frame_indices", "timestamps_s", "boxes"]


def say_before(layout: Layout, many: int) -> None:
    """Labels of crops all over the dataset, as if somebody had been here."""
    table = read_table(layout.samples, COLUMNS)
    rows = random.Random(3).sample(range(len(table)), many)
    when = "2026-01-01T00:00:00+00:00"
    LabelStore(layout).append(
        [anchored(CLASSES[row % 3], "before", when, table.slice(row, 1).to_pylist()[0]) for row in rows]
    )


def timed(ask: Callable[[int], Any], many: int) -> list[float]:
    taken = []
    for number in range(many):
        began = time.perf_counter()
        ask(number)
        taken.append(1000 * (time.perf_counter() - began))
    return taken


def of_server(address: str, presses: int) -> dict[str, list[float]]:
    """Milliseconds of requests, as a client on this machine sees them."""
    asking = requests.Session()

    def post(path: str, body: dict[str, Any]) -> Any:
        answer = asking.post(address + path, json=body, timeout=60)
        answer.raise_for_status()
        return answer.json()

    first = post("/dataset/samples", {"filter": {"state": "open"}, "order": "shuffled", "limit": 200})["samples"]

    def say(number: int) -> None:
        name = first[number % len(first)]["sample_id"]
        post("/dataset/labels", {"words": [{"sample_id": name, "label": CLASSES[number % 3]}], "author": "ann"})

    def page(number: int) -> None:
        after = first[number % len(first)]["sample_id"]
        post("/dataset/samples", {"filter": {"state": "open"}, "order": "shuffled", "after": after, "limit": 60})

    def counts(number: int) -> None:
        limits = {"side": {"least": 30 + number, "below": 60 + number}}
        post("/dataset/counts", {"filter": {"prompt": ["cow"], "figures": limits}})

    return {"said, on disk": timed(say, presses), "a page of crops": timed(page, presses // 4),
            "all histograms, filtered": timed(counts, presses // 4)}  # fmt: skip


def of_browser(address: str, presses: int) -> list[float]:
    """Milliseconds from key to crop; [] where there is no browser."""
    path = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return []
    if path is None:
        return []
    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        tab = opened.new_page(viewport={"width": 1280, "height": 860})
        tab.goto(f"{address}/label")
        tab.wait_for_selector(".cell")
        tab.wait_for_timeout(2000)
        for number in range(presses):
            tab.keyboard.press(str(number % 3 + 1))
            tab.wait_for_timeout(250)  # four labels a second, eight times what is promised
        found: list[float] = tab.evaluate("performance.getEntriesByName('key to crop').map((each) => each.duration)")
        opened.close()
    return found


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--labels", type=int, default=10_000)
    parser.add_argument("--presses", type=int, default=300)
    parser.add_argument("--port", type=int, default=8766)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        layout = synthetic_dataset(Path(folder) / "dataset", options.samples)
        say_before(layout, options.labels)
        words = [f"out={layout.root}", f"studio.port={options.port}", f"studio.folder={folder}/studio"]
        address = f"http://127.0.0.1:{options.port}"
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "main.py", "task=studio", *words, f"studio.classes=[{','.join(CLASSES)}]"],
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
        )
        try:
            while True:
                try:
                    requests.get(f"{address}/health", timeout=5).raise_for_status()
                    break
                except requests.RequestException:
                    if process.poll() is not None:
                        raise SystemExit(f"the studio ended with {process.returncode}") from None
                    time.sleep(0.02)
            taken = {"start-up, until it answers": [1000 * (time.perf_counter() - began)]}
            taken |= of_server(address, options.presses)
            taken["key to next crop on screen"] = of_browser(address, min(options.presses, 120))
        finally:
            stopped(process)
    rows: list[tuple[str, ...]] = []
    values: dict[str, float] = {}
    for name, each in taken.items():
        if not each:
            print("without playwright and chromium there is no time from key to crop", file=sys.stderr)
            continue
        middle, worst = statistics.median(each), sorted(each)[min(len(each) - 1, int(0.99 * len(each)))]
        rows.append((name, f"{middle:.1f}", f"{worst:.1f}", str(len(each))))
        values |= {f"{name}, median": middle, f"{name}, p99": worst}
    note = f"{options.samples:,} crops of 16 frames, {options.labels:,} labels said before."
    title = "The studio's pages"
    publish(Result(title, ("what", "median ms", "99 % below", "asked"), tuple(rows), values, note), options.json)


if __name__ == "__main__":
    main()
