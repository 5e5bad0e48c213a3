"""The frames of windows: each decoded once, in one pass, the one that is waited for first; and none left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import studio.window_film as window_film
from pipeline.errors import DiskError
from pipeline.source_frames import SourceFrames
from studio.errors import StudioError
from studio.window_film import Closed, Film
from studio.window_pictures import OPEN, WindowPictures
from studio.windows import Place, Windows
from tests.studio.test_correct import SIZE, built

__all__ = ["built"]  # a fixture
SIDE = 480


class Decoding(SourceFrames):
    """Notes what is decoded; `gate` holds it up."""

    decoded: list[int] = []  # noqa: RUF012
    gate = threading.Event()
    begun = threading.Event()
    broken: set[int] = set()  # noqa: RUF012

    def _decode(self, wanted: Any) -> Any:
        type(self).begun.set()
        type(self).gate.wait(30)
        if type(self).broken & set(wanted):
            raise window_film.VideoError("damaged")
        type(self).decoded += list(wanted)
        return super()._decode(wanted)


@pytest.fixture
def decoding(monkeypatch: pytest.MonkeyPatch) -> type[Decoding]:
    monkeypatch.setattr(window_film, "SourceFrames", Decoding)
    monkeypatch.setattr("studio.window_film.BLOCK", 2)
    Decoding.decoded, Decoding.broken = [], set()
    Decoding.gate.set()
    Decoding.begun.clear()
    return Decoding


@pytest.fixture
def windows(built: Path) -> Windows:
    return Windows(built / "cows")


def place_of(windows: Windows, number: int) -> Place:
    return list(windows.seen().places.values())[number]


@pytest.fixture
def film(windows: Windows, tmp_path: Path) -> Iterator[Film]:
    made = Film(place_of(windows, 1), windows.settings, SIDE, 90, tmp_path / "studio")
    yield made
    made.close()


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_window_is_decoded_once_from_where_one_looks(film: Film, decoding: type[Decoding]) -> None:
    picture = cv2.imdecode(np.frombuffer(film.jpeg(12), np.uint8), 1)  # of positions 8 to 15; source frame 24
    assert picture.shape[:2] == SIZE[::-1]
    b, _, r = picture[50, 40 + 3 * 24].astype(int)
    assert r > b + 80
    until(lambda: not film.working)
    assert film.decoded == 8 and decoding.decoded == [12, 13, 14, 15, 8, 9, 10, 11], "each once, from there on"
    before = film.jpeg(9)
    assert film.jpeg(9) == before and len(decoding.decoded) == 8
    with pytest.raises(StudioError, match="position 16 is beyond its end"):
        film.jpeg(16)


def test_what_is_waited_for_comes_before_the_rest_and_near_things_without_a_jump(
    film: Film, decoding: type[Decoding], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_film, "AHEAD", 3)
    decoding.gate.clear()
    asked = [threading.Thread(target=film.jpeg, args=(position,)) for position in (8, 15)]
    asked[0].start()
    assert decoding.begun.wait(30)
    asked[1].start()
    until(lambda: 7 in film._wanted)
    decoding.gate.set()
    for each in asked:
        each.join(30)
    until(lambda: not film.working)
    assert decoding.decoded[:4] == [8, 9, 14, 15] and sorted(decoding.decoded) == list(range(8, 16))


def test_another_window_makes_the_first_wait_and_asked_again_it_goes_on(
    windows: Windows, tmp_path: Path, decoding: type[Decoding]
) -> None:
    pictures = WindowPictures(windows, 90, tmp_path)
    try:
        decoding.gate.clear()
        first = threading.Thread(target=pictures.jpeg, args=(place_of(windows, 0), 0, SIDE))
        first.start()
        until(lambda: len(pictures._open) == 1)
        second = threading.Thread(target=pictures.jpeg, args=(place_of(windows, 1), 8, SIDE))
        second.start()
        until(lambda: len(pictures._open) == 2)
        time.sleep(0.1)
        decoding.gate.set()
        for each in (first, second):
            each.join(30)
        until(lambda: not any(film.working for film in pictures._open.values()))
        one, two = pictures._open.values()
        assert one.decoded <= 2 and two.decoded == 8
        pictures.jpeg(place_of(windows, 0), 1, SIDE)
        until(lambda: not one.working)
        assert one.decoded == 8 and decoding.decoded.count(0) <= 2
        for number in (2, 3):
            pictures.jpeg(place_of(windows, number), 8 * number, SIDE)
        pictures.jpeg(place_of(windows, 0), 0, 960)
        assert len(pictures._open) == OPEN
    finally:
        pictures.close()
    with pytest.raises(StudioError, match="stopping"):
        pictures.jpeg(place_of(windows, 0), 0, SIDE)


def test_closing_lets_nobody_wait_and_leaves_no_file(
    windows: Windows, tmp_path: Path, decoding: type[Decoding]
) -> None:
    film = Film(place_of(windows, 1), windows.settings, SIDE, 90, tmp_path)
    decoding.gate.clear()
    told: list[type[BaseException]] = []

    def ask() -> None:
        try:
            film.jpeg(8)
        except Exception as error:
            told.append(type(error))

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: film.working)
    film.close()
    asking.join(10)
    assert told == [Closed]
    decoding.gate.set()
    until(lambda: not film.working)
    assert film._file.closed and not list(tmp_path.iterdir())


def test_damage_fails_its_frames_alone_and_is_tried_again(film: Film, decoding: type[Decoding]) -> None:
    decoding.broken = {10, 11}
    assert film.jpeg(8)
    with pytest.raises(StudioError, match="this frame cannot be decoded: damaged") as refused:
        film.jpeg(10)
    assert refused.value.status == 422
    until(lambda: not film.working)
    assert film.decoded == 6
    decoding.broken = set()
    assert film.jpeg(10) and film.jpeg(11)


def test_a_full_disk_and_a_small_room(film: Film, decoding: type[Decoding], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(window_film.os, "pwrite", full)
        with pytest.raises(DiskError, match="no space left"):
            film.jpeg(8)
    until(lambda: not film.working)
    first = film.jpeg(8)
    until(lambda: not film.working)
    assert film.decoded == 8
    monkeypatch.setattr(window_film, "MOST_BYTES", 2 * len(first))
    film._there.clear()
    film._size = 0
    assert [bool(film.jpeg(position)) for position in (8, 15, 9, 14)] == [True] * 4
    until(lambda: not film.working)
    assert film._size <= 2 * len(first)
