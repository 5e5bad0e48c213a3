"""The errors of the sam package.

TrackerError
├── UnknownPrompt        the tracker does not understand this kind of prompt
├── WrongPrompt          a prompt does not fit the frames or the objects named so far
├── TrackerUnavailable   a package, weights, access or a device is missing; the message names the fix
└── TrackingFailed       one window could not be tracked; the others can
"""


class TrackerError(Exception):
    """Base of every error the sam package raises on purpose."""


class UnknownPrompt(TrackerError):
    """The tracker does not understand this kind of prompt; the message lists what it understands."""


class WrongPrompt(TrackerError):
    """A prompt does not fit: its place, frame or object does not exist; the message says which there are."""


class TrackerUnavailable(TrackerError):
    """Something the tracker needs is missing; the message names it and the fix."""


class TrackingFailed(TrackerError):
    """One window could not be tracked; the message says why."""
