"""The config: every preset composes and loads, wrong values name key and value, missing keys come together."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.errors import HydraException

from pipeline.cli import explain
from pipeline.errors import ConfigError
from pipeline.exports.export import exports
from pipeline.filters.filter import filters
from pipeline.help import help_text
from pipeline.run import BUILDS, MAKES, TELLS
from pipeline.schema import keys_under
from pipeline.task_table import TASKS
from sam.tracker import trackers
from tests.pipeline.composing import BASE, CONF, changed, loaded

PRESETS = sorted(p.relative_to(CONF).with_suffix("").as_posix() for p in CONF.glob("*/*.yaml"))
PRESETS = [p for p in PRESETS if not p.startswith("local/")]


# -- presets and defaults ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_composes_and_loads(preset: str) -> None:
    group, name = preset.split("/")
    own = {"demo": (), "auto_segmentation": BASE[:1]}  # what a user has to say besides
    base = own.get(name, BASE[:2]) if group == "experiment" else BASE
    settings = loaded(*base, f"{group}={name}")
    assert (settings.prompts or settings.task == "segment") and settings.tracker is not None


def test_there_are_presets_to_test() -> None:
    assert {"experiment/demo", "crop/videomae", "crop/context", "crop/slowfast"} <= set(PRESETS)


@pytest.mark.parametrize("name", sorted(trackers()))
def test_every_tracker_can_be_chosen_by_name(name: str) -> None:
    needs = {
        "file": ["tracker.path=/tracks"],
        "sam2": ["task=clip"],
        "sam3_tracker": ["task=clip"],
        "grabcut": ["task=clip"],
    }
    settings = loaded(*BASE[:2], f"tracker={name}", *needs.get(name, []))
    assert settings.tracker_name == name and type(settings.tracker) is trackers()[name].config


def test_defaults_are_those_of_the_documentation() -> None:
    settings = changed()
    assert (settings.task, settings.reader, settings.link, settings.retry_failed) == ("build", "pyav", "hard", True)
    assert (settings.clip.num_frames, settings.clip.stride, settings.clip.hop, settings.clip.fps) == (20, 4, None, None)
    assert (settings.crop.size, settings.crop.margin, settings.crop.background) == (224, 0.1, "black")
    assert (settings.encode.crf, settings.encode.preset, settings.encode.lossless) == (18, "veryfast", False)
    assert {n for n, f in settings.filters.items() if f.enabled} == {"gap", "roi", "size", "visible"}
    assert (settings.split.by, list(settings.split.fractions)) == ("video", [0.8, 0.1, 0.1])
    assert list(settings.exports) == ["videofolder"]
    assert settings.out == Path.cwd() / "dataset" and settings.tracks == settings.out / "tracks"
    assert (settings.shard.index, settings.shard.count) == (0, 1)


def test_scalars_and_lists_become_tuples() -> None:
    one = changed("select.include=cam1*", "exports=videomae")
    assert (one.videos, one.prompts, one.include, one.exclude) == (("/data/barn",), ("cow",), ("cam1*",), ())
    assert list(one.exports) == ["videomae"]
    many = changed('videos=[/a,"~/b","s3://c/d"]', "prompt=[cow,  brown  calf ]", "exports=[]")
    assert many.videos == ("/a", str(Path("~/b").expanduser()), "s3://c/d")
    assert many.prompts == ("cow", "brown calf") and not many.exports


def test_a_split_may_be_fixed_by_pattern() -> None:
    assert changed("split.assign={farm3/*: test}").split.assign == {"farm3/*": "test"}


def test_the_help_names_every_task_tracker_filter_and_export() -> None:
    text = help_text()
    for name in (*TASKS, *trackers(), *filters(), *exports()):
        assert f"\n  {name} " in text, name
    assert "an earlier kept crop of the same video." in text, "whole sentences, however the docstring is wrapped"


# -- wrong values -----------------------------------------------------------------------------------------------------

WRONG = [
    ("task=bild", "task", "'bild'"),
    ("reader=opencv", "reader", "'opencv'"),
    ("exports=[videofolder,zip]", "exports", "'zip'"),
    ("export.link=soft", "export.link", "'soft'"),
    ("prompt=[cow,cow]", "prompt", "cow"),
    ('prompt=""', "prompt", "needs"),
    ('prompt=[cow," "]', "prompt", "['cow', ' ']"),
    ("prompt={a:1}", "prompt", "{'a': 1}"),
    ("videos=[[a]]", "videos", "[['a']]"),
    ("select.include={a:1}", "select.include", "{'a': 1}"),
    ("select.hours=[6]", "select.hours", "[6]"),
    ("select.hours=[6,25]", "select.hours", "[6, 25]"),
    ("select.hours=[6,6]", "select.hours", "[6, 6]"),
    ("select.hours=morning", "select.hours", "'morning'"),
    ("select.roi=/none.json", "select.roi", "/none.json"),
    ("clip.num_frames=0", "clip.num_frames", "0"),
    ("clip.stride=-1", "clip.stride", "-1"),
    ("clip.fps=0", "clip.fps", "0"),
    ("clip.fps=nan", "clip.fps", "nan"),
    ("clip.hop=0", "clip.hop", "0"),
    ("clip.sampling=some", "clip.sampling", "'some'"),
    ("clip.per_video=0", "clip.per_video", "0"),
    ("clip.per_window=0", "clip.per_window", "0"),
    ("clip.lead=-1", "clip.lead", "-1"),
    ("crop.size=15", "crop.size", "15"),
    ("crop.margin=nan", "crop.margin", "nan"),
    ("crop.background=white", "crop.background", "'white'"),
    ("crop.variants=[black,black]", "crop.variants", "['black', 'black']"),
    ("crop.scale=none", "crop.scale", "'none'"),
    ("crop.missing=drop", "crop.missing", "'drop'"),
    ("encode.crf=0", "encode.crf", "0"),
    ("encode.preset=quick", "encode.preset", "'quick'"),
    ("filters.visible.min_share=1.5", "filters.visible.min_share", "1.5"),
    ("filters.size.min_side=nan", "filters.size.min_side", "nan"),
    ("filters.truncated.max_share=-1", "filters.truncated.max_share", "-1"),
    ("filters.roi.min_share=2", "filters.roi.min_share", "2"),
    ("split.fractions=[1]", "split.fractions", "[1]"),
    ("split.fractions=[0.9,0.2,0.1]", "split.fractions", "0.9"),
    ("split.fractions=[nan,0.5,0.5]", "split.fractions", "nan"),
    ("split.fractions=[2,-1,0]", "split.fractions", "-1"),
    ("split.assign={a: dev}", "split.assign.a", "'dev'"),
    ("split.assign=[a]", "split.assign", "['a']"),
    ("shard.index=2", "shard.index", "2 of 1"),
    ("shard.count=0", "shard.index", "0 of 0"),
    ("executor.workers=0", "executor.workers", "0"),
    ("demo.videos=0", "demo.videos", "0"),
    ("demo.seconds=nan", "demo.seconds", "nan"),
    ("tracker.threshold=nan", "tracker.threshold", "nan"),
    ("+shards=3", "shards", "shard"),
    ("+crop.side=3", "crop.side", "size"),
    ("+tracker.speed=3", "tracker.speed", "max_side"),
]


@pytest.mark.parametrize(("override", "key", "value"), WRONG, ids=[w[0] for w in WRONG])
def test_a_wrong_value_is_a_config_error_that_names_key_and_value(override: str, key: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        changed(override)
    message = str(caught.value)
    assert key in message and value in message
    assert len(message.splitlines()) == 1 and "instantiating" not in message


@pytest.mark.parametrize(
    "override",
    [
        *("clip.stride=abc", "clip.stride=1.5", "crop.variants=black", "retry_failed=maybe", "tracks.path=[1]"),
        *("crop.background=null", "clip=null", "tracker.max_side=wide"),
    ],
)
def test_a_wrong_type_names_its_key(override: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(HydraException) as caught:
        loaded(*BASE, override)
    assert explain(caught.value) == 2
    said = capsys.readouterr().err
    assert override.split("=")[0] in said and len(said.splitlines()) == 1


@pytest.mark.parametrize("empty", ["out=", 'out=" "'])
def test_an_empty_out_is_refused(empty: str) -> None:
    with pytest.raises(ConfigError, match="out must name the dataset's folder"):
        changed(empty)


def test_an_out_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match=f"out={tmp_path}/file is a file"):
        changed(f"out={tmp_path}/file")
    with pytest.raises(ConfigError, match=f"lies under {tmp_path}/file, which is a file"):
        changed(f"out={tmp_path}/file/cows/1")


def test_everything_missing_comes_in_one_message() -> None:
    with pytest.raises(ConfigError, match="task=build needs") as caught:
        loaded()
    assert all(f"{key}=..." in str(caught.value) for key in ("videos", "prompt"))


@pytest.mark.parametrize(
    ("task", "missing"),
    [
        ("build", {"videos", "tracker", "prompt"}),
        ("plan", {"videos", "tracker", "prompt"}),
        ("preview", {"videos", "tracker", "prompt"}),
        ("track", {"videos", "tracker", "prompt"}),
        ("clip", {"videos"}),
        ("demo", {"tracker", "prompt"}),
    ],
)
def test_what_is_required_depends_on_the_task(task: str, missing: set[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        changed(f"task={task}", "videos=null", "prompt=null", "tracker=null")
    assert {key for key in ("videos", "tracker", "prompt") if f"{key}=..." in str(caught.value)} == missing
    if "tracker" in missing:
        assert all(name in str(caught.value) for name in trackers()), "and the trackers there are"


@pytest.mark.parametrize("name", ["sam2", "sam3_tracker"])
def test_a_tracker_that_takes_no_text_finds_nothing_by_a_prompt(name: str) -> None:
    message = f"tracker={name} follows what points, boxes or masks name and finds nothing by prompt=cow"
    with pytest.raises(ConfigError, match=message):
        loaded(*BASE[:2], "prompt=cow", f"tracker={name}")


def test_a_tracker_that_needs_more_names_it() -> None:
    with pytest.raises(ConfigError, match=r"tracker\.path"):
        loaded(*BASE[:2], "tracker=file")


# -- what decides the dataset -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "decides"),
    [
        ("crop.size=112", True),
        ("filters.size.min_side=8", True),
        ("split.by=folder", True),
        ("exports=[videomae]", True),
        ("tracker.threshold=9", True),
        ("clip.stride=2", True),
        ("shard.count=4", False),
        ("executor.workers=1", False),
        ("retry_failed=false", False),
        ("out=/elsewhere", False),
        ("tracks.path=/elsewhere", False),
        ("task=track", False),
    ],
)
def test_the_digest_changes_with_what_decides_the_dataset(override: str, decides: bool) -> None:
    assert (changed().digest != changed(override).digest) is decides


@pytest.mark.parametrize(
    ("section", "some"),
    [("", "crop"), ("crop", "size"), ("filters", "visible"), ("filters.visible", "min_share"), ("export", "link")],
)
def test_keys_of_a_section(section: str, some: str) -> None:
    assert some in keys_under(section)


@pytest.mark.parametrize("section", ["tracker", "nothing", "crop.size"])
def test_what_is_no_section_has_no_keys(section: str) -> None:
    assert keys_under(section) == []


def test_every_task_has_one_way_to_start() -> None:
    ways = [*TELLS, *MAKES, *BUILDS]
    assert len(ways) == len(set(ways))
    assert {way.split()[0] for way in ways} | {"studio"} == set(TASKS), "the studio is started by main.py"
