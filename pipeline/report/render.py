"""The report: one static page that opens from disk, with pictures beside it and the crops it links to.

It makes no request to anywhere, needs no server, and is the same for the same dataset, settings and timings.
It never changes the dataset; what it cannot read it names on the page.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import jinja2
import orjson
import yaml  # type: ignore[import-untyped]

from pipeline.errors import DatasetError
from pipeline.layout import Layout
from pipeline.near_duplicates import NEAR
from pipeline.prompt_scores import HEAD, agreements, read, rows
from pipeline.report import histogram
from pipeline.report.contact import encoded, most_telling, spread_frames, strip
from pipeline.report.stats import Pick, Statistics, read_statistics
from pipeline.writing import write_bytes, writing_folder

if TYPE_CHECKING:
    from pipeline.tasks.promised import Compared

SHOWN = 48  # samples with pictures
OPEN = 12  # of them, so many are visible before "show more"
FRAMES = 5
STRIP_SIDE, POSTER_SIDE = 128, 320  # pixels


@dataclass(frozen=True, slots=True)
class Card:
    """A sample with its pictures; addresses are relative to the page and quoted."""

    pick: Pick
    crop: str
    poster: str
    strip: str


@dataclass(frozen=True, slots=True)
class Stage:
    """Time one stage took. share: of the longest, 0..1."""

    name: str
    spent: str
    share: float


def write_report(
    root: Path,
    target_html: Path,
    *,
    settings: Mapping[str, Any],
    timings: Mapping[str, float] | None,
    score: Mapping[str, float] | None = None,
    speed: str = "",
    planned: Sequence[Compared] = (),
    bring: Callable[[Sequence[Path]], None] = lambda paths: None,
) -> None:
    """Write the page for the dataset at `root` to `target_html`, and its pictures to `sheets/` beside it.

    settings: the config tree, printed as YAML. timings: seconds by stage. score: figures against known truth. speed:
    how fast the run was, in words. planned: what a trial promised, and what happened. bring: told of the crops before
    they are read.
    Raises DatasetError when the index is missing or damaged, DiskError when the folder cannot be written.
    """
    facts = read_statistics(root, settings, SHOWN)
    ends = [pick for _, worst, best in facts.extremes for pick in (*worst, *best)]
    alike = [pick for _, pairs in facts.look_alikes for pair in pairs for pick in pair]
    pictured = [name for reason in facts.reasons for name in reason.pictures]
    bring([root / pick.path for pick in (*facts.picks, *ends, *alike)])
    made, unread = _cards(root, target_html, [*facts.picks, *ends, *alike], pictured)
    cards = [made[pick.sample_id] for pick in facts.picks if pick.sample_id in made]
    page = _template().render(
        name=root.resolve().name,
        facts=facts,
        summary=_summary(facts),
        cards=cards,
        open=OPEN,
        frames=FRAMES,
        unread=unread,
        alike=[
            (
                each,
                [(made[a.sample_id], made[b.sample_id]) for a, b in pairs if {a.sample_id, b.sample_id} <= set(made)],
            )
            for each, pairs in facts.look_alikes
        ],
        near=NEAR,
        prompts=_prompts(root, settings),
        ends=[
            (each, _end(each.worst, worst, made), _end(each.best, best, made)) for each, worst, best in facts.extremes
        ],
        plot=histogram,
        stages=_stages(timings or {}),
        speed=speed,
        score={key: f"{value:.3f}".rstrip("0").rstrip(".") for key, value in (score or {}).items()},
        planned=planned,
        settings=_yaml(settings),
    )
    write_bytes(target_html, page.encode())


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("index.html.j2")


def _end(values: Sequence[tuple[int, str]], picks: Sequence[Pick], cards: Mapping[str, Card]) -> list[tuple[Card, str]]:
    """The cards at one end of a figure, with their values."""
    pairs = zip(picks, values, strict=True)
    return [(cards[pick.sample_id], value) for pick, (_, value) in pairs if pick.sample_id in cards]


def _cards(
    root: Path, target_html: Path, picks: Sequence[Pick], refused: Sequence[str]
) -> tuple[dict[str, Card], list[str]]:
    """Write the pictures of the picked samples; returns their cards by sample id, and what could not be read. refused:
    sample ids whose thumbnails are put beside them."""
    folder, layout = target_html.parent, Layout(root, root / "tracks")
    cards: dict[str, Card] = {}
    unread: list[str] = []
    folder.mkdir(parents=True, exist_ok=True)
    with writing_folder(folder / "sheets") as part:
        for name in refused:
            (part / f"refused-{name}.jpg").write_bytes(layout.thumbnail(name).read_bytes())
        for pick in dict.fromkeys(picks):
            crop = root / pick.path
            try:
                pictures = spread_frames(crop, FRAMES)
            except DatasetError as error:
                unread.append(str(error))
                continue
            poster = strip([most_telling(pictures)], POSTER_SIDE)
            (part / f"{pick.sample_id}.jpg").write_bytes(encoded(strip(pictures, STRIP_SIDE), ".jpg"))
            (part / f"{pick.sample_id}.poster.jpg").write_bytes(encoded(poster, ".jpg"))
            sheet = f"sheets/{quote(pick.sample_id)}"
            address = quote(Path(os.path.relpath(crop, folder)).as_posix())
            cards[pick.sample_id] = Card(pick, address, f"{sheet}.poster.jpg", f"{sheet}.jpg")
    return cards, unread


@dataclass(frozen=True, slots=True)
class Prompts:
    """How the prompts of a build compare, as text."""

    head: tuple[str, ...]
    rows: list[tuple[str, ...]]
    agreements: list[tuple[str, str, str]]


def _prompts(root: Path, settings: Mapping[str, Any]) -> Prompts | None:
    """None with a single prompt, and where records are no longer there."""
    given = settings.get("prompt")
    prompts = [" ".join(str(each).split()) for each in given] if isinstance(given, list | tuple) else []
    if len(prompts) < 2 or not Layout(root, root).record_files():
        return None
    found = read({"": (root, prompts)})
    return Prompts(HEAD, rows(found), agreements(found)) if found is not None else None


def _summary(facts: Statistics) -> str:
    """The dataset in one sentence."""
    if not facts.kept:
        return "No crops: " + (
            f"{_count(facts.refused, 'object')} refused, {_count(facts.failed, 'failure')}; the reasons are below."
            if facts.refused or facts.failed or facts.left_out
            else "nothing was found."
        )
    named = facts.prompts if len(facts.prompts) <= 4 else (*facts.prompts[:3], f"{len(facts.prompts) - 3} more")
    prompts = " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)
    return (
        f"{_count(facts.kept, 'crop')} of {prompts} from {_count(facts.clips, 'clip')} of "
        f"{_count(facts.videos, 'video')}: {', '.join(facts.shapes)}, found by {', '.join(facts.trackers)}."
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _stages(timings: Mapping[str, float]) -> list[Stage]:
    longest = max([1e-9, *timings.values()])
    spent = {name.replace("_", " "): seconds for name, seconds in timings.items()}
    return [Stage(name, _duration(seconds), seconds / longest) for name, seconds in spent.items()]


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _yaml(settings: Mapping[str, Any]) -> str:
    """The settings as YAML in their own order; paths and other values become text."""
    plain = orjson.loads(orjson.dumps(dict(settings), default=str, option=orjson.OPT_NON_STR_KEYS))
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=110)) if plain else ""
