"""How well individuals are found again across the windows of a long video, against chaining by box IoU.

    python -m benchmarks.link [--seconds 120] [--embedding random] [--json FILE]

Generated scenes of 4 cows and a person that cross, hide each other, leave and come back, 640 x 360, every 4th of 25
frames a second, windows of 20 frames. "own coats": every cow has its own. "look-alikes": all four are black. The masks
are the true ones, in an order that changes with every window, so that only linking is measured; or those of
`tracker=motion`. The seeds were never used while linking was tuned.

Ways: "none": every window has its own individuals. "box IoU": what a window shows in its first frame goes on from what
the window before shows in the same frame, or in its last one, if the IoU of the boxes is above 0.3, greedily. "link":
this project; "5 known": with link.individuals=5. "embedding": with link.embedding, if one is named: "random" is a
ResNet-18 of timm with random weights (seed 0) that sees 112 x 112 pixels. "oracle": every object gets the true
individual that most of its pixels belong to: more is not possible.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.given import settings
from benchmarks.table import FOLDER, Result, arguments, publish
from pipeline.build import Build
from pipeline.footage import survey
from pipeline.linking.embeddings import Embeddings
from pipeline.linking.individuals import individuals
from pipeline.linking.link import link
from pipeline.linking.tracklets import Tracklet, Tracklets
from pipeline.records import ChunkRecord, Sample
from pipeline.settings import LinkConfig
from sam import tracker as registry
from sam.assign import box_iou
from sam.hota import hota
from sam.metrics import TruthMask, evaluate, that_count
from sam.types import FrameMasks, Mask, Prompt, SessionFrames, Track, shared_area
from video.scenes import SceneTruth, load_truth, render_scene, truth_path
from video.types import Window

SEEDS = (5201, 5202, 5203)
HERDS: Mapping[str, tuple[int, ...]] = {"own coats": (), "look-alikes": (4,)}
REGIMES = {
    "side by side": [],
    "4 frames shared": ["clip.lead=4"],
    "one window in three": ["clip.hop=60"],
}
LEAST_IOU = 0.3
LEAST_PIXELS = 40
INDIVIDUALS = 5  # four cows and a person
WAYS = ("none", "box IoU", "link", "link, embedding", "link, 5 known", "oracle")
RANDOM_SIDE = 112
Ids = Mapping[tuple[str, int], int]  # individual by window and object


@registry.tracker("truth")
@dataclass
class TruthConfig:
    """The true masks of generated footage, numbered anew in every window."""

    folder: str

    def build(self) -> TruthTracker:
        return TruthTracker(Path(self.folder))


class TruthTracker:
    """Implements `sam.tracker.Tracker`."""

    name = "truth"
    understands = frozenset({"text"})
    context = 0
    max_side: int | None = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def identity(self) -> dict[str, Any]:
        return {"tracker": self.name}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...

    def prepare(self, context: Sequence[NDArray[np.uint8]]) -> None: ...

    def track(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        truth = load_truth(self._folder / frames.video)
        order = np.random.default_rng(int(frames.indices[0])).permutation(len(truth.names)) + 1
        for n, index in enumerate(frames.indices.tolist()):
            seen = {int(order[i]): t.mask for i, t in true_masks(truth, index).items() if t.mask.area >= LEAST_PIXELS}
            yield FrameMasks(n, tuple(seen), tuple(seen.values()), (1.0,) * len(seen))


def true_masks(truth: SceneTruth, frame: int) -> dict[int, TruthMask]:
    rows = truth.rows(frame)
    masks = {r: Mask(tuple(truth.boxes[r].tolist()), truth.counts[r]) for r in rows}
    return {int(truth.individual[r]): TruthMask(mask, truth.visible(r)) for r, mask in masks.items()}


@dataclass(frozen=True, slots=True)
class Seen:
    """One window: what it shows by object and source frame, and in which of them it is cropped."""

    window: Window
    masks: Mapping[int, Mapping[int, Mask]]
    cropped: range


@dataclass(slots=True)
class Tally:
    """Frames of many scenes in a row, ids never shared between scenes."""

    truth: list[Mapping[int, TruthMask]]
    tracks: list[Mapping[int, Mask]]
    frames: int = 0

    def scores(self, size: tuple[int, int]) -> tuple[float, float, float]:
        """HOTA, AssA and IDF1."""
        by_id: dict[int, dict[int, Mask]] = {}
        for n, frame in enumerate(self.tracks):
            for name, mask in frame.items():
                by_id.setdefault(name, {})[n] = mask
        tracks = [
            Track(name, "", np.array(list(masks), np.int32), tuple(masks.values()), 1.0)
            for name, masks in by_id.items()
        ]
        found = hota(*that_count(tracks, self.truth, size))
        return found.hota, found.ass, evaluate(tracks, self.truth, size).idf1


def scene(herd: str, seed: int, seconds: float) -> Path:
    path = FOLDER / f"link-{herd.replace(' ', '-')}-{seed}-{seconds:g}s.mp4"
    if not truth_path(path).is_file():
        render_scene(path, seed, seconds, width=640, height=360, cows=4, people=1, coats=HERDS[herd])
    return path


@dataclass(frozen=True, slots=True)
class Linking:
    """A built dataset, linked: its windows in order, the truth, and for every object who it is, in each way.

    links: per way that makes any, over how many two objects were joined, how many of these are of two true individuals,
    and how many are open.
    """

    windows: Sequence[Seen]
    truth: SceneTruth
    ids: Mapping[str, Ids]
    links: Mapping[str, tuple[int, int, int]]


def random_model() -> str:
    """A folder with a model that was never trained, as `link.embedding` names it."""
    import timm
    import torch

    folder = FOLDER / f"resnet18-random-{RANDOM_SIDE}"
    if not (folder / "config.json").is_file():
        torch.manual_seed(0)
        sides = {"input_size": (3, RANDOM_SIDE, RANDOM_SIDE)}
        timm.models.save_for_hf(timm.create_model("resnet18", pretrained_cfg_overlay=sides), folder)
    return f"timm:{folder}"


def linked(path: Path, out: Path, tracker: str, regime: Sequence[str], embedding: str | None) -> Linking:
    """Build a dataset with this tracker and link it."""
    given = [f"tracker.folder={path.parent}"] if tracker == "truth" else []
    options = [
        f"videos={path}",
        f"out={out}",
        f"crop.size={96 if embedding else 32}",
        "filters.size.min_side=8",
        "exports=[]",
        *given,
        *regime,
    ]
    chosen = settings(*options, tracker=tracker)
    build = Build(chosen)
    build.run()
    jobs = build.jobs(survey(chosen, build.ledger))
    tracklets = Tracklets()
    windows: list[Seen] = []
    of_sample: dict[str, tuple[str, int]] = {}
    records: list[ChunkRecord] = []
    for job in jobs:
        record = build.ledger.read(job.record_id)
        assert record is not None
        records.append(record)
        tracklets.add(record, lambda sample: bool(sample.files))
        of_sample |= {s.sample_id: (s.window_id, s.object_id) for s in record.samples}
        stored = build.store.read(job.track_keys[0])
        windows += [_seen(window, stored[window.id], record.samples) for window in job.chunk.windows]
    chunks = [(job.chunk, {chosen.prompts[0]: job.track_keys[0]}) for job in jobs]
    found = {
        "link": individuals(tracklets, chunks, build.store, chosen.linking),
        "link, 5 known": individuals(tracklets, chunks, build.store, replace(chosen.linking, individuals=INDIVIDUALS)),
    }
    vectors = Embeddings.of(replace(chosen.linking, embedding=embedding), build.layout)
    if vectors is not None:
        vectors.update(lambda: iter(records), lambda sample: True)
        found["link, embedding"] = individuals(tracklets, chunks, build.store, chosen.linking, embeddings=vectors)
    truth = load_truth(path)
    oracle = {(s.window.id, o): _true_id(truth, masks) for s in windows for o, masks in s.masks.items()}
    numbers = {
        name: n for n, name in enumerate(sorted({name for each in found.values() for name in each.ids.values()}))
    }
    ids = {way: {who: numbers[each.ids[sample]] for sample, who in of_sample.items()} for way, each in found.items()}
    links = {}
    for way, each in found.items():
        rows = each.links.to_pylist()
        made = [row for row in rows if row["state"] == "linked"]
        wrong = sum(oracle[of_sample[r["first_sample"]]] != oracle[of_sample[r["second_sample"]]] for r in made)
        links[way] = len(made), wrong, len(rows) - len(made)
    none = {who: n for n, who in enumerate(oracle)}
    return Linking(windows, truth, {"none": none, "box IoU": _chained(windows), **ids, "oracle": oracle}, links)


def _seen(window: Window, found: Any, samples: Sequence[Sample]) -> Seen:
    masks = {
        track.object_id: dict(zip(found.indices[track.frames].tolist(), track.masks, strict=True))
        for track in found.tracks
    }
    frames = found.indices[found.frames_of(window.clips[0])]
    return Seen(window, masks, range(int(frames[0]), int(frames[-1]) + 1))


def _true_id(truth: SceneTruth, masks: Mapping[int, Mask]) -> int:
    """The individual with most of the pixels; -1 for none."""
    pixels: Counter[int] = Counter()
    for frame, mask in masks.items():
        for who, true in true_masks(truth, frame).items():
            pixels[who] += shared_area(mask, true.mask)
    best = pixels.most_common(1)
    return best[0][0] if best and best[0][1] else -1


def _chained(windows: Sequence[Seen]) -> Ids:
    """Greedy chaining on the boxes of one frame at every border, as trackers' wrappers do it."""
    ids: dict[tuple[str, int], int] = {}
    new = iter(range(10**9))
    before: Seen | None = None
    for now in windows:
        pairs = []
        if before is not None:
            at = now.cropped.start
            shared = any(at in masks for masks in before.masks.values())
            last = at if shared else before.cropped.stop - 1
            for a, one in before.masks.items():
                for b, other in now.masks.items():
                    if last in one and at in other:
                        overlap = float(box_iou(np.array([one[last].box, other[at].box]))[0, 1])
                        pairs.append((overlap, a, b))
        taken: set[int] = set()
        for overlap, a, b in sorted(pairs, reverse=True):
            assert before is not None
            if overlap > LEAST_IOU and a not in taken and (now.window.id, b) not in ids:
                ids[now.window.id, b] = ids[before.window.id, a]
                taken.add(a)
        for b in now.masks:
            if (now.window.id, b) not in ids:
                ids[now.window.id, b] = next(new)
        before = now
    return ids


