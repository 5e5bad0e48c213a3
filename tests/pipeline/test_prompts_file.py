"""prompts_file=: each video gets its own line, and whatever does not fit is one message before anything is loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.build import Build
from pipeline.cache import Cache
from pipeline.errors import ConfigError
from pipeline.footage import survey, without_written
from pipeline.layout import Layout
from pipeline.prompts_file import PromptsFile, read_prompts_file
from pipeline.settings import Settings
from pipeline.tasks.plan import plan
from pipeline.tasks.preview import preview
from tests.pipeline.composing import loaded
from tests.running import rows
from tests.video import footage as make
from video.source import Found

NAMES = ("a/one.mp4", "a/two.mp4", "b/one.mp4")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Videos with a box that walks in each, tracked by files."""
    for name in NAMES:
        add(tmp_path, name)
    for name in (*NAMES, "a/three.mp4"):
        boxes = tmp_path / "boxes" / Path(name).with_suffix(".txt")
        boxes.parent.mkdir(parents=True, exist_ok=True)
        boxes.write_text("".join(f"{n + 1},1,{20 + n // 2},20,60,50,1,-1,-1,-1\n" for n in range(30)))
    return tmp_path


def add(root: Path, name: str) -> None:
    path = root / "videos" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    shift = sum(name.encode())
    make.write(path, range(shift, shift + 30))


def write(root: Path, text: str) -> Path:
    path = root / "prompts.txt"
    path.write_text(text)
    return path


def settings(root: Path, *more: str) -> Settings:
    given = (f"videos={root}/videos", f"prompts_file={root}/prompts.txt", f"out={root}/out", "crop.size=32")
    tracker = ("tracker=file", f"tracker.path={root}/boxes", "clip.num_frames=10", "clip.stride=1")
    return loaded(*given, *tracker, "filters.size.min_side=8", "exports=[]", *more)


def read(root: Path, text: str, one_phrase: bool = False) -> PromptsFile:
    return read_prompts_file(write(root, text), one_phrase)


# -- the file ---------------------------------------------------------------------------------------------------------


def test_lines_go_to_the_videos_in_the_order_of_their_names(tmp_path: Path) -> None:
    found = read(tmp_path, "\ufeffkoala,  parrot\r\nhedgehog running,mouse\nkoala, koala\n\n\n").by_video(NAMES)
    assert found == {NAMES[0]: ("koala, parrot",), NAMES[1]: ("hedgehog running, mouse",), NAMES[2]: ("koala, koala",)}


def test_a_tracker_of_one_phrase_is_asked_for_each_once(tmp_path: Path) -> None:
    found = read(tmp_path, "koala, parrot\nkoala, koala\n", one_phrase=True).by_video(NAMES[:2])
    assert found == {NAMES[0]: ("koala", "parrot"), NAMES[1]: ("koala",)}


def test_lines_may_name_their_videos_in_any_order(tmp_path: Path) -> None:
    found = read(tmp_path, f"{NAMES[2]}: cow\n/data/videos/{NAMES[0]}:koala, parrot\ntwo.mp4 : mouse").by_video(NAMES)
    assert list(found.items()) == [(NAMES[0], ("koala, parrot",)), (NAMES[1], ("mouse",)), (NAMES[2], ("cow",))]
    odd = "barn_12:30.mp4"
    assert read(tmp_path, f"{odd}: cow").by_video([odd]) == {odd: ("cow",)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"prompts.txt is empty: write a line for every video"),
        ("\n \n", r"prompts.txt is empty"),
        ("cow\n\ncalf", r"line 2 is empty: every video needs something"),
        ("cow\nkoala, , parrot\n", r"line 2: the prompt 'koala, , parrot' has an empty phrase"),
        ("cow,", r"line 1: the prompt 'cow,' has an empty phrase"),
        ("a.mp4: cow\ncalf", r"line 2 has no video's name before a colon, and line 1 has one"),
        ("cow\na.mp4: calf", r"line 2 has a video's name before a colon, and line 1 has none"),
        ("a.mp4:", r"line 1: 'a.mp4:' is not 'name: phrases'"),
        (": cow", r"line 1: ': cow' is not 'name: phrases'"),
    ],
)
def test_a_line_that_means_nothing_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cow\ncalf\n", r"has 2 lines and there are 3 videos: the first video without a line is b/one.mp4"),
        ("cow\n" * 4 + "red calf", r"has 5 lines and there are 3 videos: .* line 4, 'cow' .* the last is b/one.mp4"),
        ("two.mp4: cow\n", r"has 1 line and there are 3 videos: the first video without a line is a/one.mp4"),
        ("b/two.mp4: cow\n", r"line 1: 'b/two.mp4' is none of the 3 videos: did you mean a/two.mp4\?"),
        ("zebra: cow\n", r"line 1: 'zebra' is none of the 3 videos, such as a/one.mp4"),
        ("one.mp4: cow\n", r"'one.mp4' means 2 videos: write a/one.mp4 or b/one.mp4"),
        ("two.mp4: cow\na/two.mp4: calf\n", r"line 2: 'a/two.mp4' has a line already: line 1"),
    ],
)
def test_lines_and_videos_that_differ_are_refused_with_both_counts(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, text).by_video(NAMES)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.txt cannot be read: No such file"):
        read_prompts_file(tmp_path / "nowhere.txt", False)
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory"):
        read_prompts_file(tmp_path, False)
    (tmp_path / "latin").write_bytes(b"K\xe4lbchen")
    with pytest.raises(ConfigError, match="is not a text file in UTF-8"):
        read_prompts_file(tmp_path / "latin", False)


