"""How fast one scrubs through a window of the studio's correct page: 1080p with a keyframe every 250 frames.

    python -m benchmarks.studio_scrub [--windows 3] [--frames 240] [--jumps 40] [--json FILE]

A dataset is built with tracker=motion, and served as `python main.py task=studio out=...` does, in a process of its
own. Chromium opens one window after the other, which nobody has asked for yet. "first frame" is from the address to
its first frame on the canvas; "a jump, at once" is to a frame anywhere in a window that is still being decoded, from
the scrubber's event to that frame painted; "whole window" is until every frame of it is in the browser; then jumps
again, and one step after the other as soon as the frame before is painted. Needs playwright and chromium. Milliseconds.
"""

from __future__ import annotations

import random
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests

from benchmarks.footage import FPS, short_video
from benchmarks.served import ROOT, served, summary
from benchmarks.studio import HEIGHT, WIDTH
from benchmarks.table import Result, arguments, publish

GO = """async (n) => {
  const [canvas, scrub] = ['#canvas', '#scrub'].map((each) => document.querySelector(each)), began = performance.now();
  scrub.value = n;
  scrub.dispatchEvent(new Event('input'));
  while (canvas.dataset.frame !== String(n)) await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
  return performance.now() - began;
}"""
LOADED = "() => performance.getEntriesByType('resource').filter((each) => each.name.includes('/frames/')).length"


def built(folder: Path, windows: int, frames: int) -> Path:
    """A dataset of one video, in windows of so many frames."""
    video = short_video(-(-windows * frames // FPS), WIDTH, HEIGHT)
    out = folder / "dataset"
    words = [f"videos={video}", f"out={out}", "prompt=cow", "tracker=motion", f"clip.num_frames={frames}"]
    words += ["clip.stride=1", "exports=[]", "executor.workers=1"]
    done = subprocess.run([sys.executable, "main.py", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the dataset was not built:\n{done.stderr[-2000:]}")
    return out


def measured(tab: Any, address: str, windows: int, jumps: int) -> dict[str, list[float]]:
    """Milliseconds by what was done."""
    taken: dict[str, list[float]] = {}
    listed = requests.get(f"{address}/dataset/windows?order=time", timeout=60).json()["windows"]
    chosen = random.Random(4)
    for line in listed[:windows]:
        tab.goto("about:blank")
        began = time.perf_counter()
        tab.goto(f"{address}/correct#{line['window']}/0")
        tab.wait_for_selector('#canvas[data-frame="0"]')
        taken.setdefault("first frame", []).append(1000 * (time.perf_counter() - began))
        tab.evaluate("performance.setResourceTimingBufferSize(5000)")
        count = int(tab.get_attribute("#scrub", "max")) + 1
        anywhere = [chosen.randrange(count) for _ in range(jumps)]
        taken.setdefault("a jump, at once", []).extend(tab.evaluate(GO, n) for n in anywhere[: jumps // 4])
        while tab.evaluate(LOADED) < count - 4:  # those under way when the buffer was made larger
            tab.wait_for_timeout(20)
        taken.setdefault("whole window", []).append(1000 * (time.perf_counter() - began))
        tab.wait_for_timeout(1000)
        taken.setdefault("a jump, then", []).extend(tab.evaluate(GO, n) for n in anywhere)
        tab.evaluate(GO, 0)
        taken.setdefault("a step, then", []).extend(tab.evaluate(GO, n) for n in range(1, min(count, 121)))
    return taken


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--jumps", type=int, default=40)
    parser.add_argument("--port", type=int, default=8767)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with TemporaryDirectory() as folder:
        out = built(Path(folder), options.windows, options.frames)
        with served(Path(folder) / "studio", options.port, f"out={out}") as (address, _), sync_playwright() as started:
            opened = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            tab = opened.new_page(viewport={"width": 1600, "height": 1000})
            tab.set_default_timeout(120_000)
            taken = measured(tab, address, options.windows, options.jumps)
            opened.close()
    rows, values = summary(taken, digits=0)
    steps = taken["a step, then"]
    rate, filled = 1000 * len(steps) / sum(steps), 1000 * options.frames / statistics.median(taken["whole window"])
    values |= {"frames a second, stepping": rate, "frames a second, loading": filled}
    note = f"{rate:.0f} frames a second while stepping; {filled:.0f} a second come in while the window loads."
    publish(Result("Scrubbing", ("what", "median ms", "99 % below", "times"), rows, values, note), options.json)


if __name__ == "__main__":
    main()
