"""Seconds to send a thousand small crops to a server that is far away, by what is sent at once.

The server runs here; what comes from it and goes to it is held up for half a round trip each. As `clipcrop` sends, and
one file after the other. `--rtt` milliseconds, `--crops` many, of `--kb` each.
"""

from __future__ import annotations

import os
import socket
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.table import Result, arguments, publish
from pipeline.mirror.mirror import Mirror
from tests.serving_buckets import serving_buckets
from tests.serving_sftp import serving_sftp
from video import store
from video.connection import connect


def _pass_on(source: socket.socket, target: socket.socket, delay_s: float) -> None:
    """Bytes from one to the other, each `delay_s` later; as many as there are, on the way together."""
    waiting: deque[tuple[float, bytes]] = deque()
    came = threading.Condition()

    def send() -> None:
        while True:
            with came:
                came.wait_for(lambda: waiting)
                due, data = waiting.popleft()
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                target.sendall(data) if data else target.shutdown(socket.SHUT_WR)
            except OSError:
                return
            if not data:
                return

    threading.Thread(target=send, daemon=True).start()
    data = b"-"
    while data:
        try:
            data = source.recv(1 << 16)
        except OSError:
            data = b""
        with came:
            waiting.append((time.monotonic() + delay_s, data))
            came.notify()


@contextmanager
def far_away(port: int, rtt_s: float) -> Iterator[int]:
    """A port of this machine that leads to another one of it, by a long way."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", port))
            for each in (near, far):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for ends in ((near, far), (far, near)):
                threading.Thread(target=_pass_on, args=(*ends, rtt_s / 2), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


@contextmanager
def server_of(kind: str, folder: Path, rtt_s: float) -> Iterator[str]:
    """The URL of a dataset on a server of this kind."""
    with ExitStack() as stack:
        if kind == "sftp":
            os.environ["HOME"] = str(folder)
            (folder / "shelf").mkdir()
            served = stack.enter_context(serving_sftp(folder / "shelf", folder))
        else:
            served = stack.enter_context(serving_buckets(kind))
        port = urlsplit(served.url).port
        assert port is not None
        far = stack.enter_context(far_away(port, rtt_s))
        if kind == "sftp":
            hosts = folder / ".ssh" / "known_hosts"
            hosts.write_text(hosts.read_text().replace(str(port), str(far)))
            yield served.url.replace(str(port), str(far)) + "/cows"
            return
        os.environ["AWS_ENDPOINT_URL" if kind == "s3" else "STORAGE_EMULATOR_HOST"] = f"http://127.0.0.1:{far}"
        if kind == "s3":
            connect("s3://footage")[0].mkdir("footage")
        yield f"{kind}://footage/cows"


def seconds(kind: str, crops: int, kb: int, rtt_s: float) -> tuple[float, float]:
    """Per thousand crops: as a run sends them, and one after the other."""
    with tempfile.TemporaryDirectory() as scratch, server_of(kind, Path(scratch), rtt_s) as url:
        root = Path(scratch, "cows")
        paths = [root / "crops" / f"clip{n // 10:04}" / f"{n:08}.mp4" for n in range(crops)]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(os.urandom(kb << 10))
        few = paths[: max(1, crops // 20)]
        store.put(f"{url}/first", few[0])
        began = time.monotonic()
        for path in few:
            store.put(f"{url}/alone/{path.name}", path)
        alone = (time.monotonic() - began) / len(few)
        mirror = Mirror(url, root, 0)
        began = time.monotonic()
        mirror.send(paths)
        together = (time.monotonic() - began) / len(paths)
        mirror.close()
    return 1000 * together, 1000 * alone


def main() -> None:
    parser = arguments("Seconds to send a thousand small crops to a server that is far away.")
    parser.add_argument("--rtt", type=float, default=50, help="milliseconds there and back")
    parser.add_argument("--crops", type=int, default=1000)
    parser.add_argument("--kb", type=int, default=20, help="of each")
    parser.add_argument("--kinds", nargs="+", default=["sftp", "s3", "gs"])
    options = parser.parse_args()
    os.environ |= {"AWS_ACCESS_KEY_ID": "farmer", "AWS_SECRET_ACCESS_KEY": "hay", "FSSPEC_GS_TOKEN": "anon"}
    rows, values = [], dict[str, float]()
    for kind in options.kinds:
        together, alone = seconds(kind, options.crops, options.kb, options.rtt / 1000)
        minutes = together * 100 / 60
        rows.append(
            (f"`{kind}://`", f"{alone:.0f} s", f"{together:.1f} s", f"{alone / together:.0f}", f"{minutes:.0f} min")
        )
        values |= {f"{kind}_s": together, f"{kind}_alone_s": alone}
    head = ("server", "one after the other", "1,000 crops", "times as fast", "100,000 crops")
    title = f"{options.crops} crops of {options.kb} KB to a server {options.rtt:g} ms away"
    publish(Result(title, head, tuple(rows), values), options.json)


if __name__ == "__main__":
    main()
