"""The content-addressed tracks: one parquet file per chunk and prompt, under a key of all that decides the masks.

Equal keys mean interchangeable tracks, whatever the crop, filter, split or export settings, so a dataset is cropped
again without tracking, on a machine without the tracker. A chunk of which a window was tracked with fewer objects,
because memory ran out, is stored under a key of its own and stands in until the whole tracks are there. It never tracks
and never reads a video.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from pipeline.layout import Layout
from pipeline.tables import read_table, write_table
from pipeline.writing import write_bytes
from sam.types import Detected, Mask, Track
from video.types import Chunk, Clip

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

FORMAT = 1


@dataclass(frozen=True, slots=True)
class WindowTracks:
    """What one session found for one prompt.

    positions: (T,) int64 grid positions of the session's frames, ascending; damaged frames may be missing. indices:
    (T,) int64 displayed frame numbers in the file. times_s: (T,) float64 seconds from the first displayed frame.
    corrupt: session frames that the decoder flagged. error: why tracking failed, None if it did not. detected: what the
    tracks began from, of a tracker that detects first; frames are of the session. corrected: ids of objects that a
    person's corrections changed or named.
    """

    window_id: str
    positions: NDArray[np.int64]
    indices: NDArray[np.int64]
    times_s: NDArray[np.float64]
    corrupt: tuple[int, ...]
    tracks: tuple[Track, ...]
    degraded: bool = False
    error: str | None = None
    detected: tuple[Detected, ...] = ()
    corrected: tuple[int, ...] = ()

    def frames_of(self, clip: Clip) -> range:
        """The session frames that lie in a clip: all of its frames, or fewer where the video ends or is damaged."""
        first, last = np.searchsorted(self.positions, [clip.start, clip.stop])
        return range(int(first), int(last))


def track_key(chunk: Chunk, prompt: str, tracker: str, identity: Mapping[str, Any], reader: str) -> str:
    """The key of the tracks of one chunk and prompt.

    The fingerprint, the grid and the positions fix every frame and its time; `identity` is all the tracker says about
    itself. Never in it: device, batch, workers, memory, path.
    """
    parts = {
        "format": FORMAT,
        "fingerprint": chunk.video.fingerprint,
        "rotation": chunk.video.rotation,
        "grid": str(chunk.grid),
        "windows": [(name, span.start, span.stop) for name, span in zip(chunk.window_ids, chunk.spans, strict=True)],
        "reader": reader,
        "prompt": prompt,
        "tracker": tracker,
        "identity": identity,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def degraded_key(key: str) -> str:
    """The key of the same tracks with fewer objects than there were, because memory ran out."""
    return hashlib.sha256(json.dumps({"tracks": key, "degraded": True}, sort_keys=True).encode()).hexdigest()[:32]


class TrackStore:
    """Reads and writes tracks under one layout."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def has(self, key: str, complete: bool = False) -> bool:
        """Whether tracks are stored for this key; with `complete`, without a window that failed or is degraded."""
        if complete:
            return self._layout.has(self._layout.track_file(key)) and bool(self.whole(key))
        return any(self._layout.has(self._layout.track_file(each)) for each in (key, degraded_key(key)))

    def whole(self, key: str) -> bool | None:
        """Whether what lies under this very key is without a window that failed or is degraded; None where nothing can
        be read there."""
        path = self._layout.track_file(key)
        try:
            return not any(w["error"] or w["degraded"] for w in _windows(self._layout.here(path)))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            _say_damaged(path, error)
            return None

    def known(self, key: str) -> dict[str, WindowTracks]:
        """The stored tracks by window id; none where there is no file, or one that cannot be read."""
        if not self.has(key):
            return {}
        try:
            return self.read(key)
        except (OSError, ValueError, KeyError, TypeError) as error:
            _say_damaged(self._layout.track_file(key), error)
            return {}

    def write(self, key: str, prompt: str, windows: Sequence[WindowTracks]) -> None:
        """Store the tracks of a chunk's windows, in order. Equal tracks give equal bytes.

        With a degraded window all of them go under `degraded_key`; whole tracks without a failure end that file.
        """
        second = degraded_key(key)
        self._write(second if any(w.degraded for w in windows) else key, prompt, windows)
        if not any(w.degraded or w.error for w in windows):
            self._layout.remove(self._layout.track_file(second))

    def _write(self, key: str, prompt: str, windows: Sequence[WindowTracks]) -> None:
        rows = [
            {
                "window": w,
                "object_id": track.object_id,
                "frame": int(frame),
                "box": mask.box,
                "counts": mask.counts,
                "first_score": track.first_score,
            }
            for w, window in enumerate(windows)
            for track in window.tracks
            for frame, mask in zip(track.frames, track.masks, strict=True)
        ]
        head = {
            "format": FORMAT,
            "prompt": prompt,
            "windows": [
                {
                    "id": w.window_id,
                    "positions": w.positions.tolist(),
                    "indices": w.indices.tolist(),
                    "times_s": w.times_s.tolist(),
                    "corrupt": w.corrupt,
                    "degraded": w.degraded,
                    "error": w.error,
                    **({"detected": [asdict(each) for each in w.detected]} if w.detected else {}),
                    **({"corrected": w.corrected} if w.corrected else {}),
                }
                for w in windows
            ],
        }
        import pyarrow as pa

        schema = _rows().with_metadata({b"tracks": orjson.dumps(head)})
        write_table(self._layout.track_file(key), pa.Table.from_pylist(rows, schema=schema))

    def read(self, key: str) -> dict[str, WindowTracks]:
        """The stored tracks by window id; raises FileNotFoundError when there are none.

        A degraded window stands in where the whole one is missing or failed.
        """
        second = degraded_key(key)
        if not self._layout.has(self._layout.track_file(second)):
            return self._read(key)
        instead = self._read(second)
        found = self._read(key) if self._layout.has(self._layout.track_file(key)) else {}
        whole = {window: tracks for window, tracks in found.items() if tracks.error is None}
        return found | instead | whole

    def _read(self, key: str) -> dict[str, WindowTracks]:
        table = read_table(self._layout.here(self._layout.track_file(key)))
        head = _head(table.schema)
        tracks: list[list[Track]] = [[] for _ in head["windows"]]
        detected = [_detected(w) for w in head["windows"]]
        phrases = [{each.object_id: each.phrase for each in found} for found in detected]
        rows = table.to_pylist()
        for (window, object_id), group in groupby(rows, key=lambda row: (row["window"], row["object_id"])):
            seen = list(group)
            tracks[window].append(
                Track(
                    object_id=object_id,
                    prompt=phrases[window].get(object_id, head["prompt"]),
                    frames=np.array([row["frame"] for row in seen], np.int32),
                    masks=tuple(Mask(tuple(row["box"]), row["counts"]) for row in seen),
                    first_score=seen[0]["first_score"],
                )
            )
        return {
            w["id"]: WindowTracks(
                window_id=w["id"],
                positions=np.array(w["positions"], np.int64),
                indices=np.array(w["indices"], np.int64),
                times_s=np.array(w["times_s"], np.float64),
                corrupt=tuple(w["corrupt"]),
                tracks=tuple(found),
                degraded=w["degraded"],
                error=w["error"],
                detected=began,
                corrected=tuple(w.get("corrected", ())),
            )
            for w, found, began in zip(head["windows"], tracks, detected, strict=True)
        }

    def size(self, keys: Sequence[str]) -> int:
        """Bytes of what is stored for these keys."""
        paths = [self._layout.track_file(each) for key in keys for each in (key, degraded_key(key))]
        return sum(path.stat().st_size for path in paths if path.is_file())

    def remove(self, key: str) -> None:
        for each in (key, degraded_key(key)):
            self._layout.remove(self._layout.track_file(each))

    def remember_identity(self, tracker: str, options: object, identity: Mapping[str, Any]) -> None:
        """Note what the tracker said about itself, for machines that crop its tracks without having it."""
        write_bytes(self._identity_path(tracker, options), orjson.dumps(identity, option=orjson.OPT_SORT_KEYS))

    def remembered_identity(self, tracker: str, options: object) -> dict[str, Any] | None:
        """What `remember_identity` noted for these options, or None."""
        try:
            identity = orjson.loads(self._identity_path(tracker, options).read_bytes())
        except FileNotFoundError:
            return None
        assert isinstance(identity, dict)
        return identity

    def _identity_path(self, tracker: str, options: Any) -> Any:
        shape = json.dumps([tracker, asdict(options)], sort_keys=True, default=str)
        return self._layout.tracker_identity(hashlib.sha256(shape.encode()).hexdigest()[:16])


def _say_damaged(path: Path, error: Exception) -> None:
    log.warning("%s is not a readable track file (%s): its windows are tracked again", path, error)


def _detected(window: Mapping[str, Any]) -> tuple[Detected, ...]:
    return tuple(Detected(**each | {"box": tuple(each["box"])}) for each in window.get("detected", ()))


def _windows(path: Path) -> list[dict[str, Any]]:
    """What a track file says about its windows, without its masks."""
    import pyarrow.parquet as pq

    return list(_head(pq.read_schema(path))["windows"])


def _rows() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("window", pa.int32(), nullable=False),
            pa.field("object_id", pa.int32(), nullable=False),
            pa.field("frame", pa.int32(), nullable=False),
            pa.field("box", pa.list_(pa.int32(), 4), nullable=False),
            pa.field("counts", pa.binary(), nullable=False),
            pa.field("first_score", pa.float32(), nullable=False),
        ]
    )


def _head(schema: pa.Schema) -> dict[str, Any]:
    head = orjson.loads(schema.metadata[b"tracks"])
    assert isinstance(head, dict)
    return head
