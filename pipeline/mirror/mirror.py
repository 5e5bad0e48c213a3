"""A dataset on a server, and the folder of this machine that stands for it while one works on it.

The folder holds what is small (tables, records, labels), what was made here and is not yet sent, and of the heavy files
those that were used last. `pull` makes the small files here those of the server, `push` the other way round; a file
that was changed here is sent, one that was changed there is brought, and one that was removed is removed. Nothing is
locked over the network: records are sent last and name everything by what it was made from, so two machines never write
different bytes under one name, except to what is derived from all records.
"""

from __future__ import annotations

import filecmp
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import BoundedSemaphore
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from pipeline.errors import DatasetError
from pipeline.layout import Layout
from pipeline.mirror.kinds import RECORDS, Kinds
from pipeline.mirror.manifest import UNWANTED, Entry, Manifest, changes, state_of
from pipeline.mirror.shipping import Shipping
from pipeline.writing import writing
from video import store
from video.connection import SSH, shown
from video.errors import FetchError, NotThere, SourceError
from video.remote import RemoteStat

log = logging.getLogger(__name__)

AT_ONCE, AT_ONCE_OVER_SSH = 32, 16  # files; small ones wait for answers and hardly for the line
LARGE_BYTES, LARGE_AT_ONCE = 4 << 20, 4  # parts of them are held in memory
HELD = 1000  # waiting for a connection


