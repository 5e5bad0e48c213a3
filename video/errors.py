"""The errors of the video package.

VideoError
├── SourceError        what `videos=` names is wrong: nothing can start
└── UnreadableVideo    one file cannot be used; the others can
"""


class VideoError(Exception):
    """Base of every error the video package raises on purpose."""


class SourceError(VideoError):
    """The source names no usable video; the message says which value and what would be right."""


class UnreadableVideo(VideoError):
    """One file cannot be probed or decoded; the message names the file and the reason."""
