"""Mask clean-up for transformers' SAM3: in numpy and OpenCV on the processor, or in torch where the masks are.

transformers takes non-maximum suppression, hole filling and speck removal from a kernel that it downloads, and leaves
them out, with one line in the log, where it cannot: results would depend on the network. `Local` has the two functions
of that kernel (kernels-community/cv-utils) with the same meaning, and `installed` puts it in the kernel's place. Where
a kernel fails, the library leaves clean-up out in the same way; `check` raises what it failed with instead. `OnDevice`
measures regions without taking the masks off the device, as far as the library asks: which ones are small.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import cv2
import numpy as np

from sam.backends.transfer import onto
from sam.errors import TrackerUnavailable

_wrong = threading.local()  # error: what the kernel of this thread failed with, until somebody looks


def check() -> None:
    """Raise what a kernel of this thread failed with since this was last asked."""
    error, _wrong.error = getattr(_wrong, "error", None), None
    if error is not None:
        raise error


def _kept(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """A function of a kernel whose errors `check` raises too."""

    @wraps(kernel)
    def kept(*given: Any, **options: Any) -> Any:
        try:
            return kernel(*given, **options)
        except Exception as error:
            _wrong.error = error
            raise

    return kept


class Local:
    """Stands where transformers expects its kernel."""

    @staticmethod
    @_kept
    def generic_nms(ious: Any, scores: Any, threshold: float, use_iou_matrix: bool = True) -> Any:
        """Greedy non-maximum suppression: (n, n) IoU, (n,) scores -> kept indices, best first, int64."""
        if not use_iou_matrix:
            raise ValueError("this kernel suppresses by an IoU matrix only")
        import torch

        both = torch.cat([ious.float(), scores.float()[None]]).cpu()  # a device is waited for once
        overlap = both[:-1].numpy() > threshold
        order = both[-1].argsort(descending=True, stable=True).tolist()
        kept: list[int] = []
        for candidate in order:
            if not overlap[candidate, kept].any():
                kept.append(candidate)
        return onto(np.array(kept, np.int64), ious.device)

    @staticmethod
    @_kept
    def cc_2d(mask: Any, get_counts: bool = True) -> Any:
        """8-connected regions of (n, 1, h, w) uint8: labels from 1, and each pixel's region area, both int32."""
        planes = mask.cpu().numpy()
        both = np.zeros((2, *planes.shape), np.int32)  # labels, areas: one copy to the device
        for n, plane in enumerate(planes[:, 0]):
            _, labels, stats, _ = cv2.connectedComponentsWithStats(plane, connectivity=8, ltype=cv2.CV_32S)
            area = stats[:, cv2.CC_STAT_AREA]
            area[0] = 0
            both[:, n, 0] = labels, area[labels]
        if not get_counts:
            return onto(both[0], mask.device)
        found, areas = onto(both, mask.device)
        return found, areas


class OnDevice(Local):
    """Like `Local`, with regions measured on the masks' own device. small: pixels up to which areas are exact."""

    def __init__(self, small: int) -> None:
        self._small = small

    @_kept
    def cc_2d(self, mask: Any, get_counts: bool = True) -> Any:  # type: ignore[override]
        """See `Local.cc_2d`. A region of more than `small` pixels is given the area of the whole picture, and may have
        several labels.

        Every pixel takes on the highest number among its neighbours of the mask, `small` times. By then a region of so
        many pixels has one number, and none of its pixels sees another one; a part of a larger region that has one
        number is either larger than `small` itself, or sees the number of the rest.
        """
        import torch
        from torch.nn.functional import max_pool2d

        n, _, h, w = mask.shape
        inside = mask > 0
        numbers = torch.arange(1, h * w + 1, device=mask.device, dtype=torch.float32).view(1, 1, h, w)  # exact to 2**24
        labels = torch.where(inside, numbers, 0.0)
        for _ in range(self._small):
            labels = torch.where(inside, max_pool2d(labels, 3, 1, 1), 0.0)
        found = labels.int()
        if not get_counts:
            return found
        beyond = float(h * w + 1)
        highest = max_pool2d(labels, 3, 1, 1)
        lowest = -max_pool2d(-torch.where(inside, labels, beyond), 3, 1, 1)
        unsettled = inside & ((highest != labels) | (lowest != labels))
        places = labels.view(n, -1).long()
        areas = torch.zeros(n, h * w + 1, dtype=torch.int32, device=mask.device)
        areas.scatter_add_(1, places, torch.ones_like(places, dtype=torch.int32))
        open_ = torch.zeros_like(areas).scatter_reduce_(1, places, unsettled.view(n, -1).int(), "amax")
        areas = torch.where((open_ > 0) | (areas > self._small), h * w, areas)
        areas[:, 0] = 0
        return found, areas.gather(1, places).view(n, 1, h, w)


@contextmanager
def installed(modeling: Any, kernel: Any = Local) -> Iterator[None]:
    """While entered, transformers' SAM3 video module uses this kernel; raises TrackerUnavailable if it has no place."""
    if not hasattr(modeling, "cv_utils_kernel"):
        raise TrackerUnavailable(
            "this version of transformers cleans masks up in another way than tracker=sam3_hf knows: install a tested "
            "one, make setup EXTRAS=sam3-hf"
        )
    before = modeling.cv_utils_kernel
    modeling.cv_utils_kernel = kernel
    try:
        yield
    finally:
        modeling.cv_utils_kernel = before
