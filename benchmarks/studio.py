"""How soon the studio answers: start-up, clicks, frames and overlays in order and at random, at 1080p.

    python -m benchmarks.studio [--seconds 20] [--frames 200] [--rounds 3] [--json FILE]

The server is a process of its own, as `python main.py task=studio` starts it, with tracker=grabcut; the client is on
the same machine and asks one thing at a time. "first" is a frame that nobody has asked for, so it is decoded; "again"
comes from the JPEG files. Overlays show the masks of two objects. Milliseconds as the client sees them.
"""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.footage import FPS, short_video
from benchmarks.served import served, summary, timed
from benchmarks.table import Result, arguments, publish
from studio.client import Refused, Studio

WIDTH, HEIGHT = 1920, 1080


def measured(address: str, video: Path, frames: int) -> dict[str, list[float]]:
    """Milliseconds by what was asked for."""
    chosen = random.Random(1)
    with Studio(address) as studio:
        session = studio.upload(video)
        count = studio.inspect(session)["frames"]
        places = [(chosen.uniform(0.2, 0.8) * WIDTH, chosen.uniform(0.2, 0.8) * HEIGHT) for _ in range(20)]
        clicks = timed(lambda n: studio.annotate(session, 0, points=[places[n]], object_id=n), range(len(places)))
        for number in range(2, len(places)):
            studio.remove(session, number)
        span = range(min(frames, count))
        studio.propagate(session, 0, span[-1])
        anywhere = chosen.sample(range(count), min(frames, count))
        found = {
            "frame, random, first": timed(lambda n: studio.frame(session, n), anywhere),
            "frame, random, again": timed(lambda n: studio.frame(session, n), anywhere),
            "overlay, backward, first": timed(lambda n: studio.overlay(session, n), range(count - 1, count - 33, -1)),
        }
        studio.delete(session)
        session = studio.upload(video)
        found["frame, in order, first"] = timed(lambda n: studio.frame(session, n), span)
        studio.annotate(session, 0, points=places[:1], object_id=1)
        studio.annotate(session, 0, points=places[1:2], object_id=2)
        studio.propagate(session, 0, span[-1])
        found["overlay, in order, first"] = timed(lambda n: studio.overlay(session, n), span)
        found["overlay, in order, again"] = timed(lambda n: studio.overlay(session, n), span)
        found["a click's mask"] = clicks
        studio.delete(session)
    return found


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--port", type=int, default=8765)
    options = parser.parse_args()
    video = short_video(options.seconds, WIDTH, HEIGHT)
    start: list[float] = []
    taken: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        with TemporaryDirectory() as folder:
            try:
                with served(Path(folder), options.port) as (address, seconds):
                    start.append(1000 * seconds)
                    for name, values in measured(address, video, options.frames).items():
                        taken.setdefault(name, []).extend(values)
            except Refused as refused:
                raise SystemExit(f"the studio refused: {refused}") from refused
    rows, found = summary({"start-up, until it answers": start, **taken})
    note = f"{WIDTH} x {HEIGHT}, {FPS} frames a second, {options.seconds} s, a keyframe every 250 frames."
    publish(Result("The studio", ("what", "median ms", "99 % below", "asked"), rows, found, note), options.json)


if __name__ == "__main__":
    main()