class Mirror:
    """Raises FetchError and SourceError for what the server does, DiskError for this machine's disk."""

    def __init__(self, url: str, root: Path, room_bytes: int) -> None:
        """room_bytes: what heavy files that the server has may take here."""
        self.url, self.root = url.rstrip("/"), root
        self._room = room_bytes
        self._kinds = Kinds(Layout(root, root))
        self._manifest = Manifest(root.parent / "manifest.sqlite")
        at_once = AT_ONCE_OVER_SSH if urlsplit(url).scheme in SSH else AT_ONCE
        self._large = BoundedSemaphore(LARGE_AT_ONCE)
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="server")
        self._shipping: Shipping | None = None
        self._stale: list[str] = []

    def __str__(self) -> str:
        return shown(self.url)

    def close(self) -> None:
        if self._shipping is not None:
            self._shipping.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._manifest.close()

    @property
    def is_new(self) -> bool:
        """Whether nothing is known of the server's files yet."""
        return self._manifest.is_empty

    # -- what is where ------------------------------------------------------------------------------------------------

    def entry(self, path: Path) -> Entry | None:
        """What the server has of it, unless that is to be removed."""
        entry = self._manifest.get(self._name(path))
        return None if entry is None or entry.here == UNWANTED else entry

    def sizes(self, folder: Path) -> dict[str, int]:
        """Bytes of every file that the server has below a folder, by path relative to the dataset."""
        found = self._manifest.under(self._name(folder))
        return {path: entry.size for path, entry in found.items() if entry.here != UNWANTED}

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _unsent(self) -> list[str]:
        """Files here that the server does not have as they are."""
        known = {path: entry.here for path, entry in self._manifest.under().items()}
        records = Layout(self.root, self.root).records
        # Records first: what they name was there before them, though another process may be at work.
        found = [name for top in (records, self.root) for name in self._changed_below(top, known)]
        return list(dict.fromkeys(found))

    def _changed_below(self, top: Path, known: Mapping[str, str | None]) -> Iterator[str]:
        for folder, folders, files in os.walk(top):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for file in files:
                path = Path(folder, file)
                name, state = self._name(path), state_of(path)
                if self._kinds.travels(name) and state is not None and known.get(name) != state:
                    yield name

    # -- from there to here -------------------------------------------------------------------------------------------

    def pull(self, wanted: Callable[[str], bool] | None = None) -> None:
        """Learn what the server has, and bring what is small. wanted: of the paths, instead of what is small."""
        chosen = wanted or self._is_small
        for again in (True, False):
            before = self._manifest.under()
            found = store.tree(self.url, self._pool)
            listed = {path: stat for path, stat in found.items() if self._kinds.travels(path)}
            self._stale = [path for path, stat in found.items() if store.is_stale_part(path, stat)]
            self._learn(before, listed)
            away = [
                path for path, entry in self._manifest.under().items() if chosen(path) and self._is_away(path, entry)
            ]
            try:
                self._each(lambda path, said=listed: self._bring(path, said.get(path)), away)  # type: ignore[misc]
                return
            except FetchError:
                if not again:  # another machine has removed what was listed, perhaps
                    raise

    def _is_away(self, path: str, entry: Entry) -> bool:
        """Whether it is to be brought; what was sent and is not here was removed by somebody who clears caches."""
        return entry.here is None or (entry.sent and state_of(self.root / path) is None)

    def _is_small(self, path: str) -> bool:
        return not self._kinds.heavy(path)

    def pull_records(self) -> bool:
        """Bring the records that others have sent since; whether there are any."""
        records = self._name(Layout(self.root, self.root).records)
        known = self._manifest.under(records)
        found = store.tree(f"{self.url}/{records}", self._pool)
        listed = {f"{records}/{path}": stat for path, stat in found.items()}
        listed = {path: stat for path, stat in listed.items() if self._kinds.is_record(path)}
        before = {path: entry for path, entry in known.items() if path in listed}
        other, _ = changes(before, {path: (stat.size, stat.stamp) for path, stat in listed.items()})
        self._learn(before, listed)
        self._each(lambda path: self._bring(path, listed[path]), other)
        return bool(other)

    def _learn(self, before: dict[str, Entry], listed: dict[str, RemoteStat]) -> None:
        """Take in a listing. before: what was known when it began; what is known anew since then stays."""
        other, gone = changes(before, {path: (stat.size, stat.stamp) for path, stat in listed.items()})
        with self._manifest.changing():
            for path in other:
                old, stat = before.get(path), listed[path]
                if self._manifest.get(path) != old:
                    continue
                self._refuse_two_versions(path, old)
                if old is not None and old.sent and self._kinds.heavy(path):
                    self._remove_here(path, old)
                unwanted = old is not None and old.here == UNWANTED
                self._manifest.keep(path, stat.size, stat.stamp, UNWANTED if unwanted else None)
            for path in gone:
                if before[path].sent:
                    self._remove_here(path, before[path])
                self._manifest.drop(path)

    def _remove_here(self, path: str, as_sent: Entry) -> None:
        """Remove a file that the server had, unless it was changed here since."""
        if state_of(self.root / path) == as_sent.here:
            (self.root / path).unlink(missing_ok=True)

    def _refuse_two_versions(self, path: str, old: Entry | None) -> None:
        here = state_of(self.root / path)
        if here is None or not self._kinds.by_hand(path) or (old is not None and old.here == here):
            return
        with self.borrowed(self.root / path) as theirs:
            if filecmp.cmp(theirs, self.root / path, shallow=False):
                return
        raise DatasetError(
            f"{self}/{path} was changed there, and {self.root / path} here: put into one of them what both should "
            "hold, remove the other, and run the same command again"
        )

    def bring(self, paths: Iterable[Path]) -> None:
        """See to it that these files are here, as far as the server has them. Raises DatasetError where it does not
        give them."""
        known = {name: self._manifest.get(name) for name in map(self._name, paths)}
        away = [
            name
            for name, entry in known.items()
            if entry and entry.here != UNWANTED and not (self.root / name).exists()
        ]
        try:
            self._each(self._bring, away)
        except (FetchError, SourceError) as error:
            raise DatasetError(f"{error}: run the same command again") from error

    def _bring(self, path: str, stat: RemoteStat | None = None) -> None:
        with writing(self.root / path) as part:
            try:
                got = store.get(f"{self.url}/{path}", part, stat)
            except NotThere:
                self._manifest.drop(path)
                raise
            state = state_of(part)
        self._manifest.keep(path, got.size, got.stamp, state)

    @contextmanager
    def borrowed(self, path: Path) -> Iterator[Path]:
        """The server's file, for as long as the block runs; not as it is here. Raises FetchError."""
        with TemporaryDirectory(dir=self.root.parent) as scratch:
            target = Path(scratch, path.name)
            store.get(f"{self.url}/{self._name(path)}", target)
            yield target

    # -- from here to there -------------------------------------------------------------------------------------------

    def push(self, last: int | None = None) -> None:
        """Send what is here and not there, what was made before its records and these before what is derived from them;
        then remove there what was discarded here. last: of these ranks, the last one that is sent; then nothing is
        removed."""
        unsent = self._unsent()
        for rank in sorted({self._kinds.rank(path) for path in unsent}):
            if last is None or rank <= last:
                self._each(self._send, [path for path in unsent if self._kinds.rank(path) == rank])
        if last is None:
            removed = [path for path, entry in self._manifest.under().items() if self._is_removed(path, entry)]
            self._each(self._remove, [path for path in removed if self._kinds.rank(path) == RECORDS])
            self._each(self._remove, [path for path in removed if self._kinds.rank(path) != RECORDS] + self._stale)
            self._stale = []

    def send(self, paths: Sequence[Path]) -> None:
        """Send those of these files that are here, and that the server does not have as they are."""
        names = [self._name(path) for path in paths]
        states = {name: state_of(self.root / name) for name in names}
        known = {name: self._manifest.get(name) for name in names}
        self._each(
            self._send,
            [name for name, state in states.items() if state and (not (old := known[name]) or old.here != state)],
        )

    def _send(self, path: str) -> None:
        file = self.root / path
        state = state_of(file)
        if state is None:  # removed meanwhile
            return
        with self._large if file.stat().st_size > LARGE_BYTES else nullcontext():
            said = store.put(f"{self.url}/{path}", file)
        self._manifest.keep(path, said.size, said.stamp, state)

    def ship(self, made: Sequence[Path], record: Path) -> None:
        """Send the files of a chunk that is done, and its record after them, beside what goes on. Waits while several
        are under way. What cannot be sent stays here for the next `push`."""
        if self._shipping is None:
            self._shipping = Shipping(self.send, self.trim)
        self._shipping.add([made, [record]])

    def settle(self) -> None:
        """Wait until nothing is being shipped."""
        if self._shipping is not None:
            self._shipping.wait()

    def discard(self, path: Path) -> None:
        """Have a file removed from the server with the next `push`, wherever it is."""
        path.unlink(missing_ok=True)
        self._manifest.mark(self._name(path), UNWANTED)

    def _is_removed(self, path: str, entry: Entry) -> bool:
        return entry.here == UNWANTED and state_of(self.root / path) is None

    def _remove(self, path: str) -> None:
        store.remove(f"{self.url}/{path}")
        self._manifest.drop(path)

    # -- room ---------------------------------------------------------------------------------------------------------

    @contextmanager
    def holding(self) -> Iterator[None]:
        """While the block runs, no process removes what is here for want of room."""
        with FileLock(self.root.parent / "room.lock"):
            yield

    def trim(self) -> None:
        """Remove heavy files that the server has until the others take no more than there is room for."""
        try:
            with FileLock(self.root.parent / "room.lock", timeout=0):
                for path in self._manifest.longest_unused(self._kinds.heavy, self._room):
                    entry = self._manifest.get(path)
                    if entry is not None and entry.sent and state_of(self.root / path) == entry.here:
                        self._manifest.mark(path, None)
                        (self.root / path).unlink(missing_ok=True)
        except Timeout:  # somebody needs them, and trims later
            return

    # -- many at once -------------------------------------------------------------------------------------------------

    def _each(self, do: Callable[[str], None], paths: Sequence[str]) -> None:
        """Do it for all, several at once; the first error ends it."""
        for at in range(0, len(paths), HELD):
            futures: list[Future[None]] = [self._pool.submit(do, path) for path in paths[at : at + HELD]]
            done, waiting = wait(futures, return_when=FIRST_EXCEPTION)
            for future in waiting:
                future.cancel()
            wait(waiting)
            for future in done:
                future.result()
