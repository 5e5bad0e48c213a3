"""A dataset over HTTP, as it is: what it holds, which crops fit a filter, their histograms, and the crops."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import FileResponse

from pipeline.report.distributions import SHOWN
from studio import dataset_bodies as bodies
from studio import search
from studio.api import refusals
from studio.dataset import Dataset
from studio.errors import StudioError
from studio.labelling import row_of

router = APIRouter(prefix="/dataset", responses=refusals())


def dataset_of(request: Request) -> Dataset:
    """The dataset that is served."""
    dataset: Dataset = request.app.state.dataset
    return dataset


Served = Annotated[Dataset, Depends(dataset_of)]
_VIDEO: dict[int | str, dict[str, Any]] = {
    status: {"content": {"video/mp4": {"schema": {"type": "string", "format": "binary"}}}, "description": what}
    for status, what in ((200, "MP4"), (206, "the part that the header Range asks for"))
}

_JPEG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}, "description": "JPEG"}
}


@router.get("")
def describe_dataset(dataset: Served) -> bodies.Described:
    """What the dataset holds, and how far its labels are."""
    crops, said = dataset.current()
    figures = [
        {"figure": s.figure, "title": s.title, "unit": s.unit, "scale": s.scale, "note": s.note, "reason": s.filter[0]}
        for s in SHOWN
    ]
    return bodies.Described(
        name=dataset.layout.root.name,
        samples=len(crops),
        refused=len(dataset.refused()),
        failures=len(dataset.failures()),
        labelled=int((said.codes >= 0).sum()),
        unsure=int(said.unsure.sum()),
        prompts=crops.coded["prompt"].names,
        videos=crops.coded["video"].names,
        splits=crops.coded["split"].names,
        figures=figures,
        predicted=crops.predicted.names,
        individuals=len(crops.coded["individual_id"].names),
        orders=list(bodies.ORDERS),
    )


@router.post("/samples", responses=refusals(404, 413))
def find_samples(dataset: Served, body: bodies.Search) -> bodies.Found:
    """A page of the crops, or of the refused objects, that fit a filter."""
    return search.page(*dataset.current(), dataset.refused(), body)


@router.post("/counts", responses=refusals(413))
def count_samples(dataset: Served, body: bodies.Counting) -> bodies.Counted:
    """Histograms of the figures and counts of the columns, of all and of those that fit."""
    return search.counted(*dataset.current(), dataset.refused(), dataset.limits(), body.filter)


@router.get("/samples/{sample_id}", responses=refusals(404))
def inspect_sample(dataset: Served, sample_id: Annotated[str, Path(description="of the index")]) -> bodies.Crop:
    """One crop and what is said of it."""
    crops, said = dataset.current()
    return search.crop(crops, said, row_of(crops, sample_id))


@router.get("/failures")
def list_failures(
    dataset: Served,
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> bodies.Failures:
    """What failed in the last build, and why."""
    found = dataset.failures()
    return bodies.Failures(
        total=len(found), failures=[bodies.FailureLine(**each) for each in found[offset : offset + limit]]
    )


@router.get("/thumbnails/{sample_id}", response_class=Response, responses={**_JPEG, **refusals(404)})
def get_thumbnail(dataset: Served, sample_id: Annotated[str, Path(description="of a refused object")]) -> FileResponse:
    """A small picture of a refused object; a few of every reason have one."""
    path = dataset.refused().pictures.get(sample_id)
    if path is None or not path.is_file():
        raise StudioError(404, f"there is no picture of a refused object {sample_id[:64]!r}")
    return FileResponse(path, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})


@router.get("/crops/{sample_id}", response_class=Response, responses={**_VIDEO, **refusals(404, 416)})
def get_crop(dataset: Served, sample_id: Annotated[str, Path(description="of the index")]) -> FileResponse:
    """A crop's video, whole or in part (the header Range)."""
    crops, _ = dataset.current()
    row = row_of(crops, sample_id)
    path = dataset.crop_file(crops, row)
    if path is None:
        raise StudioError(404, f"the file of the crop {crops.ids[row]} is missing in the dataset: run the build again")
    return FileResponse(path, media_type="video/mp4", headers={"cache-control": "private, max-age=3600"})
