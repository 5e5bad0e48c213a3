"""FiftyOne: the `samples.json` of a FiftyOneDataset, with a field sample_id and a Classification `label` per sample."""

from __future__ import annotations

from pathlib import Path

import orjson

from pipeline.errors import ConfigError
from pipeline.label_formats.said import Said
from pipeline.span_table import Line

FIELDS = ("label", "ground_truth")


def understands(path: Path, head: bytes) -> bool:
    return path.suffix.lower() == ".json" and head.lstrip().startswith(b"{") and b'"samples"' in head


def read(path: Path) -> Said:
    """A line for every classified sample. Raises ConfigError for a file without such samples."""
    try:
        samples = orjson.loads(path.read_bytes())["samples"]
    except (orjson.JSONDecodeError, KeyError) as error:
        raise ConfigError(f"labels={path} is not whole JSON ({error}): export it from FiftyOne again") from error
    lines: list[Line] = []
    for number, sample in enumerate(samples, start=1):
        found = next((sample[field] for field in FIELDS if isinstance(sample.get(field), dict)), None)
        if found is None:
            continue
        if not sample.get("sample_id"):
            raise ConfigError(
                f"labels={path}: sample {number} has no field sample_id, so nobody knows which crop it is: make the "
                "dataset with exports=[fiftyone]"
            )
        lines.append((number, {"sample_id": sample["sample_id"], "label": found.get("label") or ""}))
    if not lines:
        raise ConfigError(f"labels={path}: none of its {len(samples)} samples has a Classification in the field label")
    return Said("sample", tuple(lines))
