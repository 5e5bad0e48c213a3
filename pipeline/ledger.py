"""The ledger: one atomic JSON file per finished chunk and per probed video. What has no record is done again.

JSON files survive network drives, where cluster jobs meet and where databases corrupt. A file that cannot be read
counts as absent, so a damaged record costs one chunk and no more.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

import orjson

from pipeline.judge import Judge
from pipeline.layout import Layout
from pipeline.records import ChunkRecord
from pipeline.writing import write_bytes
from video.remote import RemoteStat
from video.types import Chunk, Video, digest

log = logging.getLogger(__name__)


def record_id(chunk: Chunk, track_keys: Sequence[str], crop: Mapping[str, object], encode: Mapping[str, object]) -> str:
    """The id of a chunk's record: its windows, its tracks, and every setting that changes a crop's bytes."""
    return digest("record", chunk.id, tuple(track_keys), crop, encode, length=24)


@dataclass(frozen=True, slots=True)
class VideoEntry:
    """What probing one file gave: a video, or the reason why it cannot be used."""

    video: Video | None
    error: str | None


class Ledger:
    """Reads and writes records under one layout."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def read(self, record: str) -> ChunkRecord | None:
        """The record, or None when it is absent or damaged."""
        path = self._layout.here(self._layout.record(record))
        try:
            return ChunkRecord.from_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            log.warning("%s is not a readable record (%s): its chunk is done again", path, error)
            return None

    def write(self, record: ChunkRecord) -> None:
        write_bytes(self._layout.record(record.id), record.to_json())

    def remove(self, record: str) -> None:
        self._layout.remove(self._layout.record(record))

    def known_video(
        self, path: str, name: str, time_pattern: str | None, remote: RemoteStat | None = None
    ) -> VideoEntry | None:
        """What probing this file gave when it had the size and modification time it has now.

        path: or a URL, then with what its server says of it.
        """
        try:
            raw = orjson.loads(self._layout.video_record(_video_key(path, name, time_pattern)).read_bytes())
            if raw["stat"] != _stat(path, remote):
                return None
            return VideoEntry(_video_from(raw["video"]) if raw["video"] else None, raw["error"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def known_videos(self) -> list[Video]:
        """Every video that was ever probed for this dataset, as it was then; it may lie elsewhere by now."""
        found = []
        for path in sorted(self._layout.video_records.glob("*.json")):
            try:
                raw = orjson.loads(path.read_bytes())
                found.append(_video_from(raw["video"]))
            except (OSError, ValueError, KeyError, TypeError):  # an activity, or a file that could not be read
                continue
        return found

    def remember_video(
        self, path: str, name: str, time_pattern: str | None, entry: VideoEntry, remote: RemoteStat | None = None
    ) -> None:
        raw = {
            "stat": _stat(path, remote),
            "video": _video_raw(entry.video) if entry.video else None,
            "error": entry.error,
        }
        write_bytes(self._layout.video_record(_video_key(path, name, time_pattern)), orjson.dumps(raw))

    def known_activity(self, fingerprint: str) -> list[float] | None:
        """The bytes that every second of a video spends on change, if that was measured before."""
        try:
            found = orjson.loads(self._layout.video_record(_activity_key(fingerprint)).read_bytes())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, list) and found else None

    def remember_activity(self, fingerprint: str, rates: Sequence[float]) -> None:
        write_bytes(self._layout.video_record(_activity_key(fingerprint)), orjson.dumps(list(rates)))


def unfinished(record: ChunkRecord | None, judge: Judge, crop_sizes: Mapping[str, int], retry_failed: bool) -> bool:
    """Whether a chunk with this record has work left: something to retry, or an admitted object without its crop.

    crop_sizes: bytes of every crop of the chunk on disk, by path relative to the dataset root.
    """
    if record is None or (retry_failed and record.incomplete):
        return True
    for sample in record.samples:
        there = sample.files and all(crop_sizes.get(f.path) == f.size for f in sample.files)
        if not there and judge.refusal(sample) is None:
            return True
    return False


def _stat(path: str, remote: RemoteStat | None) -> list[int | str]:
    if remote is not None:
        return [remote.size, remote.stamp]
    stat = os.stat(path)
    return [stat.st_size, stat.st_mtime_ns]


def _activity_key(fingerprint: str) -> str:
    return f"activity-{fingerprint}"


def _video_key(path: str, name: str, time_pattern: str | None) -> str:
    return digest("video", path, name, time_pattern)


def _video_raw(video: Video) -> dict[str, Any]:
    recorded = video.recorded_at.isoformat() if video.recorded_at else None
    return asdict(video) | {"fps": [video.fps.numerator, video.fps.denominator], "recorded_at": recorded}


def _video_from(raw: dict[str, Any]) -> Video:
    recorded = datetime.fromisoformat(raw["recorded_at"]) if raw["recorded_at"] else None
    return Video(**raw | {"fps": Fraction(*raw["fps"]), "recorded_at": recorded})
