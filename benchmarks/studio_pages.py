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
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests

from benchmarks.served import served, summary, timed
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

    return {"said, on disk": timed(say, range(presses)), "a page of crops": timed(page, range(presses // 4)),
            "all histograms, filtered": timed(counts, range(presses // 4))}  # fmt: skip


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
        words = [f"out={layout.root}", f"studio.classes=[{','.join(CLASSES)}]"]
        with served(Path(folder) / "studio", options.port, *words) as (address, seconds):
            taken = {"start-up, until it answers": [1000 * seconds]} | of_server(address, options.presses)
            shown = of_browser(address, min(options.presses, 120))
    if shown:
        taken["key to next crop on screen"] = shown
    else:
        print("without playwright and chromium there is no time from key to crop", file=sys.stderr)
    rows, values = summary(taken)
    note = f"{options.samples:,} crops of 16 frames, {options.labels:,} labels said before."
    title = "The studio's pages"
    publish(Result(title, ("what", "median ms", "99 % below", "asked"), rows, values, note), options.json)


if __name__ == "__main__":
    main()
