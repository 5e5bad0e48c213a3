"""The command line around Hydra: one clear message and the right status for everything that can go wrong."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from subprocess import PIPE

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from hypothesis import given
from hypothesis import strategies as st

import main
from pipeline.build import Summary
from pipeline.cli import Interrupt, Statuses, addresses_hydra, dashed_key, explain, prepare_arguments
from pipeline.errors import ConfigError, DatasetError, DiskError
from pipeline.layout import Layout
from pipeline.quoting import shell_word
from pipeline.run import _name_failures, _say_why_none
from sam.errors import TrackerUnavailable
from tests.pipeline.composing import BASE, composed, loaded
from video.errors import SourceError

PARSER = OverridesParser.create()


def summary(**changes: int) -> Summary:
    counts = {"videos": 3, "clips": 40, "crops": 101, "rejected": 7, "failures": 0}
    return Summary(**(counts | {"tracked_windows": 40, "reused_windows": 0} | changes), seconds={})


@pytest.mark.parametrize("word", ["-m", "--cfg", "-sc", "hydra.verbose=true", "hydra/job_logging=none", "+hydra.x=1"])
def test_words_for_hydra_itself_are_told_from_ours(word: str) -> None:
    assert addresses_hydra(["videos=/a", word])
    assert not addresses_hydra(["videos=/a/hydra", "prompt=hydra.polyp", "+split.assign.x=test", "~select.roi"])


def test_several_values_without_m_name_both_ways_out(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(HydraException) as caught:
        composed(*BASE, "prompt=cow,calf")
    assert explain(caught.value) == 2
    message = capsys.readouterr().err
    assert "-m" in message and shlex.quote("prompt=[cow,calf]") in message


# -- sweeps -----------------------------------------------------------------------------------------------------------


def test_without_a_sweep_the_arguments_stay_as_they_are() -> None:
    arguments = ["videos=/a", "prompt=cow", "--cfg", "job"]
    assert prepare_arguments(arguments, "/scratch") == arguments


@pytest.mark.parametrize("flag", ["-m", "--multirun"])
def test_only_what_is_swept_names_the_folders(flag: str) -> None:
    words = [
        flag,
        "videos=/a",
        "prompt=cow,calf",
        "crop.size=choice(112,224)",
        "clip.hop=range(5,20,5)",
        "+split.assign.x=test",
        "~select.roi",
    ]
    made = prepare_arguments(words, "/scratch")
    assert made[: len(words)] == words
    (exclude,) = PARSER.parse_overrides([made[len(words)]])
    assert exclude.key_or_group == "hydra.job.config.override_dirname.exclude_keys"
    assert exclude.value() == ["videos", "split.assign.x"]
    assert made[len(words) + 1 :] == ["hydra.sweep.dir=/scratch"]


def test_a_sweep_folder_that_the_user_chose_stays() -> None:
    made = prepare_arguments(["-m", "prompt=a,b", "hydra.sweep.dir=/mine"], "/scratch")
    assert not any("/scratch" in word for word in made)


@pytest.mark.parametrize("word", ["videos=/data/a (1).mp4", "split.by=(cam", "prompt=[a", "crop.size"])
def test_a_sweep_with_a_word_that_cannot_be_read_leaves_the_message_to_hydra(word: str) -> None:
    assert word in prepare_arguments(["-m", word, "prompt=a,b"], "/scratch")


# -- the grammar ------------------------------------------------------------------------------------------------------


def refused(word: str) -> OverrideParseException:
    with pytest.raises(OverrideParseException) as caught:
        PARSER.parse_overrides([word])
    return caught.value


def works(message: str) -> str:
    """The value that the form in the message gives, typed into a shell."""
    assert len(message.splitlines()) == 2
    (word,) = shlex.split(message.split("for the shell:  ")[1])
    (override,) = PARSER.parse_overrides([word])
    value = override.value()
    assert isinstance(value, str)
    return value


@pytest.mark.parametrize(
    "value",
    [
        *("/data/a (1).mp4", "(cam[0-9]+)", "it's (a)", 'say "x" (y)', "(a\\", r"\d+(", '(\\"', "a=b(", " (lead"),
        *("x: (y", "(é", "a#(b", "$(x)", "[cow (brown), calf]", "(a\\\\", "('\"\\'"),
    ],
)
def test_the_form_that_the_message_prints_is_read_as_the_value(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(refused(f"split.by={value}")) == 2
    message = capsys.readouterr().err
    assert repr(f"split.by={value}") in message
    assert works(message) == value.strip("'\"")


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="${}"), max_size=12))
def test_any_refused_value_has_a_form_that_works(text: str) -> None:
    value = f"({text}"  # a bracket that is not closed is always refused
    try:
        PARSER.parse_overrides([f"prompt={value}"])
    except OverrideParseException as error:
        from pipeline.cli import _grammar

        assert works(_grammar(error)) == value.strip("'\"")


def test_a_word_without_a_value_is_told_how_to_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(refused("crop.size")) == 2
    assert "write key=value" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "works"),
    [
        (["--videos", "/data/my barn"], "'videos=/data/my barn'"),
        (["prompt=cow", "--videos=/data"], "videos=/data"),
        (["--crop.size", "112"], "crop.size=112"),
        (["--prompt"], "prompt=..."),
    ],
)
def test_a_key_written_like_a_flag_is_told_how_to_be_written(words: list[str], works: str) -> None:
    message = dashed_key(words)
    assert message is not None and message.endswith(f"write {works}")


def test_flags_of_hydra_are_no_keys() -> None:
    assert dashed_key(["-m", "--cfg", "job", "--multirun", "--shell-completion", "videos=--out", "-sc"]) is None


# -- composing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("crop.siz=3", "there is no key crop.siz: did you mean crop.size? crop has size, margin,"),
        ("filters.sise.enabled=true", "did you mean filters.size.enabled? filters has blur, drift, exposure,"),
        ("filters.size.min_syde=3", "did you mean filters.size.min_side?"),
        ("crp.size=3", "there is no key crp.size: did you mean crop.size? The config has task, videos,"),
        ("promt=cow", "did you mean prompt?"),
        ("whatever=3", "there is no key whatever. The config has task, videos,"),
        ("tracker.thresh=3", "tracker.thresh"),
        ("crop=nope", "crop must be one of context, slowfast, videomae, got 'nope'"),
        ("tracker=sam4", "tracker must be one of file, grabcut, grounded_sam2, motion, sam2, sam2_auto, sam3"),
        ("executor=slurm", "executor must be one of local"),
        (
            "experiment=batch_segmentation",
            "batch_segmentation sets tracker.single, which the chosen tracker=... does not",
        ),
        ("clip.stride=abc", "clip.stride: Value 'abc'"),
        ("crop.size=${nope}", "Interpolation key 'nope' not found"),
    ],
)
def test_an_unknown_key_or_choice_is_answered_with_the_known_ones(
    override: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Exception) as caught:
        loaded(*BASE, override)
    assert explain(caught.value) == 2  # type: ignore[arg-type]
    said = capsys.readouterr().err
    assert message in said and len(said.splitlines()) == 1


def test_a_group_without_a_choice_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError) as caught:
        composed("tracker=null")
    assert explain(caught.value) == 2
    assert "tracker" in capsys.readouterr().err


def test_a_misspelt_default_group_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(HydraException) as caught:
        composed("trakcer=motion")
    assert explain(caught.value) == 2
    assert "did you mean tracker?" in capsys.readouterr().err


# -- statuses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigError("crop.size must be even, got 7"), 2),
        (SourceError("videos=/none names nothing"), 2),
        (TrackerUnavailable("tracker=sam3 needs CUDA"), 2),
        (DiskError("no space left in /data"), 3),
        (DatasetError("/data has no samples.parquet"), 3),
    ],
)
def test_an_expected_error_is_one_line_with_its_status(
    error: Exception, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(error) == status
    assert capsys.readouterr().err == f"{error}\n"
    assert explain(error, "crop.size=7") == status
    assert capsys.readouterr().err == f"crop.size=7: {error}\n"


def test_an_error_that_nobody_expected_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ZeroDivisionError("a bug")
    except ZeroDivisionError as error:
        assert explain(error) == 3
    assert "Traceback" in capsys.readouterr().err


def test_one_jobs_error_leaves_the_others_and_the_worst_status_counts(capsys: pytest.CaptureFixture[str]) -> None:
    statuses = Statuses()
    assert statuses.hand_back() == statuses.finish() == 0
    statuses.add("prompt=cow", 0, summary())
    with statuses.catching("prompt=calf"):
        raise DiskError("no space left")
    statuses.add("prompt=ox", 0, summary(crops=5))
    assert statuses.hand_back() == 0 and statuses.finish() == 3
    printed = capsys.readouterr()
    assert printed.err == "prompt=calf: no space left\n"
    assert printed.out.splitlines() == [
        "job          status  videos  clips  crops  rejected  failed  tracked  reused",
        "prompt=cow        0       3     40    101         7       0       40       0",
        "prompt=calf       3       -      -      -         -       -        -       -",
        "prompt=ox         0       3     40      5         7       0       40       0",
    ]


def test_one_job_alone_has_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    statuses = Statuses()
    statuses.add(None, 3, summary(failures=2))
    assert statuses.finish() == statuses.hand_back() == 3
    assert capsys.readouterr().out == ""


def test_an_interrupt_is_not_caught_by_a_job_and_says_how_to_continue(capsys: pytest.CaptureFixture[str]) -> None:
    statuses = Statuses()
    with pytest.raises(KeyboardInterrupt), statuses.catching(None):
        raise KeyboardInterrupt
    assert statuses.interrupted() == 130
    assert "Run the same command again" in capsys.readouterr().err


def test_being_told_to_stop_ends_like_ctrl_c_and_is_put_back_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), Interrupt():
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    assert signal.getsignal(signal.SIGTERM) is before


def test_told_to_stop_twice_it_ends_at_once() -> None:
    script = """
