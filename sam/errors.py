"""The errors of the sam package.

TrackerError
├── UnknownPrompt        the tracker does not understand this kind of prompt
├── TrackerUnavailable   a package, weights, access or a device is missing; the message names the fix
└── TrackingFailed       one window could not be tracked; the others can
"""


class TrackerError(Exception):
    """Base of every error the sam package raises on purpose."""


class UnknownPrompt(TrackerError):
    """The tracker does not understand this kind of prompt; the message lists what it understands."""


class TrackerUnavailable(TrackerError):
    """Something the tracker needs is missing; the message names it and the fix."""


class TrackingFailed(TrackerError):
    """One window could not be tracked; the message says why."""
