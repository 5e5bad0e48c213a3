"""Run one task with checked settings; keep its log, settings and timings under `runs/<time>/`."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from pipeline.errors import ConfigError, DiskError
from pipeline.layout import Layout
from pipeline.layout_of import layout_of
from pipeline.settings import Settings
from pipeline.writing import disk_errors, write_bytes

if TYPE_CHECKING:
    from pipeline.build import Summary

    Ended = tuple[int, Summary | None]

log = logging.getLogger(__name__)


def run(settings: Settings, overrides: Sequence[str]) -> Ended:
    """Run the task; returns its exit status, and a build's summary. Raises the errors of the three packages."""
    if settings.url is None or settings.task == "doctor":
        return _run(settings, overrides)
    from pipeline.mirror.session import exchanged

    with exchanged(settings):
        return _run(settings, [_without_secrets(word, settings) for word in overrides])


def _without_secrets(word: str, settings: Settings) -> str:
    """A word of the command line as it may be kept beside the dataset, where others read it."""
    return f"out={settings.place}" if word.partition("=")[0] == "out" else word


def _run(settings: Settings, overrides: Sequence[str]) -> Ended:
    layout = layout_of(settings)
    task = settings.task if settings.task != "segment" else _way_to_segment(settings)
    if task in TELLS:
        return TELLS[task](settings, layout), None
    with recorded(settings, layout, overrides) as folder:
        if task in MAKES:
            return MAKES[task](settings, layout, folder), None
        summary = BUILDS[task](settings, layout, folder)
        write_bytes(folder / "timings.json", orjson.dumps(summary.seconds, option=orjson.OPT_INDENT_2))
    return summary.status, summary


# -- tasks that keep nothing of their run: they print, and return an exit status --------------------------------------


def _plan(settings: Settings, layout: Layout) -> int:
    from pipeline.tasks.plan import plan

    status, text = plan(settings)
    print(text)
    return status


def _doctor(settings: Settings, layout: Layout) -> int:
    from pipeline.tasks.doctor import doctor

    status, text = doctor(settings)
    print(text)
    return status


def _status(settings: Settings, layout: Layout) -> int:
    from pipeline.tasks.status import status

    print(status(settings))
    return 0


def _verify(settings: Settings, layout: Layout) -> int:
    from pipeline.checksums import described, verify

    verdict = verify(layout)
    print(described(verdict, layout))
    return 0 if verdict.whole else 3


def _upload(settings: Settings, layout: Layout) -> int:
    from pipeline.tasks.upload import upload

    return upload(settings, layout)


def _describe(settings: Settings, layout: Layout) -> int:
    from pipeline.tasks.segment import describe

    print(describe(settings))
    return 0


TELLS: dict[str, Callable[[Settings, Layout], int]] = {
    "plan": _plan,
    "doctor": _doctor,
    "status": _status,
    "verify": _verify,
    "upload": _upload,
    "segment nothing": _describe,
}

# -- tasks with a folder of their run: they return an exit status ------------------------------------------------------


def _preview(settings: Settings, layout: Layout, folder: Path) -> int:
    from pipeline.tasks.preview import preview

    return preview(settings, layout)


def _batch(settings: Settings, layout: Layout, folder: Path) -> int:
    from pipeline.tasks.batch import batch

    return batch(settings, layout, folder)


def _way_to_segment(settings: Settings) -> str:
    """task=segment by what is given of objects: "segment", what the tracker proposes, or nothing to follow."""
    if settings.segment.given:
        return "segment"
    return "segment proposals" if getattr(settings.tracker, "names_objects", False) else "segment nothing"


def _segment(settings: Settings, layout: Layout, folder: Path) -> int:
    from pipeline.tasks.segment import segment

    return segment(settings, layout)


def _segment_proposals(settings: Settings, layout: Layout, folder: Path) -> int:
    from pipeline.tasks.segment_auto import segment_auto

    return segment_auto(settings, layout)


def _label(settings: Settings, layout: Layout, folder: Path) -> int:
    from pipeline.label_import import label

    return label(settings, layout)


def _outputs(settings: Settings, layout: Layout, folder: Path) -> int:
    from pipeline.tasks.outputs import outputs

    return outputs(settings, layout)


