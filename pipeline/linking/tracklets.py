"""Tracklets: one object as one tracking session saw it, put together from the records of its clips.

The tracker's own word joins the clips of a window; everything beyond is `pipeline.linking.link`'s. What another prompt
found too (`duplicate_of`) is left out: its twin stands for it. Objects that a filter refuses are there, because they
bridge, but without their colours: these are known only if the object was admitted once, and equal settings give equal
individuals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.records import ChunkRecord, Sample
from pipeline.stages.colours import decode


@dataclass(frozen=True, slots=True)
class Tracklet:
    """n visible frames of one object in one window, ascending.

    samples: its sample ids in order of time. frames: (n,) int64 source frames. times_s: (n,) float64 seconds.
    boxes: (n, 4) float32, xyxy half-open source pixels. colours: (216,) float32 shares, None where no crop of it is
    kept. size: (width, height) of the source.
    """

    video: str
    size: tuple[int, int]
    window_id: str
    prompt: str
    object_id: int
    samples: tuple[str, ...]
    frames: NDArray[np.int64]
    times_s: NDArray[np.float64]
    boxes: NDArray[np.float32]
    colours: NDArray[np.float32] | None

    @property
    def key(self) -> tuple[str, str, int]:
        return self.window_id, self.prompt, self.object_id


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is kept of one sample."""

    sample_id: str
    frames: NDArray[np.int64]
    times_s: NDArray[np.float64]
    boxes: NDArray[np.float32]
    colours: str | None


@dataclass(slots=True)
class Tracklets:
    """Collects records; `of_videos` gives the tracklets by fingerprint. The order of the records does not matter."""

    _pieces: dict[str, dict[tuple[str, str, int], list[_Piece]]] = field(default_factory=dict)
    _videos: dict[str, tuple[str, tuple[int, int]]] = field(default_factory=dict)

    def add(self, record: ChunkRecord, keeps: Callable[[Sample], bool]) -> None:
        """keeps: whether the filters admit an object."""
        for sample in record.samples:
            if sample.duplicate_of is None:
                key = sample.window_id, sample.prompt, sample.object_id
                self._videos[sample.video_fingerprint] = sample.video, (sample.source_width, sample.source_height)
                self._pieces.setdefault(sample.video_fingerprint, {}).setdefault(key, []).append(
                    _piece(sample, keeps(sample))
                )

    def of_videos(self) -> dict[str, list[Tracklet]]:
        """By fingerprint, the tracklets in order of time, then window, prompt and number."""
        found = {}
        for fingerprint, by_key in sorted(self._pieces.items()):
            name, size = self._videos[fingerprint]
            made = [_tracklet(name, size, key, pieces) for key, pieces in by_key.items()]
            found[fingerprint] = sorted(made, key=lambda t: (float(t.times_s[0]), t.key))
        return found


def _piece(sample: Sample, kept: bool) -> _Piece:
    seen = [n for n, box in enumerate(sample.boxes) if box is not None]
    return _Piece(
        sample.sample_id,
        np.array(sample.frame_indices, np.int64)[seen],
        np.array(sample.timestamps_s, np.float64)[seen],
        np.array([sample.boxes[n] for n in seen], np.float32).reshape(-1, 4),
        sample.colours if kept else None,
    )


def _tracklet(video: str, size: tuple[int, int], key: tuple[str, str, int], pieces: list[_Piece]) -> Tracklet:
    pieces = sorted(pieces, key=lambda p: (int(p.frames[0]), p.sample_id))
    frames, first = np.unique(np.concatenate([p.frames for p in pieces]), return_index=True)  # clips may overlap
    colours = [decode(p.colours) for p in pieces if p.colours is not None]
    return Tracklet(
        video,
        size,
        *key,
        samples=tuple(p.sample_id for p in pieces),
        frames=frames,
        times_s=np.concatenate([p.times_s for p in pieces])[first],
        boxes=np.concatenate([p.boxes for p in pieces])[first],
        colours=np.asarray(np.mean(colours, axis=0), np.float32) if colours else None,
    )
