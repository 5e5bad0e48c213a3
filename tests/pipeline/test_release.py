"""release.json and the card: what a dataset says of itself, without a path of this machine, covered by checksums."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.build import Build
from pipeline.checksums import verify
from pipeline.layout import Layout
from tests.pipeline.composing import loaded
from tests.pipeline.dataset_fixture import write_crop
from tests.running import run

SAID = ("release.title=Barn cows", "release.licence=CC-BY-4.0", 'release.source="Farm 3, Döring 2026"', "release.rights=consent of the farmer")  # fmt: skip  # noqa: E501


def build(root: Path, *more: str) -> Path:
    """Two crops of one video whose folder has a space."""
    if not (root / "my videos").exists():
        write_crop(root / "my videos" / "barn ü.mp4", 64, 40, seed=1)
        (root / "a.txt").write_text("".join(f"{f + 1},1,8,16,32,24,1,-1,-1,-1\n" for f in range(40)))
    chosen = (f'videos="{root}/my videos"', f"out={root}/out", f"tracker.path={root}/a.txt", "crop.size=16")
    small = ("filters.size.min_side=8", "clip.num_frames=5")
    Build(loaded("prompt=cow", "tracker=file", *chosen, *small, *more)).run()
    return root / "out"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("secret place"), *SAID)


def test_it_names_sources_settings_versions_tracker_and_licence(out: Path) -> None:
    found = json.loads((out / "release.json").read_text(encoding="utf-8"))
    assert (found["licence"], found["source"]) == ("CC-BY-4.0", "Farm 3, Döring 2026")
    (source,) = found["sources"]
    assert source["video"] == "barn ü.mp4" and len(source["fingerprint"]) >= 16 and source["crops"] == 2
    assert found["config"]["crop"]["size"] == 16 and found["config"]["prompt"] == "cow"
    assert found["made_with"]["av"] and found["made_with"]["python"]
    assert found["tracker"]["name"] == "file" and found["tracker"]["version"], "what decided the tracks"


def test_it_tells_no_folder_of_this_machine(out: Path) -> None:
    for name in ("release.json", "exports/videofolder/release.json", "exports/videofolder/README.md"):
        assert "secret place" not in (out / name).read_text() and str(out.parent) not in (out / name).read_text()


def test_the_weights_of_a_tracker_are_named_by_what_it_said_of_them(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = build(tmp_path)
    (identity,) = (out / "tracks" / "trackers").glob("*.json")
    identity.write_bytes(json.dumps(json.loads(identity.read_bytes()) | {"weights": "owner/sam3@0123abcd"}).encode())
    assert run(capfd, monkeypatch, "task=export", f"out={out}").status == 0
    assert json.loads((out / "release.json").read_text())["tracker"]["weights"] == "owner/sam3@0123abcd"
    card = (out / "exports" / "videofolder" / "README.md").read_text()
    assert "weights owner/sam3@0123abcd" in card
    assert "Licence: not stated: ask before you use it" in card and "license:" not in card


def test_the_card_says_it_where_the_hub_looks(out: Path) -> None:
    card = (out / "exports" / "videofolder" / "README.md").read_text(encoding="utf-8")
    header = card.split("---")[1]
    assert 'license: "cc-by-4.0"' in header and "# Barn cows\n" in card
    assert "- Source: Farm 3, Döring 2026\n- Rights: consent of the farmer\n" in card
    hub = pytest.importorskip("huggingface_hub")
    assert hub.DatasetCard(card).data.license == "cc-by-4.0"


def test_an_export_passed_on_by_itself_proves_itself(out: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(out / "exports" / "videofolder", copy)
    verdict = verify(Layout(copy, copy))
    assert verdict.whole and verdict.listed == 2 + 1 + 1 + 1, "crops, metadata, card, release.json"
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "checksums.sha256"], cwd=copy, check=True)
    (copy / "release.json").write_text("{}")
    assert verify(Layout(copy, copy)).changed == ("release.json",)


def test_the_dataset_s_own_checksums_cover_it(out: Path) -> None:
    layout = Layout(out, out / "tracks")
    assert verify(layout).whole and "  release.json\n" in layout.checksums.read_text()


def test_a_licence_given_later_makes_the_card_again_and_nothing_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = build(tmp_path, "exports=[videofolder,videomae]")
    before = {path: path.stat().st_mtime_ns for path in (*out.glob("crops/*/*"), out / "exports/videomae/train.csv")}
    text = 'release.licence="Farm licence, 2026"'
    done = run(capfd, monkeypatch, "task=export", f"out={out}", text)
    assert done.status == 0, done.text
    assert 'license: other\nlicense_name: "Farm licence, 2026"' in (out / "exports/videofolder/README.md").read_text()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert verify(Layout(out, out)).whole
