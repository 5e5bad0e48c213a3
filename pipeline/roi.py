"""Regions of interest: polygons per camera that say where objects count.

The JSON file maps a glob on the video's name to polygons in source pixels as displayed:

    {"cam1*": {"keep": [[[0, 200], [1280, 200], [1280, 720], [0, 720]]],
               "ignore": [[[900, 0], [1280, 0], [1280, 300]]]}}

A point counts when it lies in some `keep` polygon (or there is none) and in no `ignore` polygon. The first pattern that
matches a video is used; a video that none matches has no region and keeps everything.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError

Polygon = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Region:
    """The polygons of one pattern, each (n, 2) float32 x, y."""

    keep: tuple[Polygon, ...]
    ignore: tuple[Polygon, ...]

    def holds(self, x: float, y: float) -> bool:
        kept = not self.keep or any(_inside(polygon, x, y) for polygon in self.keep)
        return kept and not any(_inside(polygon, x, y) for polygon in self.ignore)


@dataclass(frozen=True, slots=True)
class Regions:
    """Regions by pattern, in the file's order."""

    patterns: tuple[tuple[str, Region], ...] = ()
    _found: dict[str, Region | None] = field(default_factory=dict, init=False, repr=False, compare=False)  # by video

    def share(self, video: str, boxes: Sequence[tuple[int, int, int, int] | None]) -> float:
        """Share of the visible boxes whose centre counts, 0..1."""
        if video not in self._found:
            self._found[video] = next((region for pattern, region in self.patterns if fnmatch(video, pattern)), None)
        region = self._found[video]
        seen = [box for box in boxes if box is not None]
        if region is None or not seen:
            return 1.0
        return sum(region.holds((x0 + x1) / 2, (y0 + y1) / 2) for x0, y0, x1, y1 in seen) / len(seen)


def load_regions(path: Path | None) -> Regions:
    """Read `select.roi`; raises ConfigError that names the file and what is wrong."""
    if path is None:
        return Regions()
    try:
        raw = json.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"select.roi={path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"select.roi={path} is not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f'select.roi={path} must map a pattern to polygons, such as {{"cam1*": {{"keep": [...]}}}}')
    return Regions(tuple((pattern, _region(path, pattern, value)) for pattern, value in raw.items()))


def _region(path: Path, pattern: str, value: Any) -> Region:
    if not isinstance(value, dict) or not value or set(value) - {"keep", "ignore"}:
        raise ConfigError(f"select.roi={path}: {pattern!r} must have keep and/or ignore, got {value!r}")
    for key, polygons in value.items():
        if not isinstance(polygons, list):
            raise ConfigError(f"select.roi={path}: {pattern!r}.{key} must be a list of polygons, got {polygons!r}")
    return Region(
        keep=tuple(_polygon(path, pattern, p) for p in value.get("keep", [])),
        ignore=tuple(_polygon(path, pattern, p) for p in value.get("ignore", [])),
    )


def _polygon(path: Path, pattern: str, points: Any) -> Polygon:
    try:
        polygon = np.array(points, np.float32)
    except (TypeError, ValueError):
        polygon = np.empty(0, np.float32)
    if polygon.ndim != 2 or polygon.shape[1] != 2 or len(polygon) < 3 or not np.isfinite(polygon).all():
        raise ConfigError(
            f"select.roi={path}: {pattern!r} has a polygon that is not 3 or more [x,y] points: {points!r}"
        )
    return polygon


def _inside(polygon: Polygon, x: float, y: float) -> bool:
    return bool(cv2.pointPolygonTest(polygon, (x, y), False) >= 0)
