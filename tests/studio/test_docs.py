"""The scripts of docs/studio.md, run as they are written, each in a folder with a video."""

from __future__ import annotations

import re
from pathlib import Path

import av
import pytest

from tests.studio.serving import film, serving

PAGE = Path(__file__).parents[2] / "docs" / "studio.md"
SCRIPTS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "video.mp4"
    return film(path, 101, (1280, 720), [((920, 470), (0, 0)), ((300, 200), (1, 0))])


@pytest.mark.slow
@pytest.mark.parametrize("number", range(2))
def test_scripts_run_as_written(
    number: int, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(SCRIPTS) == 2
    monkeypatch.chdir(tmp_path)
    Path("video.mp4").write_bytes(video.read_bytes())
    with serving(tmp_path / "studio") as studio:
        exec(compile(SCRIPTS[number].replace("http://127.0.0.1:8000", studio.address), str(PAGE), "exec"), {})
        assert len(studio.rooms.all()) == (1 if number == 0 else 0)
    said = capsys.readouterr().out
    with av.open("output_video.mp4" if number == 0 else "out.mp4") as container:
        assert sum(1 for _ in container.decode(video=0)) == 101
    if number == 0:
        assert re.search(r"^\d+ pixels in \[\d+", said) and Path("frame50.jpg").stat().st_size > 1000
    else:
        assert "there is no object 3 to refine; annotated are 1, 2" in said
        assert "propagate done 101 of 101" in said
        assert all(Path(name).stat().st_size > 0 for name in ("masks.zip", "alpha.webm", "masks.json"))
