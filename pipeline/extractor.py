"""Cut one object out of the frames of a clip: masks and windows -> square pictures of one size.

It never decodes or writes a file and never works on a whole frame: pixels are sliced to the window first, masks are
decoded box-local. Invariants: nothing is distorted; with the background `black` every pixel that the resized mask
does not cover is exactly 0; the edge of an object fades towards its background by coverage (premultiplied), so no
colour of the surroundings bleeds into it; all backgrounds of a crop share their windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.stages.geometry import SCALES, square_windows
from pipeline.stages.resampling import array, covered, enlarge, faded, resize, spread
from sam.types import Mask, Track

BACKGROUNDS = ("black", "context", "blur", "mean", "mask")
MISSING = ("black", "hold")
FOREIGN = ("keep", "black")

Picture = NDArray[np.uint8]
Box = tuple[int, int, int, int]


@dataclass
class CropConfig:
    """How crops look.

    size: side of the crop in pixels. margin: fraction of the object's longer side added on each side. background:
    black (only the object's pixels), context (surroundings kept, black beyond the frame), blur, mean, mask. variants:
    several backgrounds at once, instead of `background`; the first is the main one. scale: track (one scale for the
    clip, smoothed centre) or frame (each frame's own box). upscale: false keeps small objects at source resolution,
    centred. missing: what a frame without the object shows, black or hold (the last visible picture). foreign: keep or
    black: nothing of the other tracked objects is shown.
    """

    size: int = 224
    margin: float = 0.1
    background: str = "black"
    variants: list[str] | None = None
    scale: str = "track"
    upscale: bool = True
    missing: str = "black"
    foreign: str = "keep"

    def __post_init__(self) -> None:
        if self.size < 16 or self.size % 2:
            raise ValueError(f"crop.size must be an even number of at least 16, got {self.size}")
        if not 0 <= self.margin <= 5:
            raise ValueError(f"crop.margin must be from 0 to 5, got {self.margin}")
        _choice("crop.background", self.background, BACKGROUNDS)
        _choice("crop.scale", self.scale, SCALES)
        _choice("crop.missing", self.missing, MISSING)
        _choice("crop.foreign", self.foreign, FOREIGN)
        if self.variants is not None:
            for variant in self.variants:
                _choice("crop.variants", variant, BACKGROUNDS)
            if not self.variants or len(set(self.variants)) != len(self.variants):
                raise ValueError(f"crop.variants must name one or more backgrounds, each once, got {self.variants}")

    @property
    def backgrounds(self) -> tuple[str, ...]:
        """The backgrounds to render; the first one is the main one."""
        return tuple(self.variants) if self.variants is not None else (self.background,)


@dataclass(frozen=True, slots=True)
class Placement:
    """One object through one clip of N frames: where it is and where to cut, before any pixel is touched.

    masks: N, None where not visible. boxes: (N, 4) int32, zeros where not visible. visible: (N,) bool. windows: (N, 4)
    int32, square, half-open source pixels, possibly beyond the frame. scale_outlier: (N,) bool, boxes too large to be
    this object alone. hidden: N, the masks of other objects of which nothing is to be seen; empty for none.
    """

    masks: tuple[Mask | None, ...]
    boxes: NDArray[np.int32]
    visible: NDArray[np.bool_]
    windows: NDArray[np.int32]
    scale_outlier: NDArray[np.bool_]
    hidden: tuple[tuple[Mask, ...], ...] = ()


def place_object(track: Track, start: int, num_frames: int, config: CropConfig) -> Placement | None:
    """Place the object of `track` in the session frames start..start + num_frames; None if it is in none of them."""
    masks: list[Mask | None] = [None] * num_frames
    for frame, mask in zip(track.frames.tolist(), track.masks, strict=True):
        if start <= frame < start + num_frames:
            masks[frame - start] = mask
    visible = np.array([m is not None for m in masks], np.bool_)
    if not visible.any():
        return None
    boxes = np.array([(0, 0, 0, 0) if m is None else m.box for m in masks], np.int32)
    min_side = 1 if config.upscale else config.size
    cut = square_windows(boxes, visible, margin=config.margin, scale=config.scale, min_side=min_side)
    return Placement(tuple(masks), boxes, visible, cut.windows, cut.scale_outlier)


def render_crop(placement: Placement, frames: Sequence[Picture], config: CropConfig) -> dict[str, Picture]:
    """Per background, in the order of `CropConfig.backgrounds`, the crop's (N, S, S, 3) uint8 RGB frames.

    frames: exactly the clip's N frames, each (H, W, 3) uint8 RGB at source size. Raises ValueError for another number.
    """
    if len(frames) != len(placement.masks):
        raise ValueError(f"expected the clip's {len(placement.masks)} frames, got {len(frames)}")
    masks, windows, hidden = placement.masks, placement.windows, placement.hidden
    return {
        background: extract(frames, masks, windows, background, config.size, missing=config.missing, hidden=hidden)
        for background in config.backgrounds
    }


def extract(
    frames: Sequence[Picture],
    masks: Sequence[Mask | None],
    windows: NDArray[np.int32],
    background: str,
    size: int,
    *,
    missing: str = "black",
    hidden: Sequence[Sequence[Mask]] = (),
) -> Picture:
    """Render N frames (H, W, 3) uint8 through N windows into (N, size, size, 3) uint8. hidden: as in `Placement`.

    A frame without a mask is all zeros with every background, or with missing="hold" the last picture that showed the
    object, unchanged (before the first: the first); it shows that frame's window, not its own.
    """
    _choice("missing", missing, MISSING)
    pictures = np.zeros((len(frames), size, size, 3), np.uint8)
    seen = [n for n, mask in enumerate(masks) if mask is not None]
    for n in seen:
        pictures[n] = render(frames[n], windows[n], masks[n], background, size, hidden[n] if hidden else ())
    if missing == "hold" and seen:
        latest = np.searchsorted(seen, np.arange(len(frames)), side="right") - 1
        for n in set(range(len(frames))).difference(seen):
            pictures[n] = pictures[seen[max(latest[n], 0)]]
    return pictures


def render(
    rgb: Picture,
    window: NDArray[np.int32],
    mask: Mask | None,
    background: str,
    size: int,
    hidden: Sequence[Mask] = (),
) -> Picture:
    """One square picture (size, size, 3) uint8 of what `window` (x0, y0, x1, y1) shows of `rgb` (H, W, 3) uint8.

    black: the object alone. context: everything, black beyond the frame. blur: the object before its own surroundings,
    blurred without the object in them (no ghost of its outline) and continued beyond the frame. mean: the object before
    the mean colour of its surroundings in this window and frame. mask: white where at least half a pixel is covered,
    black elsewhere, nothing in between (so what is thinner than half a pixel of the crop vanishes). Without a mask: all
    zeros. hidden: other objects of the source; what of them is not the object's own is black in `context`, and left out
    of what `blur` and `mean` are made from.

    Shrinks by area, enlarges by Lanczos (8 x 8); a window of `size` source pixels is copied one to one. At the edge a
    pixel counts as far as the object covers it: by area when shrunk, bilinear when enlarged.
    """
    _choice("background", background, BACKGROUNDS)
    if mask is None:
        return np.zeros((size, size, 3), np.uint8)
    view = _View.of(rgb, window, mask, hidden)
    if background == "context":
        return _context(view, size)
    if background == "mask":
        return _white(view, size)
    return _shrunk(view, background, size) if view.side >= size else _enlarged(view, background, size)


@dataclass(frozen=True, slots=True)
class _View:
    """What a window shows. patch: (h, w, 3), the pixels inside the frame, which start at `offset` (x, y) of the window
    with `side`. mask: (mh, mw) uint8, 255 on the object, starting at `mask_offset` of the patch. hidden: (h, w) uint8,
    255 on what is not to be seen, where the patch is black already; None for nothing."""

    patch: Picture
    offset: tuple[int, int]
    side: int
    mask: Picture
    mask_offset: tuple[int, int]
    hidden: Picture | None = None

    @classmethod
    def of(cls, rgb: Picture, window: NDArray[np.int32], mask: Mask, hidden: Sequence[Mask] = ()) -> _View:
        wx0, wy0, wx1, wy1 = (int(v) for v in window)
        x0, y0, x1, y1 = _overlap((wx0, wy0, wx1, wy1), (0, 0, rgb.shape[1], rgb.shape[0]))
        mx0, my0, mx1, my1 = _overlap((x0, y0, x1, y1), mask.box)
        bx, by = mask.box[:2]
        local = mask.decode()[my0 - by : my1 - by, mx0 - bx : mx1 - bx] * np.uint8(255)
        patch, offset = rgb[y0:y1, x0:x1], (mx0 - x0, my0 - y0)
        others = _plane_of(hidden, (x0, y0, x1, y1))
        if others is not None:
            others[offset[1] : offset[1] + local.shape[0], offset[0] : offset[0] + local.shape[1]] &= ~local
            patch = array(cv2.copyTo(patch, cv2.bitwise_not(others)))
        return cls(patch, (x0 - wx0, y0 - wy0), wx1 - wx0, local, offset, others)

    @property
    def object_patch(self) -> Picture:
        """(mh, mw, 3): the pixels under the mask's box, still with their surroundings."""
        (x, y), (h, w) = self.mask_offset, self.mask.shape
        return self.patch[y : y + h, x : x + w]

    @property
    def inside(self) -> bool:
        """Whether the whole window lies inside the frame."""
        return self.patch.shape[:2] == (self.side, self.side)

    def plane(self) -> Picture:
        """(side, side) uint8: 255 on the object."""
        plane = np.zeros((self.side, self.side), np.uint8)
        self._object_in(plane)[...] = self.mask
        return plane

    def paste(self, picture: Picture) -> Picture:
        """Put the object's pixels into a (side, side, 3) picture, in place."""
        if self.mask.size:
            cv2.copyTo(self.object_patch, self.mask, self._object_in(picture))
        return picture

    def surroundings(self) -> Picture:
        """(h, w) uint8: 255 on the pixels of the patch that are not the object's, and not hidden."""
        plane = np.full(self.patch.shape[:2], 255, np.uint8) if self.hidden is None else ~self.hidden
        (x, y), (h, w) = self.mask_offset, self.mask.shape
        plane[y : y + h, x : x + w] -= self.mask
        return plane

    def padded(self, patch: Picture, border: int = cv2.BORDER_CONSTANT) -> Picture:
        """A plane or picture as large as the patch -> as large as the window."""
        if self.inside:
            return patch
        (x, y), (h, w) = self.offset, patch.shape[:2]
        return array(cv2.copyMakeBorder(patch, y, self.side - y - h, x, self.side - x - w, border))

    def _object_in(self, square: Picture) -> Picture:
        x, y = self.offset[0] + self.mask_offset[0], self.offset[1] + self.mask_offset[1]
        return square[y : y + self.mask.shape[0], x : x + self.mask.shape[1]]


def _shrunk(view: _View, background: str, size: int) -> Picture:
    """The object pasted before its background, then reduced: averaging areas weighs either by its coverage."""
    return resize(view.paste(_behind(view, background, size, view.side)), size)


def _enlarged(view: _View, background: str, size: int) -> Picture:
    """The object enlarged as if it went on beyond its edge, faded out by its coverage, and the background faded in."""
    plane = view.plane()
    coverage = covered(plane, size)
    alone = view.paste(np.zeros((view.side, view.side, 3), np.uint8))
    picture = faded(enlarge(spread(alone, plane), size), coverage)
    if background == "black":
        return picture
    return array(cv2.add(picture, faded(_behind(view, background, size, size), 255 - coverage)))


def _behind(view: _View, background: str, size: int, extent: int) -> Picture:
    """What the object stands before, (extent, extent, 3) uint8 over the whole window; `size` sets the strength of the
    blur. Black where there is nothing to show."""
    picture = np.zeros((extent, extent, 3), np.uint8)
    if background == "black" or view.patch.size == 0:
        return picture
    if background == "blur":
        return _blur(view, size, extent)
    colour = cv2.mean(view.patch, mask=view.surroundings())
    return array(cv2.rectangle(picture, (0, 0), (extent, extent), [round(c) for c in colour], cv2.FILLED))


def _context(view: _View, size: int) -> Picture:
    if view.patch.size == 0:
        return np.zeros((size, size, 3), np.uint8)
    if view.side >= size or view.inside:
        return resize(view.padded(view.patch), size)
    within = view.padded(np.full(view.patch.shape[:2], 255, np.uint8))
    return faded(enlarge(view.padded(view.patch, cv2.BORDER_REPLICATE), size), covered(within, size))


def _white(view: _View, size: int) -> Picture:
    plane = covered(view.plane(), size)
    return array(cv2.cvtColor(cv2.threshold(plane, 127, 255, cv2.THRESH_BINARY)[1], cv2.COLOR_GRAY2RGB))


def _blur(view: _View, size: int, extent: int) -> Picture:
    """The surroundings without the object, blurred by a Gaussian of sigma size / 16 and divided by their own blurred
    weight. Computed on a grid of an eighth of the size, from up to 8 x 8 pixels per cell, and enlarged smoothly."""
    grid = size // 8
    step = max(1, view.side // (4 * grid))

    def blurred(part: Picture) -> NDArray[np.float32]:
        samples = np.ascontiguousarray(view.padded(part)[::step, ::step])
        cells = cv2.resize(samples, (grid, grid), interpolation=cv2.INTER_AREA).astype(np.float32)
        return np.asarray(cv2.GaussianBlur(cells, (0, 0), grid / 16), np.float32)

    around = view.surroundings()
    weight = np.maximum(blurred(around), 1e-3)[..., None]  # nothing around at all: black, and all hidden by the object
    colour = blurred(array(cv2.copyTo(view.patch, around))) / weight * 255
    return array(cv2.resize(cv2.convertScaleAbs(colour), (extent, extent)))


def _plane_of(masks: Sequence[Mask], box: Box) -> Picture | None:
    """(h, w) uint8, 255 where a box of the source shows any of the masks; None where it shows none."""
    plane = None
    for mask in masks:
        x0, y0, x1, y1 = _overlap(box, mask.box)
        if x0 < x1 and y0 < y1:
            plane = np.zeros((box[3] - box[1], box[2] - box[0]), np.uint8) if plane is None else plane
            mx, my = mask.box[:2]
            part = mask.decode()[y0 - my : y1 - my, x0 - mx : x1 - mx] * np.uint8(255)
            plane[y0 - box[1] : y1 - box[1], x0 - box[0] : x1 - box[0]] |= part
    return plane


def _overlap(a: Box, b: Box) -> Box:
    """The common part of two boxes; empty, but never negative, if there is none."""
    x0, y0 = max(a[0], b[0]), max(a[1], b[1])
    return x0, y0, max(x0, min(a[2], b[2])), max(y0, min(a[3], b[3]))


def _choice(name: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise ValueError(f"{name} must be one of {', '.join(valid)}, got {value!r}")
