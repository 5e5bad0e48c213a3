"""Mask clean-up for transformers' SAM3, in numpy and OpenCV on this machine.

transformers takes non-maximum suppression, hole filling and speck removal from a kernel that it downloads, and leaves
them out, with one line in the log, where it cannot: results would depend on the network. `Local` has the two functions
of that kernel (kernels-community/cv-utils) with the same meaning, and `installed` puts it in the kernel's place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np

from sam.errors import TrackerUnavailable


class Local:
    """Stands where transformers expects its kernel."""

    @staticmethod
    def generic_nms(ious: Any, scores: Any, threshold: float, use_iou_matrix: bool = True) -> Any:
        """Greedy non-maximum suppression: (n, n) IoU, (n,) scores -> kept indices, best first, int64."""
        if not use_iou_matrix:
            raise ValueError("this kernel suppresses by an IoU matrix only")
        overlap = ious.float().cpu().numpy() > threshold
        order = scores.float().argsort(descending=True, stable=True).cpu().tolist()
        kept: list[int] = []
        for candidate in order:
            if not overlap[candidate, kept].any():
                kept.append(candidate)
        return ious.new_tensor(kept).long()

    @staticmethod
    def cc_2d(mask: Any, get_counts: bool = True) -> Any:
        """8-connected regions of (n, 1, h, w) uint8: labels from 1, and each pixel's region area, both int32."""
        import torch

        planes = mask.cpu().numpy()[:, 0]
        labels = np.zeros(planes.shape, np.int32)
        areas = np.zeros(planes.shape, np.int32)
        for n, plane in enumerate(planes):
            _, labels[n], stats, _ = cv2.connectedComponentsWithStats(plane, connectivity=8, ltype=cv2.CV_32S)
            area = stats[:, cv2.CC_STAT_AREA]
            area[0] = 0
            areas[n] = area[labels[n]]
        found = torch.from_numpy(labels[:, None]).to(mask.device)
        return (found, torch.from_numpy(areas[:, None]).to(mask.device)) if get_counts else found


@contextmanager
def installed(modeling: Any) -> Iterator[None]:
    """While entered, transformers' SAM3 video module uses `Local`; raises TrackerUnavailable if it has no place."""
    if not hasattr(modeling, "cv_utils_kernel"):
        raise TrackerUnavailable(
            "this version of transformers cleans masks up in another way than tracker=sam3_hf knows: install a tested "
            "one, make setup EXTRAS=sam3-hf"
        )
    before = modeling.cv_utils_kernel
    modeling.cv_utils_kernel = Local
    try:
        yield
    finally:
        modeling.cv_utils_kernel = before
