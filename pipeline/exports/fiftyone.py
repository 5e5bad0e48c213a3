"""FiftyOne: a FiftyOneDataset of the crops, with label, prompt, split and the quality card as fields."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import orjson

from pipeline.exports.export import dataset_export, place
from pipeline.exports.rows import each, metadata

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.layout import Layout

LEFT_OUT = ("timestamps_s",)  # a vector of numbers is no use in the app


@dataset_export("fiftyone")
@dataclass
class FiftyOne:
    """FiftyOne: `Dataset.from_dir(..., dataset_type=fiftyone.types.FiftyOneDataset)`; task=label reads its export."""

    everything: ClassVar[bool] = True
    reads_crops: ClassVar[bool] = True

    def write(self, samples: pa.Table, layout: Layout, target: Path, link: str) -> None:
        """Write samples.json, metadata.json and data/. The split is the sample's tag; the field `label` is a
        Classification where there is a label."""
        target.mkdir(parents=True, exist_ok=True)
        found = []
        for row in each(samples):
            name = f"data/{row['sample_id']}.mp4"
            place(layout.root / row["path"], target / name, link)
            line: dict[str, Any] = {"filepath": name, "tags": [row["split"]], "_media_type": "video"}
            line |= {k: v for k, v in metadata(row, boxes=False).items() if k not in ("label", *LEFT_OUT)}
            line["individual_id"] = row["individual_id"]
            if row["label"] is not None:
                line["label"] = {"_cls": "Classification", "tags": [], "label": row["label"]}
            found.append(line)
        (target / "samples.json").write_bytes(orjson.dumps({"samples": found}))
        classes = sorted({row["label"]["label"] for row in found if "label" in row})
        (target / "metadata.json").write_bytes(orjson.dumps({"info": {"classes": classes}}))
