"""The dataset card: README.md of an export that is passed on, as the Hugging Face Hub reads it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

HF_SPLITS = {"val": "validation"}  # what `datasets` calls the split it reads from the folder val/
IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9.+-]*")  # as the Hub writes licences
SAID = (("Source", "source"), ("Rights", "rights"), ("Contact", "contact"))


def card(samples: pa.Table, variants: tuple[str, ...], release: Mapping[str, Any]) -> str:
    """The dataset card: a header that tells the Hub and `datasets` the splits and the licence, counts, where it comes
    from, and how to load it. release: what `release.json` says."""
    counts = Counter(samples["split"].to_pylist())
    header = ["---", *_licence(release.get("licence")), "task_categories:", "- video-classification"]
    if counts:
        header += ["configs:", "- config_name: default", "  data_files:"]
        for split in sorted(counts):
            header += [
                f"  - split: {json.dumps(HF_SPLITS.get(split, split))}",
                f"    path: {json.dumps(split + '/**')}",
            ]
    names = sorted(set(samples["class"].to_pylist()))
    trackers = [*sorted(set(samples["tracker"].to_pylist())), *_weights(release)]
    shapes = sorted(set(zip(samples["num_frames"].to_pylist(), samples["size"].to_pylist(), strict=True)))
    table = [f"| {split} | {HF_SPLITS.get(split, split)} | {count} |" for split, count in sorted(counts.items())]
    columns = "".join(f", `{name}`" for name in ("video", *variants))[2:]
    return "\n".join(
        [
            *header,
            "---",
            f"# {_line(release.get('title') or 'Object crop videos')}",
            "",
            f"{len(samples)} crop videos, each following one object through one clip"
            f" ({', '.join(f'{n} frames at {s} x {s} pixels' for n, s in shapes) or 'none'}).",
            "",
            f"- Classes (column `label`): {', '.join(json.dumps(n, ensure_ascii=False) for n in names) or 'none'}",
            f"- Tracker: {', '.join(trackers) or 'none'}",
            f"- Source videos: {len(set(samples['video'].to_pylist()))}, no video is in two splits unless you said so;"
            " their names and fingerprints are in `release.json`",
            *_said(release),
            "",
            "| folder | split in `datasets` | videos |",
            "|---|---|---|",
            *table,
            "",
            "```python",
            "from datasets import Video, load_dataset",
            "",
            'dataset = load_dataset("videofolder", data_dir="path/to/this/folder")',
            f"# {columns} decode with torchcodec; without it, take the paths instead:",
            *(f'dataset = dataset.cast_column("{name}", Video(decode=False))' for name in ("video", *variants)),
            'dataset = dataset.class_encode_column("label")  # class numbers instead of words',
            "```",
            "",
        ]
    )


def _licence(text: str | None) -> list[str]:
    """The header's licence: an identifier, or "other" with its name, which is how the Hub wants a text."""
    if not text:
        return []
    if IDENTIFIER.fullmatch(text.lower()):
        return [f"license: {json.dumps(text.lower())}"]
    return ["license: other", f"license_name: {json.dumps(_line(text), ensure_ascii=False)}"]


def _said(release: Mapping[str, Any]) -> list[str]:
    licence = release.get("licence")
    known = [f"- Licence: {_line(licence) if licence else 'not stated: ask before you use it'}"]
    return known + [f"- {name}: {_line(release[key])}" for name, key in SAID if release.get(key)]


def _weights(release: Mapping[str, Any]) -> list[str]:
    """What the tracker said of its weights: a resolved revision or a digest."""
    tracker = release.get("tracker", {})
    return [f"{key} {tracker[key]}" for key in ("version", "weights") if tracker.get(key)]


def _line(text: str) -> str:
    return " ".join(str(text).split())
