"""The tasks: what each is for and what it needs. How each starts is in `run`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Task:
    """help: for `--help`. videos: it needs `videos=`. tracker: it needs a tracker and what to track. dataset: it starts
    from `out/dataset.yaml`, with the command line on top."""

    help: str
    videos: bool = False
    tracker: bool = False
    dataset: bool = False


TASKS = {
    "build": Task("plan, track, crop, filter, split, export, report (the default)", videos=True, tracker=True),
    "plan": Task("what a build would do and need; writes nothing", videos=True, tracker=True),
    "doctor": Task("what this machine has and lacks for each tracker, and the fix; writes nothing"),
    "preview": Task(
        "a few windows across the videos and prompts in one page, to choose a prompt before days of work",
        videos=True,
        tracker=True,
    ),
    "batch": Task(
        "whole videos by text: NAME_segmented.mp4 and NAME_metadata.json of each (experiment=batch_segmentation)",
        videos=True,
        tracker=True,
    ),
    "clip": Task("only cut the clips into H.264 files under clips/", videos=True),
    "track": Task("only track; crop later, or on another machine", videos=True, tracker=True),
    "crop": Task("only crop, from tracks that are already there", tracker=True, dataset=True),
    "export": Task("only write the exports of a finished dataset", dataset=True),
    "report": Task("only write the report of a finished dataset", dataset=True),
    "label": Task(
        "take labels from a table or an annotation tool into a finished dataset, and write its exports anew",
        dataset=True,
    ),
    "status": Task("how far the runs over a dataset are, from any shell or machine that sees it; writes nothing"),
    "verify": Task("prove with checksums that a dataset, copied perhaps, is complete and unchanged; writes nothing"),
    "upload": Task("put an export on the Hugging Face Hub, private unless said; resumes", dataset=True),
    "outputs": Task("masks, overlays and alpha videos of a finished dataset, from its stored tracks", dataset=True),
    "segment": Task(
        "follow what points or boxes name through one video; without any, print what the video is", videos=True
    ),
    "studio": Task("a web server on this machine: videos segmented by clicks, over a REST API"),
    "demo": Task("generate footage with known truth, build a dataset from it, and score the tracks", tracker=True),
}