def tallies(linkings: Sequence[Linking]) -> dict[str, Tally]:
    """Per way, the frames of all crops of all scenes."""
    made = {way: Tally([], []) for way in WAYS if way in linkings[0].ids}
    for number, one in enumerate(linkings):
        for seen in one.windows:
            for frame in [f for f in seen.cropped if (f - seen.cropped.start) % 4 == 0]:
                true = {1000 * number + i: t for i, t in true_masks(one.truth, frame).items()}
                for way, tally in made.items():
                    shown: dict[int, Mask] = {}
                    for o, masks in seen.masks.items():
                        who = one.ids[way].get((seen.window.id, o))
                        if frame in masks and who is not None:
                            name = 10**6 * number + who
                            while name in shown:  # the oracle's: two objects that are one individual
                                name += 10**5
                            shown[name] = masks[frame]
                    tally.truth.append(true)
                    tally.tracks.append(shown)
    return made


def speed(count: int) -> float:
    """Seconds to link `count` tracklets of 8 objects that wander, leave and return, side by side."""
    rng = np.random.default_rng(0)
    tracklets = []
    looks = rng.dirichlet(np.full(216, 0.05), 8).astype(np.float32)
    centres = rng.uniform(100, 900, (8, 2))
    for n in range(count // 8):
        centres = np.clip(centres + rng.normal(0, 20, centres.shape), 60, 940)
        for o in rng.permutation(8).tolist():
            frames = np.arange(80 * n, 80 * n + 80, 4)
            way = centres[o] + np.cumsum(rng.normal(0, 1, (20, 2)), axis=0)
            boxes = np.concatenate([way - 40, way + 40], axis=1).astype(np.float32)
            tracklets.append(
                Tracklet("v", (1000, 1000), f"{n:06}", "cow", o, (f"{n}/{o}",), frames, frames / 25, boxes, looks[o])
            )
    began = time.perf_counter()
    link(tracklets, [], LinkConfig())
    return time.perf_counter() - began


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--seconds", type=float, default=120, help="length of each scene")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--trackers", nargs="+", default=["truth", "motion"])
    parser.add_argument("--embedding", help='a model as link.embedding names it, or "random"')
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rows, values = [], {}
    FOLDER.mkdir(parents=True, exist_ok=True)
    embedding = random_model() if options.embedding == "random" else options.embedding
    ways = [way for way in WAYS if embedding or way != "link, embedding"]
    counted = [way for way in ways if way in ("link", "link, embedding")]
    for tracker in options.trackers:
        for herd in HERDS:
            for regime, keys in REGIMES.items():
                linkings = []
                for seed in options.seeds:
                    with tempfile.TemporaryDirectory(dir=FOLDER) as out:
                        path = scene(herd, seed, options.seconds)
                        linkings.append(linked(path, Path(out), tracker, keys, embedding))
                size = linkings[0].truth.width, linkings[0].truth.height
                row = [tracker, herd, regime]
                for way, tally in tallies(linkings).items():
                    scores = tally.scores(size)
                    row.append(" / ".join(f"{score:.3f}" for score in scores))
                    for name, score in zip(("HOTA", "AssA", "IDF1"), scores, strict=True):
                        values[f"{tracker}, {herd}, {regime}, {way}: {name}"] = score
                for way in counted:
                    counts = (sum(each.links[way][n] for each in linkings) for n in range(3))
                    row.append(" / ".join(map(str, counts)))
                rows.append(tuple(row))
                print(" | ".join(row), flush=True)
    head = ("masks", "herd", "windows", *(f"{way}: HOTA / AssA / IDF1" for way in ways))
    head += tuple(f"{way}: links made / wrong / open" for way in counted)
    seconds = speed(10_000)
    values["seconds for 10,000 tracks"] = seconds
    note = f"{len(options.seeds)} scenes of {options.seconds:g} s a row. 10,000 tracks are linked in {seconds:.1f} s."
    publish(Result("The same individual across windows", head, tuple(rows), values, note), options.json)


if __name__ == "__main__":
    main()