# -- the config -------------------------------------------------------------------------------------------------------


def test_the_config_takes_a_prompt_or_a_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, "cow\ncalf\nred cow, calf\n")
    with pytest.raises(ConfigError, match=r"prompt=cow and prompts_file=.*prompts.txt both say what to track"):
        settings(root, "prompt=cow")
    monkeypatch.setenv("HOME", str(root))
    home = loaded("videos='~/videos'", "prompts_file='~/prompts.txt'", "out='~/out'", "tracker=motion")
    assert home.values["prompts_file"] == str(root / "prompts.txt") and home.prompts == ()
    assert f"prompts_file: {root}/prompts.txt\n" in home.dataset_document
    with pytest.raises(
        ConfigError, match=r"task=build needs prompt=.* or prompts_file=\.\.\. \(a line for every video"
    ):
        loaded("videos='~/videos'", "tracker=motion")


def test_what_the_file_says_belongs_to_the_settings(root: Path) -> None:
    write(root, "cow\ncalf\nmouse\n")
    before = settings(root).digest
    write(root, "cow\ncalf\nhorse\n")
    assert settings(root).digest != before


@pytest.mark.parametrize("prompt", ['"koala, , parrot"', '"cow,"', '[cow,"calf,,"]'])
def test_an_empty_phrase_in_a_prompt_is_refused_too(prompt: str) -> None:
    with pytest.raises(ConfigError, match="has an empty phrase: write one thing, or several with commas between"):
        loaded("videos=/data", f"prompt={prompt}", "tracker=grounded_sam2")


def test_a_phrase_belongs_to_one_text() -> None:
    assert loaded("videos=/d", 'prompt="koala,  koala"', "tracker=grounded_sam2").prompts == ("koala, koala",)
    assert loaded("videos=/d", 'prompt="koala, parrot, koala"', "tracker=sam3_hf").prompts == ("koala", "parrot")
    with pytest.raises(ConfigError, match="prompt names koala more than once"):
        loaded("videos=/d", 'prompt=["koala, parrot",koala]', "tracker=grounded_sam2")


# -- a run ------------------------------------------------------------------------------------------------------------


def test_nothing_is_opened_when_lines_and_videos_differ(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, "cow\ncalf\n")

    def opened(*_: object) -> None:
        raise AssertionError("a video was opened")

    monkeypatch.setattr(Cache, "probe", opened)
    for task in ("build", "plan", "preview", "track"):
        with pytest.raises(ConfigError, match="2 lines and there are 3 videos"):
            survey(settings(root, f"task={task}"), None)


def test_each_video_is_tracked_by_its_line_and_a_new_one_changes_no_other(root: Path) -> None:
    write(root, "cow\ncalf, cow\nmouse\n")
    summary = Build(settings(root)).run()
    assert (summary.tracked_windows, summary.failures) == (9, 0)
    found = {(row["video"], row["prompt"]) for row in rows(root / "out" / "samples.parquet")}
    assert found == set(zip(NAMES, ("cow", "calf, cow", "mouse"), strict=True))
    add(root, "a/three.mp4")  # comes between the others
    write(root, "cow\nhorse\ncalf, cow\nmouse\n")
    summary = Build(settings(root)).run()
    assert (summary.tracked_windows, summary.reused_windows) == (3, 0)
    assert ("a/three.mp4", "horse") in {(r["video"], r["prompt"]) for r in rows(root / "out" / "samples.parquet")}
    write(root, "cow\nhorse\nox\nmouse\n")
    assert Build(settings(root)).run().tracked_windows == 3  # of the line that changed


def test_a_selection_takes_the_lines_of_its_videos(root: Path) -> None:
    write(root, "cow\ncalf\nmouse\n")
    footage = survey(settings(root, "select.include=b/*"), None)
    assert footage.prompts == {"b/one.mp4": ("mouse",)}
    Build(settings(root)).run()
    again = loaded("task=crop", f"out={root}/out", "crop.size=48", "select.exclude=a/*")
    assert Build(again).run().tracked_windows == 0
    assert {row["prompt"] for row in rows(root / "out" / "samples.parquet")} == {"mouse"}


def test_plan_and_preview_show_what_is_asked_of_each_video(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(root, "cow\ncalf\ncow\n")
    _, text = plan(settings(root, "task=plan"))
    assert "2 different ones, by video below, from" in text and "a/two.mp4: calf" in text
    chosen = settings(root, "task=preview")
    with caplog.at_level("INFO"):
        assert preview(chosen, Layout(chosen.out, chosen.tracks)) == 0
    page = (root / "out" / "preview" / "index.html").read_text()
    assert "1 objects for calf in a/two.mp4" in page and "1 objects for cow in b/one.mp4" in page
    assert "for cow in a/two.mp4" not in page


def test_what_a_run_wrote_is_not_taken_for_footage(root: Path) -> None:
    write(root, "cow\ncalf\nmouse\n")
    inside = replace(settings(root), out=root / "videos" / "out")
    add(root, "out/crops/crop.mp4")
    assert list(survey(inside, None).prompts) == list(NAMES)
    everything = [Found(str(root / "videos" / name), name) for name in NAMES]
    assert without_written(everything, root) == everything  # the footage lies in `out`, on purpose
    assert without_written(everything, root / "videos") == everything
    assert [f.name for f in without_written(everything, root / "videos" / "a")] == ["b/one.mp4"]
