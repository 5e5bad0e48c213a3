"""What tracking a window takes of a device: bytes, by what depends on the frames, the objects and the picture's size.

The figures come from the shapes of a model's own tensors (`hf_need`, `official_need`); here is how they add up. Two
things share the device besides the weights: what is kept from frame to frame, and what the largest of the steps that a
frame goes through takes for a moment. What the CUDA context and its libraries take for themselves is in neither.
"""

from __future__ import annotations

from dataclasses import dataclass

GIB = 2**30
MANY = 10**6  # objects: more than there ever are


@dataclass(frozen=True, slots=True)
class Window:
    """What is asked for. frames: in the window. pixels: of a frame as the tracker sees it."""

    frames: int
    pixels: int


@dataclass(frozen=True, slots=True)
class Step:
    """One of the things done to a frame, one after another, and what it has alive at its largest, in bytes.

    fixed: whatever is to be seen. past: for every frame of memory that is looked back at. pixel: for every pixel of the
    shown frame. each, each_pixel: the same for every object.
    """

    name: str
    fixed: int
    past: int = 0
    pixel: float = 0.0
    each: int = 0
    each_pixel: float = 0.0

    def total(self, window: Window, objects: int, past: int) -> int:
        fixed = self.fixed + past * self.past + int(self.pixel * window.pixels)
        return fixed + objects * self.one(window)

    def one(self, window: Window) -> int:
        """For one more object."""
        return self.each + int(self.each_pixel * window.pixels)


@dataclass(frozen=True, slots=True)
class Memory:
    """Which earlier frames a model reads an object's memory of: the latest `near`, and of those before them one in
    `every`, `seeds` at most. spare: further ones of the latest that are kept, the frame at hand among them. near None:
    every frame of the window is kept."""

    near: int | None = None
    seeds: int = 0
    every: int = 1
    spare: int = 0

    def kept(self, frames: int) -> int:
        """How many frames of a window of so many are remembered at most."""
        return frames if self.near is None else self._of(frames, self.near + self.spare)

    def read(self, frames: int) -> int:
        """How many the last frame of such a window looks back at."""
        return frames - 1 if self.near is None else self._of(frames - 1, self.near)

    def _of(self, frames: int, near: int) -> int:
        earlier = max(0, frames - near)
        return min(frames, near) + min(self.seeds, -(-earlier // self.every))


@dataclass(frozen=True, slots=True)
class Need:
    """See the module docstring. All figures in bytes.

    weights: parameters and buffers. steps: what is done to a frame. features: of the frame in hand. frame: of each
    frame of the window, on the device while it lasts. moment: of one object in one frame of its `memory`. once: of one
    object, however long the window. held: of one object in one frame whose masks are not shown yet, `delay` frames at
    most; None: all. shown: the same, for each pixel of a frame.
    """

    weights: int
    steps: tuple[Step, ...]
    memory: Memory = Memory()
    features: int = 0
    frame: int = 0
    moment: int = 0
    once: int = 0
    held: int = 0
    shown: float = 0.0
    delay: int | None = 1

    def remembered(self, window: Window) -> int:
        """Of one object: what is kept from frame to frame and may lie in main memory."""
        return self.once + self.moment * self.memory.kept(window.frames)

    def state(self, window: Window, objects: int) -> int:
        """What a window's session holds between two frames."""
        return self.features + objects * self.remembered(window)

    def total(self, window: Window, objects: int, state_on_cpu: bool) -> int:
        """The most that is taken at once while a window with so many objects at once is tracked."""
        past = self.memory.read(window.frames)
        largest = max((step.total(window, objects, past) for step in self.steps), default=0)
        return self._always(window) + objects * self._each(window, state_on_cpu) + largest

    def most(self, window: Window, room: int, state_on_cpu: bool) -> int:
        """How many objects at once fit into `room` bytes; 0 if not even one does."""
        each, left = self._each(window, state_on_cpu), room - self._always(window)
        past = self.memory.read(window.frames)
        most = MANY
        for step in self.steps or (Step("", 0),):
            spare, one = left - step.total(window, 0, past), each + step.one(window)
            most = min(most, spare // one if one else MANY * (spare >= 0))
        return max(0, most)

    def _always(self, window: Window) -> int:
        return self.weights + self.features + self.frame * window.frames

    def _each(self, window: Window, state_on_cpu: bool) -> int:
        waiting = window.frames if self.delay is None else min(self.delay, window.frames)
        return waiting * (self.held + int(self.shown * window.pixels)) + (
            0 if state_on_cpu else self.remembered(window)
        )


def gib(count: int) -> str:
    """Bytes in words."""
    return f"{count / GIB:.2f} GiB" if count < 100 * GIB else f"{count / GIB:.0f} GiB"
