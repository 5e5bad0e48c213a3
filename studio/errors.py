"""What a request is answered with when it cannot be done.

StudioError(status, message): the message says which value is wrong, what would be right, and the fix.
"""

from __future__ import annotations


class StudioError(Exception):
    """A request that is refused. status: of HTTP, 4xx, or 503 and 507 for what the machine cannot do now."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Cancelled(Exception):
    """A job was stopped by the user, or because its session ended."""


class SourcesMissing(StudioError):
    """None of a dataset's videos is at hand (404)."""

    def __init__(self, message: str) -> None:
        super().__init__(404, message)
