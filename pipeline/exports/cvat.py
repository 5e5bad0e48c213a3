"""CVAT for video 1.1: the tracks of every source video, with the label as an attribute that may change from frame to
frame.

One XML file per video, to be uploaded as annotations of a CVAT task made from that video; `labels.json` is what the
task's label constructor takes (tab "Raw"). task=label reads what CVAT exports in the same format.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.exports.export import dataset_export
from pipeline.exports.rows import each
from pipeline.exports.videofolder import video_slug
from pipeline.label_formats.cvat import ATTRIBUTE, UNLABELLED

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.layout import Layout

NEEDED = [
    "sample_id", "individual_id", "video", "video_fingerprint", "prompt", "label", "frame_indices", "boxes",
    "source_width", "source_height",
]  # fmt: skip


@dataset_export("cvat")
@dataclass
class Cvat:
    """CVAT for video 1.1: an annotations file per source video; task=label reads it again.

    labels: the choices of the attribute; null: the labels there are.
    """

    labels: Any = None
    everything: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.labels is not None and (not isinstance(self.labels, list | tuple) or not self.labels):
            raise ValueError(f"export.cvat.labels must be a list such as [lying,standing], got {self.labels}")

    def write(self, samples: pa.Table, layout: Layout, target: Path, link: str) -> None:
        """Write `<video>.xml` for every video, and labels.json."""
        target.mkdir(parents=True, exist_ok=True)
        rows = list(each(samples.select(NEEDED)))
        choices = [UNLABELLED, *sorted({r["label"] for r in rows if r["label"]} | set(map(str, self.labels or ())))]
        prompts = sorted({row["prompt"] for row in rows})
        attribute = {"name": ATTRIBUTE, "input_type": "select", "mutable": True, "values": choices}
        raw = [{"name": prompt, "attributes": [attribute | {"default_value": UNLABELLED}]} for prompt in prompts]
        (target / "labels.json").write_text(json.dumps(raw, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        for video, group in groupby(rows, key=lambda row: row["video"]):
            of_video = list(group)
            slug = video_slug(video).replace("/", "-") or of_video[0]["video_fingerprint"][:12]
            if (target / f"{slug}.xml").exists():
                slug = f"{slug}-{of_video[0]['video_fingerprint'][:12]}"
            tree = ElementTree.ElementTree(_document(video, of_video, prompts, choices))
            ElementTree.indent(tree)
            tree.write(target / f"{slug}.xml", encoding="utf-8", xml_declaration=True)


def _document(video: str, rows: list[dict[str, Any]], prompts: list[str], choices: list[str]) -> ElementTree.Element:
    root = ElementTree.Element("annotations")
    _text(root, "version", "1.1")
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    for key, value in (("name", video), ("size", max(r["frame_indices"][-1] for r in rows) + 1)):
        _text(task, key, value)
    for key, value in (("mode", "interpolation"), ("overlap", 0), ("flipped", False), ("source", video)):
        _text(task, key, value)
    labels = ElementTree.SubElement(task, "labels")
    for prompt in prompts:
        label = ElementTree.SubElement(labels, "label")
        _text(label, "name", prompt)
        attribute = ElementTree.SubElement(ElementTree.SubElement(label, "attributes"), "attribute")
        kind = {"name": ATTRIBUTE, "mutable": True, "input_type": "select", "default_value": UNLABELLED}
        for key, value in (kind | {"values": "\n".join(choices)}).items():
            _text(attribute, key, value)
    size = ElementTree.SubElement(task, "original_size")
    _text(size, "width", rows[0]["source_width"])
    _text(size, "height", rows[0]["source_height"])
    rows = sorted(rows, key=lambda row: (row["individual_id"] or row["sample_id"], row["prompt"], row["frame_indices"]))
    tracks = groupby(rows, key=lambda row: (row["individual_id"] or row["sample_id"], row["prompt"]))
    for number, ((_, prompt), crops) in enumerate(tracks):
        track = ElementTree.SubElement(root, "track", id=str(number), label=prompt, source="auto")
        for frame, (x0, y0, x1, y1), given, outside in _boxes(list(crops)):
            values = {"frame": frame, "outside": int(outside), "occluded": 0, "keyframe": 1}
            values |= {"xtl": x0, "ytl": y0, "xbr": x1, "ybr": y1, "z_order": 0}
            box = ElementTree.SubElement(track, "box", {key: str(value) for key, value in values.items()})
            _text(box, "attribute", given or UNLABELLED).set("name", ATTRIBUTE)
    return root


def _boxes(crops: list[dict[str, Any]]) -> Iterator[tuple[int, list[int], str | None, bool]]:
    """Frame, box, label and whether it is gone from here on, of one individual. Where the next box is more than two
    steps away it is gone meanwhile, so that CVAT draws nothing there."""
    found: dict[int, tuple[list[int], str | None]] = {}
    for crop in crops:
        for frame, box in zip(crop["frame_indices"], crop["boxes"], strict=True):
            if box is not None:
                found.setdefault(frame, (box, crop["label"]))
    indices = crops[0]["frame_indices"]
    step = max(1, indices[1] - indices[0]) if len(indices) > 1 else 1
    frames = sorted(found)
    for n, frame in enumerate(frames):
        box, label = found[frame]
        yield frame, box, label, False
        if n + 1 == len(frames) or frames[n + 1] - frame > 2 * step:
            yield frame + 1, box, label, True


def _text(parent: ElementTree.Element, name: str, value: object) -> ElementTree.Element:
    child = ElementTree.SubElement(parent, name)
    child.text = str(value)
    return child
