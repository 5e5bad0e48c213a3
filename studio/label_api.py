"""Labels over HTTP: the classes, and saying what crops show. What was answered is on disk."""

from __future__ import annotations

from fastapi import APIRouter

from studio import dataset_bodies as bodies
from studio.api import refusals
from studio.browse_api import Served
from studio.dataset import Dataset
from studio.errors import StudioError
from studio.label_classes import KEYS, PLAIN, LabelClass, plain, read_classes, write_classes
from studio.labelling import Change, Labelling, Word

router = APIRouter(prefix="/dataset", responses=refusals())


@router.get("/classes")
def get_classes(dataset: Served) -> bodies.ClassCounts:
    """The classes a labeller chooses from, their keys, and how many crops have each."""
    return _classes(dataset)


@router.put("/classes", responses=refusals(507))
def put_classes(dataset: Served, body: bodies.Classes) -> bodies.ClassCounts:
    """Choose other classes; kept in the dataset. Labels stay as they are, and their classes remain in the list."""
    with dataset.lock:
        write_classes(dataset.layout, [LabelClass(each.name, each.key) for each in body.classes])
    return _classes(dataset)


@router.post("/labels", responses=refusals(404, 507))
def label_crops(dataset: Served, body: bodies.Words) -> bodies.Changed:
    """Say what crops show: a label, unsure, a comment, or null to take back."""
    _check_names(dataset, {each.label for each in body.words})
    words = [(each.sample_id, Word(each.label, each.unsure, each.comment)) for each in body.words]
    return _changed(dataset, Labelling(dataset).say(words, body.author))


@router.post("/labels/many", responses=refusals(404, 409, 507))
def label_many(dataset: Served, body: bodies.ManyWords) -> bodies.Changed:
    """Say the same of an individual, or of everything in view in a span."""
    _check_names(dataset, {body.label})
    labelling, said = Labelling(dataset), Word(body.label, body.unsure)
    span = None if body.start_s is None or body.end_s is None else (body.start_s, body.end_s)
    with dataset.lock:
        if body.of == "individual":
            names = labelling.of_individual(body.sample_id, span)
            if not names:
                raise StudioError(409, "no crop of this individual lies in the span with at least half of its time")
            return _changed(dataset, labelling.say([(name, said) for name in names], body.author))
        assert span is not None  # the body's own check
        return _changed(dataset, labelling.say_of_span(said, body.sample_id, *span, body.author))


def _check_names(dataset: Dataset, names: set[str | None]) -> None:
    """Raises StudioError (422) for what can be no class; what crops have already can be said again."""
    _, said = dataset.current()
    for name in names:
        if name is not None and not plain(name) and name not in said.names:
            raise StudioError(422, f"label: {PLAIN}, got {name[:80]!r}")


def _classes(dataset: Dataset) -> bodies.ClassCounts:
    _, said = dataset.current()
    counts = {name: int((said.codes == place).sum()) for place, name in enumerate(said.names)}
    used = sorted(name for name, count in counts.items() if count)
    classes = read_classes(dataset.layout, dataset.options.classes, used)
    return bodies.ClassCounts(
        classes=[bodies.OneClass(name=c.name, key=c.key) for c in classes],
        counts={name: count for name, count in counts.items() if count},
        keys=KEYS,
    )


def _changed(dataset: Dataset, changes: list[Change]) -> bodies.Changed:
    crops, said = dataset.current()

    def of(row: int, word: Word) -> bodies.WordOf:
        return bodies.WordOf(sample_id=crops.ids[row], label=word.label, unsure=word.unsure, comment=word.comment)

    return bodies.Changed(
        now=[of(change.row, change.after) for change in changes],
        before=[of(change.row, change.before) for change in changes],
        labelled=int((said.codes >= 0).sum()),
        unsure=int(said.unsure.sum()),
    )
