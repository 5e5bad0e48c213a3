"""The layout of a dataset on a server: its paths are those of the folder that stands for it here, and what is not here
is brought when it is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.errors import ConfigError, DatasetError, DiskError
from pipeline.layout import Layout
from pipeline.mirror.kinds import RECORDS
from pipeline.mirror.mirror import Mirror
from pipeline.records import ChunkRecord
from pipeline.settings import GB, CacheConfig, Settings
from pipeline.track_store import degraded_key
from video.errors import FetchError, NotThere, SourceError

TO_COME = 2**63  # nanoseconds since 1970


@dataclass(frozen=True, slots=True)
class MirroredLayout(Layout):
    """What the server has counts as there. What lies outside of `root` is this machine's alone."""

    mirror: Mirror

    @property
    def named(self) -> str:
        return str(self.mirror)

    def here(self, path: Path) -> Path:
        self.bring([path])
        return path

    def bring(self, paths: Iterable[Path]) -> None:
        self.mirror.bring([path for path in paths if self._is_ours(path)])

    def has(self, path: Path) -> bool:
        if path.exists() or not self._is_ours(path):
            return path.exists()
        return self.mirror.entry(path) is not None or bool(self.mirror.sizes(path))

    @contextmanager
    def borrowed(self, path: Path) -> Iterator[Path]:
        try:
            with self.mirror.borrowed(path) as file:
                yield file
        except NotThere as error:
            raise FileNotFoundError(str(error)) from error

    def remove(self, path: Path) -> None:
        super(MirroredLayout, self).remove(path)
        if self._is_ours(path):
            self.mirror.discard(path)

    def replaced(self, folder: Path) -> None:
        for path in self.files(folder):
            if not path.exists():
                self.remove(path)

    def attach(self) -> None:
        try:
            if self.mirror.is_new:
                self.mirror.pull(lambda path: False)
        except (FetchError, SourceError) as error:
            raise DatasetError(f"out={self.mirror} cannot be read: {error}") from error

    def committed(self, record: ChunkRecord, track_keys: Iterable[str]) -> None:
        made = [self.root / file.path for sample in record.samples for file in sample.files]
        made += [self.thumbnail(sample.sample_id) for sample in record.samples if not sample.files]
        made += [self.clip(clip_id) for clip_id in record.clips]
        keys = dict.fromkeys(track_keys)
        made += [self.track_file(each) for key in keys for each in (key, degraded_key(key))]
        self.mirror.ship([path for path in made if self._is_ours(path)], self.record(record.id))

    def settle(self) -> None:
        self.mirror.settle()

    def publish(self, paths: Sequence[Path]) -> None:
        try:
            self.mirror.send([path for path in paths if path.is_file()])
        except NotThere as error:
            raise ConfigError(f"out={self.mirror} cannot be written: there is no such bucket; make it first") from error
        except (FetchError, SourceError) as error:  # nothing has been started yet
            raise ConfigError(f"out={self.mirror} cannot be written: {error}") from error

    def tell(self, path: Path) -> None:
        with suppress(FetchError, SourceError):
            self.mirror.send([path])

    def exchange(self) -> None:
        self.settle()
        with sent_or_said(self.mirror):
            self.mirror.push(RECORDS)
            self.mirror.pull()

    def deliver(self) -> bool:
        with sent_or_said(self.mirror):
            self.mirror.push()
            return not self.mirror.pull_records()

    @contextmanager
    def holding(self) -> Iterator[None]:
        with self.mirror.holding():
            yield

    def size(self, path: Path) -> int | None:
        found = super(MirroredLayout, self).size(path)
        if found is not None or not self._is_ours(path):
            return found
        entry = self.mirror.entry(path)
        return None if entry is None else entry.size

    def files(self, folder: Path) -> set[Path]:
        found = super(MirroredLayout, self).files(folder)
        return found | {self.root / name for name in self.mirror.sizes(folder)} if self._is_ours(folder) else found

    def has_tracks(self) -> bool:
        own = super(MirroredLayout, self).has_tracks()
        return own or (self._is_ours(self.tracks) and any(self.mirror.sizes(self.tracks)))

    def track_keys(self) -> set[str]:
        own = super(MirroredLayout, self).track_keys()
        there = self.mirror.sizes(self.tracks) if self._is_ours(self.tracks) else ()
        return own | {PurePosixPath(name).stem for name in there if name.endswith(".parquet")}

    def stamp(self, path: Path) -> tuple[int, int] | None:
        found = super(MirroredLayout, self).stamp(path)
        size = self.size(path) if found is None else None
        return found if size is None else (size, TO_COME)

    def crop_paths(self) -> Iterator[str]:
        own = super(MirroredLayout, self).crop_paths()
        return iter(self.mirror.sizes(self.crops).keys() | set(own))

    def crop_times(self, clip_ids: Iterable[str]) -> list[int]:
        return [TO_COME for _ in clip_ids]  # a server's folders have no times: what it has is looked into each time

    def crop_sizes(self, clip_ids: Iterable[str]) -> dict[str, int]:
        names = list(clip_ids)
        there = {path: size for name in names for path, size in self.mirror.sizes(self.crops / name).items()}
        return there | super(MirroredLayout, self).crop_sizes(names)

    def _is_ours(self, path: Path) -> bool:
        return path.is_relative_to(self.root)


@contextmanager
def sent_or_said(mirror: Mirror) -> Iterator[None]:
    """Turn what the server does into a DiskError that says where the results are."""
    try:
        yield
    except (FetchError, SourceError) as error:
        raise DiskError(
            f"out={mirror}: not all of it could be sent ({error}). Nothing is lost: it stays in {mirror.root}, and the "
            "same command sends it first"
        ) from error


def mirrored(settings: Settings) -> MirroredLayout:
    """The layout of a run whose `out` is a URL."""
    assert settings.url is not None
    return MirroredLayout(settings.out, settings.tracks, mirror_of(settings.url, settings.out, settings.cache))


_open: dict[tuple[str, Path], Mirror] = {}  # by URL and folder: connections are dear


def mirror_of(url: str, root: Path, cache: CacheConfig) -> Mirror:
    """This process's mirror of a dataset on a server."""
    if (url, root) not in _open:
        _open[url, root] = Mirror(url, root, round(cache.results_gb * GB))
    return _open[url, root]


def close(url: str, root: Path) -> None:
    """End the connections."""
    mirror = _open.pop((url, root), None)
    if mirror is not None:
        mirror.close()
