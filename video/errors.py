"""The errors of the video package.

VideoError
├── SourceError        what `videos=` names is wrong: nothing can start
└── UnreadableVideo    one file cannot be used; the others can
    └── FetchError         a file on a server cannot be had, or put there, now; a rerun may do it
        ├── NotThere           there is none
        └── RangesRefused      its server gives whole files only
"""


class VideoError(Exception):
    """Base of every error the video package raises on purpose."""


class SourceError(VideoError):
    """The source names no usable video; the message says which value and what would be right."""


class UnreadableVideo(VideoError):
    """One file cannot be probed or decoded; the message names the file and the reason."""


class FetchError(UnreadableVideo):
    """A file on a server cannot be had; the message names the URL and the reason. It may be there the next time."""


class NotThere(FetchError):
    """The server answers, and has no such file or folder."""


class RangesRefused(FetchError):
    """The server of a file gives it whole only; it has to be fetched before anything is known of it."""
