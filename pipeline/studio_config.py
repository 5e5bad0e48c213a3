"""What task=studio can be told: the keys `studio.*`."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,}")
MODELS = {"tiny": "tiny", "small": "small", "base": "base-plus", "large": "large"}


@dataclass
class StudioConfig:
    """How the studio serves.

    model: SAM2's size, one of tiny, small, base, large. tracker: null for `tracker=...` of the command line, and
    without one for sam2 if `model` is given, else grabcut. max_minutes, max_pixels: of a video that may be uploaded.
    ttl: seconds without a request after which a session and its files are deleted. cors: origins of other sites that
    may use it. token: what a request must carry; required unless `host` is the machine itself. classes: what the label
    page offers until other classes are chosen there. predictions: a table of predicted classes to filter and sort by.
    """

    port: int = 8000
    host: str = "127.0.0.1"
    model: str | None = None
    tracker: str | None = None
    max_sessions: int = 8
    jpeg_quality: int = 85
    upload_gb: float = 4.0
    max_minutes: float = 120.0
    max_pixels: int = 4096 * 2304
    ttl: float = 24 * 3600.0
    cors: Any = None
    token: str | None = None
    folder: str = "studio_files"  # holds uploads/ and outputs/
    classes: Any = None
    predictions: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"studio.port must be from 0 (any free one) to 65535, got {self.port}")
        if self.model is not None and self.model not in MODELS:
            raise ValueError(f"studio.model must be one of {', '.join(MODELS)}, got {self.model!r}")
        if self.model is not None and self.tracker not in (None, "sam2"):
            raise ValueError(f"studio.model={self.model} is a size of SAM2, not of tracker={self.tracker}")
        if self.max_sessions < 1:
            raise ValueError(f"studio.max_sessions must be at least 1, got {self.max_sessions}")
        if not 1 <= self.jpeg_quality <= 100:
            raise ValueError(f"studio.jpeg_quality must be from 1 to 100, got {self.jpeg_quality}")
        for key in ("upload_gb", "max_minutes", "max_pixels", "ttl"):
            if not getattr(self, key) > 0:
                raise ValueError(f"studio.{key} must be more than 0, got {getattr(self, key)}")
        for origin in self.origins:
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or not parts.netloc or parts.path or parts.query:
                raise ValueError(f"studio.cors must be origins such as [http://localhost:3000], got {origin!r}")
        if self.token is not None and not TOKEN.fullmatch(self.token):
            raise ValueError(
                "studio.token must be 16 or more of the characters A-Z a-z 0-9 . _ ~ + / = -, such as "
                "python -c 'import secrets; print(secrets.token_urlsafe())' makes"
            )
        if self.token is None and not is_loopback(self.host):
            raise ValueError(
                f"studio.host={self.host} is reached from other machines, so studio.token=... is required: a long "
                "secret text; or leave studio.host at 127.0.0.1"
            )

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins of `cors`."""
        given = self.cors if isinstance(self.cors, list | tuple) else [self.cors] if self.cors else []
        return tuple(str(origin).rstrip("/") for origin in given)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server bound to `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
