"""Which files of a dataset travel when: what is small is here whenever a task runs, what is heavy when it is asked for;
and what says that something is done goes to the server after what it speaks of."""

from __future__ import annotations

from pathlib import PurePosixPath

from pipeline.layout import Layout

WORK, RECORDS, DERIVED, STAMPS = range(4)  # in the order in which they are sent


class Kinds:
    """Answers by path relative to the dataset, with forward slashes."""

    def __init__(self, layout: Layout) -> None:
        own = Layout(layout.root, layout.root / "tracks")
        heavy = (own.crops, own.clips, own.tracks, own.exports, own.outputs, own.runs, own.report.parent)
        self._heavy = frozenset(map(own.relative, heavy))
        self._trackers = own.relative(own.tracker_identity("x").parent)
        self._records = own.relative(own.records)
        self._work = (*map(own.relative, (own.thumbnails, own.embeddings, own.video_records)), self._trackers)
        self._made = frozenset(map(own.relative, (own.crops, own.clips, own.tracks)))
        self._stamps = frozenset(map(own.relative, (own.index_state, own.tidy)))
        self._labels = frozenset(map(own.relative, (own.labels, own.label_classes)))
        self._corrections = own.relative(own.corrections)
        self._plan = own.relative(own.plan)
        self._stays = frozenset(map(own.relative, (own.lock, own.done, own.tracks_seen)))

    def travels(self, path: str) -> bool:
        """Whether it is a file of the dataset and not one half-written, a lock, or what is noted of the files here."""
        return path not in self._stays and not any(part.startswith(".") for part in PurePosixPath(path).parts)

    def heavy(self, path: str) -> bool:
        """Whether it is brought here only when it is asked for."""
        top = path.partition("/")[0]
        return top in self._heavy and path != self._plan and not path.startswith(f"{self._trackers}/")

    def rank(self, path: str) -> int:
        """One of WORK, RECORDS, DERIVED and STAMPS."""
        if path.partition("/")[0] in self._made or path.startswith(tuple(f"{each}/" for each in self._work)):
            return WORK
        if self.is_record(path):
            return RECORDS
        return STAMPS if path in self._stamps else DERIVED

    def is_record(self, path: str) -> bool:
        """Whether it is the record of a chunk."""
        parts = path.split("/")
        return len(parts) == 3 and parts[0] == self._records and len(parts[1]) == 2 and path.endswith(".json")

    def by_hand(self, path: str) -> bool:
        """Whether people made it, so that nothing makes it again."""
        return path in self._labels or path.startswith(f"{self._corrections}/")
