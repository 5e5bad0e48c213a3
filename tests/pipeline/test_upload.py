"""task=upload against a server that speaks the Hub's protocol: what arrives, resuming, and what cannot be done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.checksums import write_checksums
from pipeline.errors import ConfigError, DatasetError
from pipeline.exports.export import exports
from pipeline.layout import Layout
from pipeline.tasks.upload import upload
from tests.pipeline.composing import changed
from tests.pipeline.dataset_fixture import make_dataset
from tests.pipeline.fake_hub import REPO, TOKEN, Hub
from tests.running import contents

pytest.importorskip("huggingface_hub")
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub 2.4 with httpx2


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "my cows", tmp_path / "tracks")
    samples = make_dataset(layout.root, objects=1)
    exports()["videofolder"]().write(samples, layout, layout.exports / "videofolder", "hard")
    write_checksums(layout)
    return layout


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    from huggingface_hub import constants

    with Hub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        for name in ("HF_HUB_OFFLINE", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub


def send(layout: Layout, *more: str) -> int:
    return upload(changed("task=build", f"hub.repo={REPO}", *more), layout)


def test_every_file_arrives_as_it_is_and_in_private(
    layout: Layout, hub: Hub, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    assert send(layout) == 0
    here = contents(layout.exports / "videofolder", ".")
    assert {k: v for k, v in hub.files.items() if k != ".gitattributes"} == {
        k: v for k, v in here.items() if not k.startswith(".cache")
    }
    assert hub.private and len(hub.uploads) == 8
    printed = capsys.readouterr().out + caplog.text
    assert "to the private dataset owner/cows" in printed and TOKEN not in printed
    assert not any(TOKEN.encode() in data for data in contents(layout.root, ".").values())


def test_what_has_arrived_is_not_sent_again(layout: Layout, hub: Hub) -> None:
    hub.fail_after = 3
    with pytest.raises(DatasetError, match="what has arrived is not sent again"):
        send(layout)
    assert hub.uploads and not hub.files
    hub.fail_after = 10**9
    assert send(layout) == 0 and send(layout) == 0
    assert len(hub.uploads) == len(set(hub.uploads)) == 8, "each once, over all runs"


def test_a_dry_run_lists_and_asks_nobody(layout: Layout, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert send(layout, "hub.dry=true", "hub.private=false") == 0
    printed = capsys.readouterr().out
    assert printed.count(".mp4") == 8 and "train/metadata.jsonl" in printed and "PUBLIC dataset" in printed
    assert hub.asked == []


def test_nothing_goes_into_a_public_repository_unasked(layout: Layout, hub: Hub) -> None:
    hub.exists, hub.private = True, False
    with pytest.raises(ConfigError, match=r"everybody can see it, but hub\.private=true"):
        send(layout)
    assert hub.uploads == [] and hub.files == {}
    assert send(layout, "hub.private=false") == 0 and hub.files


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, r"does not accept this machine's token \(401\): log in with `hf auth login`"),
        (403, r"may not write to owner/cows \(403\)"),
        (404, r"has no owner/cows that this token may see \(404\)"),
    ],
)
def test_what_the_hub_refuses_is_explained(layout: Layout, hub: Hub, status: int, message: str) -> None:
    hub.refuse = status
    with pytest.raises(DatasetError, match=message) as caught:
        send(layout)
    assert TOKEN not in str(caught.value)


def test_no_token_no_repository_no_export_and_a_damaged_one(
    layout: Layout, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"needs hub\.repo=OWNER/NAME"):
        upload(changed("task=build"), layout)
    with pytest.raises(DatasetError, match=r"hub\.repo must be OWNER/NAME"):
        upload(changed("task=build", "hub.repo=a/b/c"), layout)
    with pytest.raises(DatasetError, match=r"task=export 'exports=\[coco\]'"):
        send(layout, "hub.export=coco")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ConfigError, match="this machine has none: log in with"):
        send(layout)
    next((layout.exports / "videofolder").rglob("*.mp4")).unlink()
    with pytest.raises(DatasetError, match=r"nothing was uploaded: .*1 missing"):
        send(layout)
    assert hub.files == {}


def test_a_hub_that_is_not_there(layout: Layout, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DatasetError, match="the Hub cannot be reached"):
        send(layout)
