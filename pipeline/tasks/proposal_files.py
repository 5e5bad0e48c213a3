"""What a tracker proposed, as files: the pictures it looked at, every proposal, what was chosen, and the clicks.

`clicks.json` holds the four click strings of hosted SAM2 video models, which `segment.clicks` reads back.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import orjson
from numpy.typing import NDArray

from pipeline.click_strings import to_strings
from sam.proposals import Proposed
from sam.types import Mask, Prompt
from video.types import Video


class ProposalFiles:
    """Writes into a folder of one video, as frames are looked at.

    picture: a source frame, (height, width, 3) uint8 RGB. first: the source frame that the tracker counts as 0.
    """

    def __init__(self, folder: Path, video: Video, first: int, picture: Callable[[int], NDArray[np.uint8]]) -> None:
        self._folder = folder
        self._video = video
        self._first = first
        self._picture = picture
        self.prompts: list[Prompt] = []  # with source frames
        self.left_out: dict[str, str] = {}  # file of a proposal -> why

    def write(self, told: Proposed) -> None:
        """The picture, its proposals and what was chosen of them; of the first frame right in the folders."""
        index = self._first + told.frame
        rgb = self._picture(index)
        _save(self._folder / f"frame{index}.png", np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8))
        every = Path("masks_all") if told.frame == 0 else Path("masks_all", f"frame{index}")
        for n, proposal in enumerate(told.proposals):
            _save(self._folder / every / f"mask_{n:03}.png", self._plane(proposal.mask, told))
        self.left_out |= {(every / f"mask_{n:03}.png").as_posix(): why for n, why in told.selected.left_out.items()}
        for prompt, chosen in zip(told.prompts, told.selected.objects, strict=True):
            name = f"obj_{prompt.object_id:02}.png"
            _save(self._folder / "masks_selected" / name, self._plane(chosen.mask, told))
            self.prompts.append(
                Prompt(frame=index, object_id=prompt.object_id, points=prompt.points, labels=prompt.labels)
            )

    def finish(self) -> None:
        """The clicks that name everything that was chosen."""
        clicks = orjson.dumps(to_strings(self.prompts), option=orjson.OPT_INDENT_2)
        (self._folder / "clicks.json").write_bytes(clicks)

    def _plane(self, mask: Mask, told: Proposed) -> NDArray[np.uint8]:
        """255 on the object, at the source's size."""
        plane = mask.full(*told.size) * np.uint8(255)
        size = self._video.width, self._video.height
        return plane if size == told.size else np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_NEAREST))


def _save(path: Path, picture: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = picture.ndim == 2
    done, data = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_BILEVEL, 1] if grey else [])
    assert done, "encoding a picture in memory cannot fail"
    path.write_bytes(data.tobytes())
