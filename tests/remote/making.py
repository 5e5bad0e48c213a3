"""The build that tests of servers make again and again, and what of it is to be the same wherever it is made."""

from __future__ import annotations

from pipeline.build import Summary
from pipeline.run import run as run_task
from tests.pipeline.composing import loaded

STABLE = (
    "crops",
    "tracks",
    "samples.parquet",
    "rejected.parquet",
    "failures.parquet",
    "splits.parquet",
    "links.parquet",
)
OF_A_FOLDER = ("records/index.lock", "records/done.json", "records/tracks.json")  # what stays on a machine
SMALL = ("prompt=cow", "tracker=motion", "crop.size=64", "filters.size.min_side=8", "clip.num_frames=5")
LEAN = (*SMALL, "exports=[]")


def build(*words: str) -> Summary:
    status, summary = run_task(loaded(*words), words)
    assert status == 0 and summary is not None
    return summary
