"""A video as a sequence: the right picture for every number, in any order, without holding the video."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pipeline.stages import source_frames
from pipeline.stages.source_frames import BLOCK, SourceFrames, last_frame
from tests.video import footage as make
from video.readers.contract import VideoReader
from video.source import Found, probe
from video.types import Video

COUNT = 150


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Video:
    path = make.write(tmp_path_factory.mktemp("footage") / "v.mp4", range(COUNT), options=make.B_FRAMES)
    return probe(Found(str(path), "v.mp4"))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[VideoReader]:
    """Every reader that was opened."""
    seen: list[VideoReader] = []
    real = source_frames.open_reader

    def noting(*arguments: object) -> VideoReader:
        seen.append(real(*arguments))  # type: ignore[arg-type]
        return seen[-1]

    monkeypatch.setattr(source_frames, "open_reader", noting)
    return seen


def test_forward_the_file_is_read_once(video: Video, opened: list[VideoReader]) -> None:
    with SourceFrames(video, "pyav", range(0, COUNT), None) as frames:
        assert len(frames) == COUNT
        assert [make.number_of(frame) for frame in frames] == list(range(COUNT))
        assert len(frames._blocks) == 2 and BLOCK < COUNT / 2
    assert len(opened) == 1 and opened[0].stats.decoded <= COUNT
    assert not frames._blocks


def test_backward_and_across_blocks_it_finds_its_way(video: Video) -> None:
    with SourceFrames(video, "pyav", range(20, 131), None) as frames:
        assert len(frames) == 111
        asked = [*range(110, -1, -1), 0, 110, 33, 31, 32, 64, 63, -1]
        assert [make.number_of(frames[t]) for t in asked] == [20 + t % 111 for t in asked]
        assert [make.number_of(f) for f in frames[5:8]] == [25, 26, 27]
        with pytest.raises(IndexError):
            frames[111]


def test_large_frames_come_in_smaller_blocks(video: Video, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_frames, "BLOCK_BYTES", 3 * 80 * 64 * 4 + 100)
    with SourceFrames(video, "pyav", range(0, 21), 80) as frames:
        assert frames[20].shape == (64, 80, 3)
        assert {number: len(block) for number, block in frames._blocks.items()} == {5: 1}


def test_what_cannot_be_decoded_is_its_neighbour_and_is_said(
    video: Video, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gaps:
        """A reader that loses frames 0, 5 and 6."""

        def __init__(self, reader: VideoReader) -> None:
            self.reader = reader

        def read(self, *arguments: object) -> object:
            return (f for f in self.reader.read(*arguments) if f.position not in (0, 5, 6))  # type: ignore[arg-type]

        def __enter__(self) -> Gaps:
            return self

        def __exit__(self, *exc: object) -> None:
            self.reader.close()

    plain = source_frames.open_reader
    monkeypatch.setattr(source_frames, "open_reader", lambda *arguments: Gaps(plain(*arguments)))
    with caplog.at_level(logging.WARNING), SourceFrames(video, "pyav", range(0, 10), None) as frames:
        assert [make.number_of(frame) for frame in frames] == [1, 1, 2, 3, 4, 4, 4, 7, 8, 9]
    assert "v.mp4: 3 frames from 0 on are damaged" in caplog.text


def test_the_last_frame_is_the_last_that_can_be_decoded(video: Video, tmp_path: Path) -> None:
    assert last_frame(video, "pyav") == COUNT - 1
    cut = make.truncated(tmp_path / "cut.mp4")
    broken = probe(Found(str(cut), "cut.mp4"))
    last = last_frame(broken, "pyav")
    assert 66 <= last < 80 and broken.frames == 120
    with SourceFrames(broken, "pyav", range(60, 67), None) as frames:
        assert [make.number_of(frame) for frame in frames] == list(range(60, 67))