import sys, time
from pipeline.cli import Interrupt
with Interrupt():
    try:
        print("ready", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        print("cleaning up", flush=True)
        time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=PIPE, stderr=PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "cleaning up\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and "Stopped at once" in errors and "Traceback" not in errors


def test_failures_that_are_alike_are_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    layout = Layout(tmp_path, tmp_path)
    row = {"video": "a.mp4", "stage": "decode", "error": "the file ends early"}
    others = [{"video": f"{n}.mp4", "stage": "probe", "error": "it is empty"} for n in range(10)]
    pq.write_table(pa.Table.from_pylist([row, *others[:5], row, *others[5:], row]), layout.failures)
    _name_failures(layout, 13)
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == "13 failures; a rerun tries them again"
    assert said[1] == "failed: a.mp4 decode: the file ends early (3 times)" and len(said) == 12
    assert said[2] == "failed: 0.mp4 probe: it is empty"
    assert said[-1] == f"... and 1 more; all are in {layout.failures}"


def test_a_dataset_without_crops_says_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    layout = Layout(tmp_path, tmp_path)
    video = {"object_id": None, "reason": "duplicate of a.mp4"}
    objects = [{"object_id": n, "reason": reason} for n, reason in enumerate(["size", "visible", "visible"])]
    for rows, said in (
        ([video, *objects], "refused: 2 visible, 1 size;"),
        ([video], "nothing was found; task=preview"),
    ):
        schema = pa.schema({"object_id": pa.int64(), "reason": pa.string()})
        pq.write_table(pa.Table.from_pylist(rows, schema), layout.rejected)
        caplog.clear()
        _say_why_none(layout)
        assert said in caplog.text


@pytest.mark.parametrize(
    "path", ["/data/cows", "/data/my cows (2)", "/data/crop.size=112", "~/cows", "/d/étable", "/it's", '/a"b']
)
def test_a_path_can_be_typed_as_it_is_shown(path: str) -> None:
    (word,) = shlex.split(f"out={shell_word(path)}")
    (override,) = PARSER.parse_overrides([word])
    assert override.value() == path


def test_the_version_is_ours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["main.py", "--version"])
    assert main.main() == 0
    assert capsys.readouterr().out.startswith(f"clipcrop {metadata.version('clipcrop')}, hydra-core ")
