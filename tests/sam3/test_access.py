"""Whoever lacks access, a token, a network, weights or disk space reads one message that ends with the next step."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sam.backends import weights
from sam.backends.access import explain
from sam.backends.sam3_hf import FILES, Sam3HfConfig
from sam.errors import TrackerUnavailable
from tests.sam3 import hub as answers
from tests.sam3.conftest import require
from tests.sam3.hub import COMMIT, Hub, Refusal, pretend

REPO = "owner/sam3"
ASK = "huggingface.co/owner/sam3"
LOG_IN = "`hf auth login`"


@pytest.fixture
def hub(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The tiny checkpoint on a hub of our own, with an empty cache and no token."""
    with Hub(checkpoint) as running:
        pretend(running, tmp_path, monkeypatch)
        yield running


def message(weights_: str = REPO) -> str:
    """What a run says: first the identity is asked for, then the tracker is loaded."""
    tracker = Sam3HfConfig(device="cpu", weights=weights_).build()
    with pytest.raises(TrackerUnavailable) as raised:
        tracker.identity()
        tracker.__enter__()
    text = str(raised.value)
    assert text.startswith("tracker=sam3_hf")
    assert "\n" not in text
    assert "tracker=motion" in text
    return text


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (answers.NO_TOKEN, ["not logged in", ASK, LOG_IN]),
        (answers.NOT_ASKED, ["may not read", f"ask for access at https://{ASK}"]),
        (answers.WAITING, ["waiting for approval", ASK]),
        (answers.REJECTED, ["rejected", "another account", "tracker.weights=/path"]),
        (answers.BAD_TOKEN, ["does not accept the token", "settings/tokens", LOG_IN]),
        (answers.WEAK_TOKEN, ["permission", "settings/tokens"]),
        (Refusal(404, "EntryNotFound"), ["no files that tracker=sam3_hf can load"]),
    ],
    ids=["no token", "not asked", "waiting", "rejected", "bad token", "weak token", "other files"],
)
def test_refused_files_say_why_and_what_next(hub: Hub, refusal: Refusal, said: list[str]) -> None:
    hub.files = refusal
    text = message()
    for part in said:
        assert part in text


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (answers.NO_REPOSITORY, "check the name"),
        (answers.BAD_TOKEN, "does not accept the token"),
        (answers.BROKEN, "answered 500 when asked for owner/sam3; try again later"),
    ],
    ids=["no repository", "bad token", "broken"],
)
def test_a_refused_repository_says_why(hub: Hub, refusal: Refusal, said: str) -> None:
    hub.info = refusal
    assert said in message()


def test_a_hub_that_cannot_be_reached(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    with socket.socket() as closed:  # bound, so that nobody else listens there, and not listening
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
        text = message()
    assert "cannot be reached" in text
    assert "hf download owner/sam3 --local-dir" in text


def test_offline_on_purpose(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE=1" in message()
    assert hub.asked == []


def test_a_download_that_breaks_off_goes_on_later(hub: Hub) -> None:
    hub.cut = True
    assert "the connection broke off" in message()
    hub.cut = False
    with Sam3HfConfig(device="cpu", weights=REPO).build() as tracker:
        assert tracker.identity()["weights"] == f"{REPO}@{COMMIT}"


def test_what_was_fetched_is_used_without_the_hub(hub: Hub, checkpoint: Path) -> None:
    with Sam3HfConfig(device="cpu", weights=REPO).build() as tracker:
        first = tracker.identity()
    hub.files = hub.info = answers.BROKEN
    with Sam3HfConfig(device="cpu", weights=REPO).build() as tracker:
        assert tracker.identity() == first
    folder = weights.locate(REPO, "sam3_hf", "sam3-hf", FILES)
    assert weights.digest(folder) == weights.digest(checkpoint)


def test_a_full_disk_is_said() -> None:
    text = str(explain(OSError(28, "No space left on device"), REPO, "sam3_hf"))
    assert "the disk is full" in text
    assert "HF_HOME" in text


class TestLocalWeights:
    """tracker.weights=/path: wrong, half there, or for another tracker."""

    def test_a_path_that_is_not_there(self, tmp_path: Path) -> None:
        require("transformers")
        text = message(str(tmp_path / "weights" / "sam3"))
        assert "does not exist" in text
        assert f"({tmp_path} does)" in text

    def test_neither_a_path_nor_a_repository(self) -> None:
        require("transformers")
        assert "neither a path that exists nor a repository" in message("sam3")

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        require("transformers", "torch")
        assert "holds no checkpoint" in message(str(tmp_path))

    def test_the_official_weights_alone(self, tmp_path: Path) -> None:
        require("transformers", "torch")
        (tmp_path / "sam3.pt").write_bytes(b"PK")
        assert "tracker=sam3 loads the .pt file" in message(str(tmp_path))

    def test_another_model(self, copied: Path) -> None:
        (copied / "config.json").write_text('{"model_type": "sam2_video"}')
        assert "'sam2_video' model, not SAM3 video" in message(str(copied))

    @pytest.mark.parametrize("left", [0, 5, 1000, 10**6])
    def test_half_downloaded_weights(self, copied: Path, left: int) -> None:
        file = copied / "model.safetensors"
        size = file.stat().st_size
        with file.open("r+b") as stream:
            stream.truncate(left)
        text = message(str(copied))
        assert f"only partly there ({left}" in text
        if left > 10**5:
            assert f"of {size} bytes" in text

    def test_a_missing_shard(self, copied: Path) -> None:
        (copied / "model.safetensors.index.json").write_text(
            '{"weight_map": {"a": "model-00002-of-00002.safetensors"}}'
        )
        assert "model-00002-of-00002.safetensors is only partly there" in message(str(copied))

    def test_a_damaged_config(self, copied: Path) -> None:
        (copied / "config.json").write_text('{"model_type": "sam3_')
        assert "config.json is damaged" in message(str(copied))

    def test_a_missing_tokenizer(self, copied: Path) -> None:
        (copied / "tokenizer.json").unlink()
        assert "tokenizer.json is missing" in message(str(copied))

    def test_weights_of_another_size(self, copied: Path) -> None:
        config = (copied / "config.json").read_text()
        (copied / "config.json").write_text(config.replace('"num_queries": 3', '"num_queries": 5'))
        assert "cannot be loaded" in message(str(copied))

    def test_the_identity_follows_the_content(self, copied: Path, checkpoint: Path) -> None:
        def identity(folder: Path) -> object:
            return Sam3HfConfig(device="cpu", weights=str(folder)).build().identity()["weights"]

        assert identity(copied) == identity(checkpoint)
        (copied / "README.md").write_text("changes nothing")
        assert identity(copied) == identity(checkpoint)
        file = copied / "model.safetensors"
        for place in (file.stat().st_size - 1, file.stat().st_size // 2):
            before = identity(copied)
            with file.open("r+b") as stream:
                stream.seek(place)
                stream.write(b"\x55" * min(2**16, file.stat().st_size - place))
            assert identity(copied) != before


@pytest.fixture
def copied(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the checkpoint to damage."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for file in checkpoint.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder
