"""The video that a worker has open between its chunks, as a file of this machine and as a reader of its frames.

Of one thread: what is locked while a file is used is unlocked by the thread that locked it.
"""

from __future__ import annotations

from contextlib import ExitStack

from pipeline.cache import Cache
from pipeline.settings import Settings
from video.reader import open_reader
from video.readers.contract import VideoReader
from video.types import Video


class OpenVideo:
    """One video at a time: asked for another one, it lets go of the last.

    following: the video that is wanted after it, fetched while this one is used.
    """

    def __init__(self, settings: Settings) -> None:
        self._how = settings.reader
        self._cache = Cache(settings.cache)
        self._stack = ExitStack()
        self._video: Video | None = None
        self._reader: VideoReader | None = None
        self.following: Video | None = None

    def file(self, video: Video) -> Video:
        """The video with the path of a file that is here until the next video; fetched if need be.

        Raises FetchError, DiskError.
        """
        if self._video is None or self._video.fingerprint != video.fingerprint:
            self.let_go()
            self._video = self._stack.enter_context(self._cache.hold(video))
        self._cache.ahead(self.following)
        return self._video

    def reader(self, video: Video) -> VideoReader:
        """A reader of the video, the same one as long as it is not let go of. Raises UnreadableVideo."""
        here = self.file(video)
        if self._reader is None:
            self._reader = self._stack.enter_context(open_reader(here, self._how))
        return self._reader

    def let_go(self) -> None:
        """Close the reader; the file may then be removed."""
        self._video = self._reader = None
        self._stack.close()

    def stop_fetching(self) -> None:
        """Give up what is being fetched, from any thread: whoever waits for it gets `video.fetch.Stopped`."""
        self._cache.stop()

    def close(self) -> None:
        self.let_go()
        self._cache.__exit__()
