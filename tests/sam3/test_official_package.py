"""tracker=sam3: where it finds the official package, vocabulary and weights, and what it says where one is missing."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sam.backends import official
from sam.backends.sam3 import Sam3Config
from sam.errors import TrackerUnavailable
from tests.sam3.conftest import require

ROOT = Path(__file__).parents[2]


class TestPackage:
    """Where the package is found: a checkout in sam3/ beside main.py, else an installed one."""

    @pytest.fixture
    def checkout(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        inside = tmp_path / "sam3" / "sam3"
        inside.mkdir(parents=True)
        (inside / "__init__.py").write_text("")
        (inside / "model_builder.py").write_text("")
        monkeypatch.setattr(official, "ROOT", tmp_path)
        return inside

    def test_a_checkout_is_used_and_known_by_its_source(self, checkout: Path) -> None:
        found = official.find()
        assert found.checkout
        assert found.folder == checkout
        (checkout / "model_builder.py").write_text("changed = True")
        assert official.find().label != found.label

    def test_a_folder_that_is_no_checkout_is_said(self, checkout: Path) -> None:
        (checkout / "__init__.py").unlink()
        with pytest.raises(TrackerUnavailable, match="is no checkout of https://github"):
            official.find()

    def test_an_empty_folder_is_overlooked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        require("sam3")
        (tmp_path / "sam3").mkdir()  # a submodule that was not fetched
        monkeypatch.setattr(official, "ROOT", tmp_path)
        assert not official.find().checkout

    def test_nothing_installed_names_the_extra_and_the_others(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(official, "find_spec", lambda name: None)
        monkeypatch.delitem(sys.modules, "sam3", raising=False)
        with pytest.raises(TrackerUnavailable, match=r"EXTRAS=sam3 .*tracker=sam3_hf.*tracker=motion"):
            official.find()

    @pytest.mark.parametrize("lacks", ["pkg_resources", "triton", "psutil"])
    def test_a_package_it_lacks_is_named_with_the_fix(self, checkout: Path, lacks: str) -> None:
        (checkout / "__init__.py").write_text(f"raise ModuleNotFoundError('no', name={lacks!r})")
        code = (
            "from pathlib import Path; from sam.backends import official\n"
            f"official.ROOT = Path({str(checkout.parents[1])!r})\n"
            "official.find().load()"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
        assert official.ADVICE.get(lacks, f"pip install {lacks}") in done.stderr.splitlines()[-1]

    def test_the_shadow_of_a_checkout_is_seen_through(self, checkout: Path) -> None:
        """From the folder above it, `import sam3` finds an empty namespace; the package inside is loaded anyway."""
        (checkout / "__init__.py").write_text("real = True")
        code = (
            "import sam3; assert sam3.__file__ is None\n"
            "from pathlib import Path; from sam.backends import official\n"
            f"official.ROOT = Path({str(checkout.parents[1])!r})\n"
            "official.find().load(); import sam3; assert sam3.real; print(sam3.__file__)"
        )
        path = os.pathsep.join([str(checkout.parents[1]), str(ROOT)])
        done = subprocess.run(
            [sys.executable, "-S", "-c", code],  # -S: no site-packages, so no installed sam3
            cwd=checkout.parents[1],
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
        )
        assert done.stdout.strip() == str(checkout / "__init__.py"), done.stderr

    def test_the_vocabulary_is_the_given_one_the_packages_or_open_clips(
        self, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        package = official.find()
        monkeypatch.setattr(official, "find_spec", lambda name: None)
        with pytest.raises(TrackerUnavailable, match="pip install open_clip_torch"):
            official.vocabulary(None, package)
        theirs = checkout.parent / "assets" / official.VOCABULARY
        theirs.parent.mkdir()
        theirs.write_bytes(gzip.compress(b"words"))
        assert official.vocabulary(None, package) == theirs
        mine = tmp_path / "mine.gz"
        mine.write_bytes(gzip.compress(b"words"))
        assert official.vocabulary(str(mine), package) == mine
        mine.write_text("<html>")
        with pytest.raises(TrackerUnavailable, match="is no gzip file"):
            official.vocabulary(str(mine), package)
        with pytest.raises(TrackerUnavailable, match="does not exist"):
            official.vocabulary(str(tmp_path / "none"), package)

    def test_open_clip_has_the_file(self) -> None:
        require("open_clip", "sam3")
        assert official.vocabulary(None, official.find()).parent.name == "open_clip"

    def test_the_checkpoint_is_found_by_its_version(self, tmp_path: Path) -> None:
        with pytest.raises(TrackerUnavailable, match=r"should hold sam3\.pt"):
            official.checkpoint(tmp_path, "3.0")
        for name in ("sam3.pt", "sam3.1_multiplex.pt"):
            (tmp_path / name).write_bytes(b"")
        assert official.checkpoint(tmp_path, "3.0").name == "sam3.pt"
        assert official.checkpoint(tmp_path, "3.1").name == "sam3.1_multiplex.pt"


class TestNewerModel:
    """tracker.version=3.1, whose builder only newer packages have."""

    def test_an_older_package_is_told_what_to_get(self) -> None:
        require("sam3", "torch")
        official.find().load()
        with pytest.raises(TrackerUnavailable, match=r"needs a newer sam3.*clone https.*tracker\.version=3\.0"):
            Sam3Config(version="3.1").build()._build(None, "sam3.1_multiplex.pt", "words")

    def test_its_documented_builder_is_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        require("sam3", "torch")
        official.find().load()
        import sam3.model_builder as builder

        asked: dict[str, Any] = {}
        monkeypatch.setattr(builder, "build_sam3_multiplex_video_predictor", asked.update, raising=False)
        Sam3Config(version="3.1", max_objects=7).build()._build(None, "sam3.1_multiplex.pt", "words")
        assert asked == {
            "checkpoint_path": "sam3.1_multiplex.pt",
            "bpe_path": "words",
            "max_num_objects": 7,
            "use_fa3": False,
            "async_loading_frames": False,
        }


def test_no_gpu_is_one_message_that_names_the_others(tmp_path: Path) -> None:
    require("torch", "torchvision", "sam3")
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(TrackerUnavailable) as raised:
        Sam3Config().build().__enter__()
    text = str(raised.value)
    assert text.startswith("tracker=sam3 cannot use a GPU here")
    assert "tracker=sam3_hf" in text and "tracker=motion" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cpu"}, "runs on CUDA only.*sam3_hf"),
        ({"version": "3.2"}, r"tracker\.version must be one of 3\.0, 3\.1"),
        ({"max_objects": 0}, r"tracker\.max_objects"),
        ({"release": "later"}, r"tracker\.release must be one of window, never"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sam3Config(**options)
