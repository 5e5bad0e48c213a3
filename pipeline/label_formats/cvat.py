"""CVAT for video 1.1: tracks with boxes on source frames, and the label as an attribute that may change on the way.

Read from the `annotations.xml` that CVAT exports. A track is cut into runs of one label each; what it shows is found by
its boxes, so tracks drawn anew in CVAT are as good as exported ones. Between keyframes CVAT moves boxes linearly.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np

from pipeline.errors import ConfigError
from pipeline.label_formats.said import Run, Said

ATTRIBUTE = "label"
NAMES = (ATTRIBUTE, "behaviour", "behavior", "action", "activity", "class")
UNLABELLED = "unlabelled"
Step = tuple[int, str, tuple[float, float, float, float]]  # source frame, label, box


def understands(path: Path, head: bytes) -> bool:
    return path.suffix.lower() == ".xml" and b"<annotations" in head


def read(path: Path) -> Said:
    """Every labelled run of every track. Raises ConfigError for a file that is damaged, or that labels nothing."""
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise ConfigError(f"labels={path} is not whole XML ({error}): export it from CVAT again") from error
    tracks = root.findall("track")
    if not tracks:
        raise ConfigError(f"labels={path} has no tracks: export it from CVAT as 'CVAT for video 1.1'")
    video = (root.findtext("meta/task/name") or "").strip()
    source = (root.findtext("meta/task/source") or root.findtext("meta/source") or "").strip()
    author = (root.findtext("meta/task/owner/username") or "").strip()
    runs: list[Run] = []
    named = False
    for track in tracks:
        steps: list[Step] = []
        number = int(track.get("id", "0"))
        for box in track.iter("box"):
            values = {(a.get("name") or "").strip().lower(): (a.text or "").strip() for a in box.iter("attribute")}
            found = next((values[name] for name in NAMES if name in values), None)
            named |= found is not None
            if box.get("outside") == "1":
                runs += _run(steps, number, source or video, author)
                steps = []
                continue
            label = "" if found in (None, UNLABELLED) else str(found)
            if steps and steps[-1][1] != label:
                runs += _run(steps, number, source or video, author)
                steps = []
            steps.append((int(box.get("frame", "0")), label, _corners(path, box)))
        runs += _run(steps, number, source or video, author)
    if not named:
        raise ConfigError(
            f"labels={path}: no box has an attribute {', '.join(NAMES[:-1])} or {NAMES[-1]}: give the CVAT label a "
            f"mutable attribute {ATTRIBUTE}, as exports=[cvat] does"
        )
    return Said("track", runs=tuple(runs))


def _corners(path: Path, box: ElementTree.Element) -> tuple[float, float, float, float]:
    try:
        x0, y0, x1, y1 = (float(box.attrib[key]) for key in ("xtl", "ytl", "xbr", "ybr"))
    except (KeyError, ValueError) as error:
        raise ConfigError(f"labels={path}: a box of frame {box.get('frame')} lacks its corners ({error})") from error
    return x0, y0, x1, y1


def _run(steps: list[Step], number: int, video: str, author: str) -> list[Run]:
    if not steps or not steps[0][1]:
        return []
    steps = sorted(steps)
    frames, boxes = np.array([s[0] for s in steps], np.int64), np.array([s[2] for s in steps], np.float64)
    return [Run(number, video, steps[0][1], author, frames, boxes)]
