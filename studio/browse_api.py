"""A dataset over HTTP, as it is: what it holds, which crops fit a filter, their histograms, and the crops."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
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


@router.get("")
def describe_dataset(dataset: Served) -> bodies.Described:
    """What the dataset holds, and how far its labels are."""
    crops, said = dataset.current()
    figures = [{"figure": s.figure, "title": s.title, "unit": s.unit, "scale": s.scale, "note": s.note} for s in SHOWN]
    return bodies.Described(
        name=dataset.layout.root.name,
        samples=len(crops),
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


@router.post("/samples", responses=refusals(404))
def find_samples(dataset: Served, body: bodies.Search) -> bodies.Found:
    """A page of the crops that fit a filter."""
    return search.page(*dataset.current(), body)


@router.post("/counts")
def count_samples(dataset: Served, body: bodies.Counting) -> bodies.Counted:
    """Histograms of the figures and counts of the columns, of all crops and of those that fit."""
    return search.counted(*dataset.current(), body.filter)


@router.get("/samples/{sample_id}", responses=refusals(404))
def inspect_sample(dataset: Served, sample_id: Annotated[str, Path(description="of the index")]) -> bodies.Crop:
    """One crop and what is said of it."""
    crops, said = dataset.current()
    return search.crop(crops, said, row_of(crops, sample_id))


@router.get("/crops/{sample_id}", response_class=Response, responses={**_VIDEO, **refusals(404, 416)})
def get_crop(dataset: Served, sample_id: Annotated[str, Path(description="of the index")]) -> FileResponse:
    """A crop's video, whole or in part (the header Range)."""
    crops, _ = dataset.current()
    row = row_of(crops, sample_id)
    path = dataset.crop_file(crops, row)
    if path is None:
        raise StudioError(404, f"the file of the crop {crops.ids[row]} is missing in the dataset: run the build again")
    return FileResponse(path, media_type="video/mp4", headers={"cache-control": "private, max-age=3600"})
