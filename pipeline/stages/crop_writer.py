"""Frames -> files: renders, measures, judges and encodes the crop of one object, and saves clips.

Called from several threads at once; holds nothing but settings. A file appears under its name when it is whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline import thumbnails
from pipeline.extractor import render_crop
from pipeline.judge import Judge
from pipeline.layout import Layout
from pipeline.near_duplicates import phash
from pipeline.records import CropFile, Sample
from pipeline.settings import Settings
from pipeline.stages import colours
from pipeline.stages.measure import Draft
from pipeline.stages.quality import pixel_figures
from pipeline.writing import writing
from video.encoder import encode
from video.types import Clip


class CropWriter:
    """Writes under one layout."""

    def __init__(self, settings: Settings, layout: Layout) -> None:
        self._settings = settings
        self._layout = layout

    def crop(self, draft: Draft, frames: Sequence[NDArray[np.uint8]], judge: Judge) -> Sample:
        """The sample with the figures of its pixels, and with its files unless these figures refuse it; then it gets a
        thumbnail.

        frames: the clip's N frames, (H, W, 3) uint8 RGB. Raises ValueError for another number, VideoError, DiskError.
        """
        rendered = render_crop(draft.placement, frames, self._settings.crop)
        pixels = pixel_figures(draft.placement, frames, next(iter(rendered.values())))
        looks, files = colours.measure(draft.placement, frames), []
        seen = phash(next(iter(rendered.values()))[thumbnails.middle(draft.placement)])
        sample = replace(draft.sample, pixels=pixels, colours=looks, phash=seen)
        if judge.refusal(sample) is not None:
            self.thumbnail(draft, frames)
            return sample
        for n, (background, crop) in enumerate(rendered.items()):
            path = self._layout.crop(sample.clip_id, sample.sample_id, background if n else None)
            with writing(path) as part:
                square, exact = (self._settings.crop.size,) * 2, background == "mask"
                done = encode(part, crop, sample.fps, self._settings.encode, size=square, exact_luma=exact)
            files.append(CropFile(background, self._layout.relative(path), done.sha256, done.bytes))
        return replace(sample, files=tuple(files))

    def thumbnail(self, draft: Draft, frames: Sequence[NDArray[np.uint8]]) -> None:
        """Write the small picture of a refused object. frames: as above. Raises DiskError."""
        thumbnails.write(self._layout, draft.sample.sample_id, draft.placement, frames)

    def clip(self, clip: Clip, frames: Sequence[NDArray[np.uint8]]) -> None:
        """Write the clip's own frames as H.264; an odd last row or column is cut, which yuv420p cannot hold."""
        height, width = (n - n % 2 for n in frames[0].shape[:2])
        with writing(self._layout.clip(clip.id)) as part:
            cut = (f[:height, :width] for f in frames)
            encode(part, cut, clip.rate, self._settings.encode, size=(width, height))