def _export(settings: Settings, layout: Layout, folder: Path) -> int:
    from pipeline.derive import checksums, export

    written = export(settings, layout)
    checksums(layout)
    for name in settings.exports:
        log.info("%s %s", layout.exports / name, "written" if name in written else "is up to date")
    return 0


def _report(settings: Settings, layout: Layout, folder: Path) -> int:
    from pipeline.derive import report

    report(settings, layout, {})
    log.info("report: %s", layout.report)
    return 0


MAKES: dict[str, Callable[[Settings, Layout, Path], int]] = {
    "preview": _preview,
    "batch": _batch,
    "segment": _segment,
    "segment proposals": _segment_proposals,
    "label": _label,
    "outputs": _outputs,
    "export": _export,
    "report": _report,
}

# -- tasks that work through chunks: they return a summary -------------------------------------------------------------


def _demo(settings: Settings, layout: Layout, folder: Path) -> Summary:
    from pipeline.tasks.demo import demo

    return demo(settings)


def _build(settings: Settings, layout: Layout, folder: Path) -> Summary:
    from pipeline.build import Build

    summary = Build(settings, folder).run()
    _announce(settings, summary, layout)
    return summary


BUILDS: dict[str, Callable[[Settings, Layout, Path], Summary]] = {
    "build": _build,
    "track": _build,
    "crop": _build,
    "clip": _build,
    "demo": _demo,
}


def _announce(settings: Settings, summary: Summary, layout: Layout) -> None:
    if summary.reused_windows and not summary.tracked_windows:
        log.info("tracks: reused, nothing was tracked")
    elif summary.tracked_windows:
        log.info("tracks: %d windows tracked, %d reused", summary.tracked_windows, summary.reused_windows)
    if settings.task == "track":
        log.info("tracks in %s; crop them with task=build and the same settings", settings.tracks)
    elif settings.task == "clip":
        log.info("clips in %s", layout.clips)
    else:
        log.info(
            "%d crops of %d clips from %d videos in %s; %d refused; report: %s",
            summary.crops, summary.clips, summary.videos, settings.place, summary.rejected, layout.report,
        )  # fmt: skip
        if not summary.crops and summary.clips:
            _say_why_none(layout)
    if summary.failures:
        _name_failures(layout, summary.failures)


def _say_why_none(layout: Layout) -> None:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    rows = pq.read_table(layout.rejected, columns=["object_id", "reason"])
    reasons = Counter(rows.filter(pc.is_valid(rows["object_id"]))["reason"].to_pylist()).most_common()
    if reasons:
        refused = ", ".join(f"{count} {reason}" for reason, count in reasons)
        log.warning("no crop was kept, all objects were refused: %s; the report shows them (filters.NAME.*)", refused)
    else:
        log.warning("no crop was kept: nothing was found; task=preview shows what each prompt finds")


def _name_failures(layout: Layout, count: int) -> None:
    log.warning("%d failures; a rerun tries them again", count)
    if not layout.failures.is_file():
        return
    import pyarrow.parquet as pq

    rows = pq.read_table(layout.failures).to_pylist()
    alike = Counter((row["video"], row["stage"], row["error"]) for row in rows)
    for (video, stage, error), times in list(alike.items())[:10]:
        log.warning("failed: %s %s: %s%s", video, stage, error, f" ({times} times)" if times > 1 else "")
    if len(alike) > 10:
        log.warning("... and %d more; all are in %s", len(rows) - sum(list(alike.values())[:10]), layout.failures)


@contextmanager
def recorded(settings: Settings, layout: Layout, overrides: Sequence[str]) -> Iterator[Path]:
    """Keep config, overrides and log of this run under `runs/<time>/`."""
    folder = layout.runs / f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{os.getpid()}"
    try:
        write_bytes(folder / "config.yaml", settings.document.encode())
        write_bytes(folder / "overrides.txt", "".join(f"{o}\n" for o in overrides).encode())
        with disk_errors(folder / "log.txt"):
            handler = logging.FileHandler(folder / "log.txt")
    except DiskError as error:  # nothing has been started yet
        raise ConfigError(f"out={settings.out}: {error}") from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield folder
    except BaseException as error:
        log.debug("stopped by %s", type(error).__name__)
        raise
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
