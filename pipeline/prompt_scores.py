"""How prompts compare when nothing is labelled: counts, coverage, doubles, track length, refusals, and agreement.

Pure functions of what was tracked; where this comes from is `read`. Two objects of one clip are the same thing when
their boxes have a mean IoU of at least `SAME` over the frames that show either; between prompts they are paired one to
one, so that the IoU is largest in total.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.layout import Layout
from pipeline.ledger import Ledger
from pipeline.records import ChunkRecord, Sample
from pipeline.tables import read_table

F32 = NDArray[np.float32]
SAME = 0.5


@dataclass(frozen=True, slots=True)
class Seen:
    """One object in one clip, as far as prompts are compared by it.

    name: of the prompt. boxes: (N, 4) float32 xyxy, NaN where it is not visible. reason: why it was refused; None for a
    crop, and "duplicate_of_prompt" where another prompt of the same build stood in.
    """

    name: str
    clip_id: str
    boxes: F32
    first_score: float
    reason: str | None

    @classmethod
    def of(cls, name: str, sample: Sample, reason: str | None) -> Seen:
        boxes = np.array([box or (np.nan,) * 4 for box in sample.boxes], np.float32)
        return cls(name, sample.clip_id, boxes, sample.first_score, reason)


@dataclass(frozen=True, slots=True)
class PromptScore:
    """What one prompt came to.

    objects: per clip counted, so one that goes through three clips counts three times. coverage: share of the clips
    with any. visible: median share of a clip's frames that show the object. doubles: share of the objects that lie on
    another one of the same prompt. first_score: median. refused: share that the filters refused; reason: the most
    frequent.
    """

    name: str
    objects: int
    crops: int
    coverage: float
    per_clip: float
    visible: float
    doubles: float
    first_score: float
    refused: float
    reason: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """scores: by prompt. agreement: by pair of prompts, the Dice coefficient of their objects: 1 where both found the
    same things, 0 where nothing is common; None where neither found any."""

    scores: tuple[PromptScore, ...]
    agreement: Mapping[tuple[str, str], float | None]


def compare(seen: Iterable[Seen], clips: Mapping[str, int]) -> Comparison:
    """clips: by prompt, in the order they are shown in: how many clips were looked at."""
    by_clip: dict[str, dict[str, list[Seen]]] = {}
    of: dict[str, list[Seen]] = {name: [] for name in clips}
    for each in seen:
        by_clip.setdefault(f"{each.clip_id} {len(each.boxes)}", {}).setdefault(each.name, []).append(each)
        of[each.name].append(each)
    doubles: Counter[str] = Counter()
    common: Counter[tuple[str, str]] = Counter()
    for found in by_clip.values():
        boxes = {name: np.stack([x.boxes for x in group]) for name, group in found.items()}
        for name, own in boxes.items():
            alike = overlaps(own, own) - np.eye(len(own))
            doubles[name] += int((alike >= SAME).any(axis=1).sum())
        for a, b in combinations([name for name in clips if name in found], 2):
            common[a, b] += _paired(overlaps(boxes[a], boxes[b]))
    agreement = {}
    for a, b in combinations(clips, 2):
        many = len(of[a]) + len(of[b])
        agreement[a, b] = 2 * common[a, b] / many if many else None
    covered = Counter(name for found in by_clip.values() for name in found)
    return Comparison(
        tuple(_score(name, of[name], clips[name], covered[name], doubles[name]) for name in clips), agreement
    )


def _score(name: str, seen: Sequence[Seen], clips: int, covered: int, doubles: int) -> PromptScore:
    refused = Counter(x.reason for x in seen if x.reason is not None and x.reason != "duplicate_of_prompt")
    many = max(len(seen), 1)
    visible = [float(np.isfinite(x.boxes[:, 0]).mean()) for x in seen]
    return PromptScore(
        name=name,
        objects=len(seen),
        crops=sum(x.reason is None for x in seen),
        coverage=covered / max(clips, 1),
        per_clip=len(seen) / max(clips, 1),
        visible=float(np.median(visible)) if seen else 0.0,
        doubles=doubles / many,
        first_score=float(np.median([x.first_score for x in seen])) if seen else 0.0,
        refused=refused.total() / many,
        reason=min(refused, key=lambda reason: (-refused[reason], reason)) if refused else "",
    )


def overlaps(a: F32, b: F32) -> NDArray[np.float64]:
    """(n, m) mean IoU of (n, N, 4) and (m, N, 4) boxes over the frames that show either; a frame that shows only one
    counts 0."""
    one, two = a[:, None].astype(np.float64), b[None].astype(np.float64)
    sides = np.minimum(one[..., 2:], two[..., 2:]) - np.maximum(one[..., :2], two[..., :2])
    shared = np.nan_to_num(np.maximum(sides, 0).prod(axis=-1))
    areas = [np.nan_to_num((each[..., 2:] - each[..., :2]).prod(axis=-1)) for each in (one, two)]
    union = areas[0] + areas[1] - shared
    iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    either = np.isfinite(one[..., 0]) | np.isfinite(two[..., 0])
    return np.asarray(iou.sum(axis=-1) / np.maximum(either.sum(axis=-1), 1), np.float64)


def _paired(iou: NDArray[np.float64]) -> int:
    """How many pairs are the same thing, one to one."""
    from scipy.optimize import linear_sum_assignment

    possible = np.where(iou >= SAME, iou, 0)
    rows, columns = linear_sum_assignment(possible, maximize=True)
    return int((possible[rows, columns] > 0).sum())


def read(datasets: Mapping[str, tuple[Path, Sequence[str]]]) -> Comparison | None:
    """Compare the prompts of finished datasets. datasets: by the name of a job, its root and its prompts.

    A prompt that several jobs have is named with its job. None where there are not two prompts to compare.
    """
    shared = Counter(prompt for _, prompts in datasets.values() for prompt in prompts)
    seen: list[Seen] = []
    clips: dict[str, int] = {}
    for job, (root, prompts) in datasets.items():
        layout = Layout(root, root / "tracks")
        called = {prompt: prompt if shared[prompt] == 1 else f"{prompt} ({job})" for prompt in prompts}
        rows = read_table(layout.rejected, ["sample_id", "reason"])
        reasons = dict(zip(rows["sample_id"].to_pylist(), rows["reason"].to_pylist(), strict=True))
        looked_at: set[str] = set()
        for record in _records(layout):
            looked_at.update(record.clips)
            seen += [
                Seen.of(called[x.prompt], x, reasons.get(x.sample_id)) for x in record.samples if x.prompt in called
            ]
        clips |= dict.fromkeys(called.values(), len(looked_at))
    return compare(seen, clips) if len(clips) > 1 else None


def _records(layout: Layout) -> Iterator[ChunkRecord]:
    ledger = Ledger(layout)
    for name in sorted(layout.record_files()):
        record = ledger.read(name)
        if record is not None:
            yield record


HEAD = (
    "prompt",
    "objects",
    "crops",
    "per clip",
    "coverage",
    "visible",
    "doubles",
    "score",
    "refused",
    "most refused for",
)


def rows(found: Comparison) -> list[tuple[str, ...]]:
    """The scores as text, under `HEAD`."""
    return [
        (
            *(x.name, str(x.objects), str(x.crops), f"{x.per_clip:.2f}", f"{x.coverage:.0%}", f"{x.visible:.0%}"),
            *(f"{x.doubles:.0%}", f"{x.first_score:.2f}", f"{x.refused:.0%}", x.reason or "-"),
        )
        for x in found.scores
    ]


def agreements(found: Comparison) -> list[tuple[str, str, str]]:
    """Both prompts and their agreement as text, the most alike first."""
    known = sorted(((a, b, value) for (a, b), value in found.agreement.items() if value is not None), key=_most_alike)
    return [(a, b, f"{value:.2f}") for a, b, value in known]


def _most_alike(row: tuple[str, str, float]) -> tuple[float, str, str]:
    return -row[2], row[0], row[1]
