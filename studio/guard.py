"""Who may ask: the host a request names, the site it comes from, the token it carries, how much it sends.

A page of another site may make a browser send requests here, also under a name of its own that it lets point at this
machine (DNS rebinding). So requests are refused unless their Host is this machine, and, when the browser says from
which site they come, that site is this one or on the list.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.studio_config import StudioConfig, is_loopback
from studio.errors import StudioError

COOKIE = "studio_token"
MOST_JSON = 4 * 2**20
UPLOAD = "/upload-video"
POLICY = (  # of every page: nothing from elsewhere, no script in the text of a page, in no frame
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Guard:
    """An ASGI middleware; see the module docstring."""

    def __init__(self, app: ASGIApp, options: StudioConfig) -> None:
        self._app = app
        self._token = options.token
        self._origins = frozenset(options.origins)
        self._names = {"localhost", options.host.lower()}
        self._open = not is_loopback(options.host)
        if self._open:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {key.lower(): value for key, value in reversed(scope["headers"])}
        text = {key.decode("latin-1"): value.decode("latin-1") for key, value in headers.items()}
        try:
            self._check_host(text.get("host", ""))
            self._check_origin(scope["method"], text)
            if self._token is not None and not self._has_token(text):
                if scope["method"] == "GET" and self._right(_query_token(scope)):
                    await self._remember(scope, receive, send)
                    return
                if scope["method"] != "OPTIONS":  # a browser asks without a token whether it may send one
                    raise StudioError(
                        401,
                        "the studio wants its token: send the header Authorization: Bearer TOKEN, or "
                        "open its page once with ?token=TOKEN",
                    )
        except StudioError as error:
            await JSONResponse({"detail": error.message}, error.status)(scope, receive, send)
            return
        limited = receive if scope["path"] == UPLOAD else _limited(receive)
        await self._app(scope, limited, _with_headers(send, self._allows(text.get("origin")), scope["path"] == UPLOAD))

    def _check_host(self, host: str) -> None:
        name = _host_name(host)
        if name is not None and (name in self._names or self._is_address(name)):
            return
        raise StudioError(400, f"this studio does not answer to the host {host[:100]!r}: use localhost or its address")

    def _is_address(self, name: str) -> bool:
        """A literal address cannot be pointed elsewhere by a name server."""
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return self._open or address.is_loopback

    def _check_origin(self, method: str, headers: dict[str, str]) -> None:
        origin = headers.get("origin")
        if origin is None:
            other = headers.get("sec-fetch-site") in ("cross-site", "same-site")
            if other and method not in ("GET", "HEAD", "OPTIONS"):
                raise StudioError(403, "requests from other sites are refused: list them in studio.cors")
            return
        if self._allows(origin) or urlsplit(origin).netloc.lower() == headers.get("host", "").lower():
            return
        raise StudioError(403, f"requests from {origin[:100]!r} are refused: list it in studio.cors")

    def _allows(self, origin: str | None) -> bool:
        return origin in self._origins

    def _has_token(self, headers: dict[str, str]) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._right(given.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and self._right(cookie.value)

    def _right(self, given: str | None) -> bool:
        """Compared in constant time."""
        if given is None or self._token is None:
            return False
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token.encode())

    async def _remember(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A page opened with ?token=... gets a cookie, and an address without the secret."""
        assert self._token is not None
        answer = RedirectResponse(scope["path"] if scope["path"].startswith("/") and scope["path"][1:2] != "/" else "/")
        answer.set_cookie(COOKIE, self._token, httponly=True, samesite="strict", path="/")
        await answer(scope, receive, send)


def _query_token(scope: Scope) -> str | None:
    given = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=100).get("token")
    return given[0] if given else None


def _host_name(host: str) -> str | None:
    """The name or address in a Host header, without port and brackets; None for what is none."""
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018 - raises for what is no port
        return (parts.hostname or "").rstrip(".").lower() or None
    except ValueError:
        return None


def _limited(receive: Receive) -> Receive:
    received = 0

    async def limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MOST_JSON:
            raise HTTPException(413, f"the body is larger than {MOST_JSON // 2**20} MiB")
        return message

    return limited


def _with_headers(send: Send, foreign: bool, unread: bool) -> Send:
    """Add what browsers should know of every answer. foreign: to a site of the list. unread: of a request whose body
    may not have been read to its end: once refused, the rest need not be sent."""
    added = [(k, v) for k, v in HEADERS if not (foreign and k == b"cross-origin-resource-policy")]

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            close = [(b"connection", b"close")] if unread and message["status"] >= 400 else []
            message = {**message, "headers": [*message.get("headers", []), *added, *close]}
        await send(message)

    return sending
