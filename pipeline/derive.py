"""What is derived from the index: exports and report, and the stamps that say what each was last made from.

A derived file is made again exactly when what it is made from has changed.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.checksums import write_checksums
from pipeline.errors import DatasetError
from pipeline.layout import Layout
from pipeline.release import release_stamp, write_release
from pipeline.settings import Settings
from pipeline.tables import read_table
from pipeline.writing import write_bytes, writing_folder
from video.types import digest

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.tasks.promised import Compared

log = logging.getLogger(__name__)


def export(settings: Settings, layout: Layout) -> list[str]:
    """Write the exports whose samples or options changed; returns their names. Raises DatasetError for splits that
    leak."""
    from pipeline import audit

    samples = _samples_stamp(layout)
    by_individual = settings.split.by == "individual"
    audited = digest(samples, by_individual)
    if read_state(layout).get("audit") != audited:
        audit.check(read_table(layout.samples, audit.COLUMNS), by_individual)
        write_state(layout, audit=audited)
    told = digest(samples, release_stamp(settings, layout))
    if read_state(layout).get("release") != told or not layout.release.is_file():
        write_release(settings, layout)
        write_state(layout, release=told)
    table = None
    written = []
    for name, options in settings.exports.items():
        target = layout.exports / name
        said = layout.release.read_bytes() if getattr(options, "released", False) else b""
        stamp = digest(samples, asdict(options), settings.link, settings.classes, said)
        if read_state(layout).get(f"export.{name}") == stamp and layout.has(target):
            continue
        table = read_table(layout.samples) if table is None else table
        everything = getattr(options, "everything", False)
        chosen = table.append_column("class", table["label"]) if everything else with_classes(table, settings.classes)
        layout.exports.mkdir(parents=True, exist_ok=True)
        if getattr(options, "reads_crops", False):
            layout.bring(layout.root / path for path in crop_paths(chosen))
        with writing_folder(target) as part:
            options.write(chosen, layout, part, settings.link)
        layout.replaced(target)
        write_state(layout, **{f"export.{name}": stamp})
        written.append(name)
    return written


def crop_paths(samples: pa.Table) -> list[str]:
    """Paths of the crops of these samples, with all variants."""
    variants = samples["variants"].combine_chunks().flatten().field("path")
    return [*samples["path"].to_pylist(), *variants.to_pylist()]


def with_classes(samples: pa.Table, classes: str) -> pa.Table:
    """The samples to export, with the column `class`: the label, or the prompt.

    classes: prompt; label, which leaves out what has none; auto is label as soon as there are labels.
    """
    import pyarrow.compute as pc

    labelled = pc.is_valid(samples["label"])
    if classes == "prompt" or (classes == "auto" and not pc.any(labelled).as_py()):
        return samples.append_column("class", samples["prompt"])
    kept = samples.filter(labelled)
    left = len(samples) - len(kept)
    if left:
        log.info("exports: %d crops without a label are left out (export.classes=prompt exports all)", left)
    return kept.append_column("class", kept["label"])


def report(
    settings: Settings,
    layout: Layout,
    seconds: Mapping[str, float],
    speed: str = "",
    planned: Sequence[Compared] = (),
) -> None:
    """Write the report if the index changed. seconds: of this run, by stage. speed: how fast it was, in words. planned:
    what a trial promised for it."""
    stamp = digest(_samples_stamp(layout), settings.digest)
    if read_state(layout).get("report") == stamp and layout.has(layout.report):
        return
    from pipeline.report.render import write_report

    write_report(
        layout.root,
        layout.report,
        settings=settings.values,
        timings=seconds,
        speed=speed,
        planned=planned,
        bring=layout.bring,
    )
    layout.replaced(layout.report.parent)
    write_state(layout, report=stamp)


def checksums(layout: Layout) -> None:
    """List the files of the dataset anew if any of them changed."""
    exported = {name: stamp for name, stamp in read_state(layout).items() if name.startswith("export.")}
    others = (layout.dataset_yaml, layout.links, layout.splits, layout.labels, layout.release)
    small = [_digest(path) for path in others if path.is_file()]
    stamp = digest(_samples_stamp(layout), sorted(exported.items()), small)
    if read_state(layout).get("checksums") == stamp and layout.checksums.is_file():
        return
    write_checksums(layout)
    write_state(layout, checksums=stamp)


def _samples_stamp(layout: Layout) -> str:
    """The index as it is on disk; raises DatasetError when there is none."""
    files = [layout.samples, layout.rejected, layout.failures]
    if not all(f.is_file() for f in files):
        raise DatasetError(f"{layout.named} has no samples.parquet: build the dataset first, with task=build")
    return digest(*map(_digest, files))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_state(layout: Layout) -> dict[str, Any]:
    """The stamps by name; none when they were never written or cannot be read."""
    try:
        state = orjson.loads(layout.index_state.read_bytes())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def write_state(layout: Layout, **changes: Any) -> None:
    """Change some stamps."""
    write_bytes(layout.index_state, orjson.dumps(read_state(layout) | changes, option=orjson.OPT_INDENT_2))
