"""Label Studio: a task per crop with a choice of labels, and what is labelled already as its annotation."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

import orjson

from pipeline.exports.export import dataset_export, place
from pipeline.exports.rows import each

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.layout import Layout

DATA = ("sample_id", "individual_id", "prompt", "split", "clip_id")


@dataset_export("labelstudio")
@dataclass
class LabelStudio:
    """Label Studio: tasks.json, config.xml and the crops; task=label reads its JSON export.

    prefix: what stands before videos/ID.mp4 in a task. The default is for local files with this export's folder as
    LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT; give a URL if the crops are served from elsewhere. labels: the choices;
    null: the labels there are.
    """

    prefix: str = "/data/local-files/?d="
    labels: Any = None
    everything: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.labels is not None and (not isinstance(self.labels, list | tuple) or not self.labels):
            raise ValueError(f"export.labelstudio.labels must be a list such as [lying,standing], got {self.labels}")

    reads_crops: ClassVar[bool] = True

    def write(self, samples: pa.Table, layout: Layout, target: Path, link: str) -> None:
        """Write tasks.json, config.xml (the labelling interface) and videos/."""
        target.mkdir(parents=True, exist_ok=True)
        tasks = []
        used = set(map(str, self.labels or ()))
        for number, row in enumerate(each(samples), start=1):
            name = f"videos/{row['sample_id']}.mp4"
            place(layout.root / row["path"], target / name, link)
            data = {"video": self.prefix + quote(name), "source_video": row["video"]}
            task: dict[str, Any] = {"id": number, "data": data | {key: row[key] for key in DATA}}
            if row["label"] is not None:
                used.add(row["label"])
                choice = {"from_name": "label", "to_name": "video", "type": "choices", "id": row["sample_id"][:10]}
                task["annotations"] = [{"result": [choice | {"value": {"choices": [row["label"]]}}]}]
            tasks.append(task)
        (target / "tasks.json").write_bytes(orjson.dumps(tasks, option=orjson.OPT_INDENT_2))
        (target / "config.xml").write_bytes(_interface(sorted(used)))


def _interface(labels: list[str]) -> bytes:
    """What Label Studio shows: the crop in a loop, the choices below it with a key each."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Video", name="video", value="$video")
    choices = ElementTree.SubElement(view, "Choices", name="label", toName="video", choice="single", required="true")
    for number, label in enumerate(labels or ["label"], start=1):
        choice = ElementTree.SubElement(choices, "Choice", value=label)
        if number < 10:
            choice.set("hotkey", str(number))
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode").encode() + b"\n"
