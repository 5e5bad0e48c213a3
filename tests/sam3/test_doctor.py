"""task=doctor for the SAM3 trackers: packages, weights and access, against a hub on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sam.backends import device, official, weights
from sam.backends.preflight import weights_there
from sam.backends.sam3 import Sam3Config
from sam.backends.sam3_hf import FILES, Sam3HfConfig
from sam.checks import Check, Preflight
from sam.errors import TrackerUnavailable
from tests.running import run_process
from tests.sam3 import hub as answers
from tests.sam3.conftest import require
from tests.sam3.hub import Hub, Refusal, pretend
from tests.sam3.test_main import ALONE, HIDE_PACKAGES

REPO = "owner/sam3"


@pytest.fixture
def hub(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub(checkpoint) as running:
        pretend(running, tmp_path, monkeypatch)
        yield running


def checks(options: Any) -> dict[str, Check]:
    assert isinstance(options, Preflight)
    return {check.name: check for check in options.preflight()}


def looked_at(weights_: str = REPO) -> dict[str, Check]:
    return checks(Sam3HfConfig(device="cpu", weights=weights_))


def refusal(weights_: str = REPO) -> str:
    """What a run with these weights stops with."""
    tracker = Sam3HfConfig(device="cpu", weights=weights_).build()
    with pytest.raises(TrackerUnavailable) as raised:
        tracker.identity()
        tracker.__enter__()
    return str(raised.value)


def test_a_tracker_that_can_run_has_no_complaint(checkpoint: Path) -> None:
    found = looked_at(str(checkpoint))
    assert {c.state for c in found.values()} == {"ok"}, found
    assert "transformers 5." in found["packages"].detail
    assert "the CPU in float32" in found["device"].detail
    assert str(checkpoint) in found["weights"].detail


@pytest.mark.parametrize(
    "answer",
    [
        answers.NO_TOKEN,
        answers.NOT_ASKED,
        answers.WAITING,
        answers.REJECTED,
        answers.BAD_TOKEN,
        answers.WEAK_TOKEN,
        Refusal(404, "EntryNotFound"),
    ],
    ids=["no token", "not asked", "waiting", "rejected", "bad token", "weak token", "other files"],
)
def test_refused_access_is_the_message_a_run_would_stop_with(hub: Hub, answer: Refusal) -> None:
    hub.files = answer
    found = looked_at()
    assert (found["access"].state, found["weights"].state) == ("NO", "NO")
    assert hub.questions == 1
    assert found["access"].detail == refusal()


def test_a_repository_that_does_not_exist(hub: Hub) -> None:
    found = looked_at("owner/sam33")
    assert found["access"].state == "NO"
    assert "Hugging Face has no owner/sam33" in found["access"].detail


@pytest.mark.parametrize("broken", [answers.BROKEN, "silent"], ids=["500", "cut"])
def test_a_hub_that_is_out_of_order_is_a_line_and_no_error(hub: Hub, broken: Any) -> None:
    hub.files, hub.silent = (None, True) if broken == "silent" else (broken, False)
    said = looked_at()["access"]
    assert said.state == "NO"
    assert ("answered 500" if broken != "silent" else "cannot be reached") in said.detail


def test_access_without_weights_promises_a_download(hub: Hub, tmp_path: Path) -> None:
    found = looked_at()
    assert found["access"] == Check("access", "ok", f"{REPO} may be downloaded (without a token)")
    assert found["weights"].state == "note"
    assert f"downloads them into {tmp_path / 'cache'}" in found["weights"].detail
    assert hub.questions == 1
    assert not (tmp_path / "cache").exists()  # nothing was written


def test_fetched_weights_need_no_access_and_no_request(hub: Hub) -> None:
    weights.locate(REPO, "sam3_hf", "sam3-hf", FILES)
    hub.asked.clear()
    found = looked_at()
    assert "access" not in found
    assert found["weights"].state == "ok"
    assert hub.questions == 0


def test_a_download_that_was_killed_says_how_much_is_there(hub: Hub) -> None:
    hub.cut = True
    with pytest.raises(TrackerUnavailable):
        weights.locate(REPO, "sam3_hf", "sam3-hf", ("*.json", "model*.safetensors"))
    hub.cut = False
    blobs = weights.cache() / "models--owner--sam3" / "blobs"
    (blobs / "0123.4567.incomplete").write_bytes(bytes(2**24))
    found = looked_at()["weights"]
    assert found.state == "note"
    assert "0.02 GiB in *.incomplete are of a download that runs or was killed" in found.detail
    weights.locate(REPO, "sam3_hf", "sam3-hf", FILES)  # what was left behind does not stand in the way
    assert looked_at()["weights"].state == "ok"


def test_damaged_weights_in_the_cache_are_no_download_to_come(hub: Hub) -> None:
    folder = weights.locate(REPO, "sam3_hf", "sam3-hf", FILES)
    with (folder / "model.safetensors").open("r+b") as stream:
        stream.truncate(1000)
    said = looked_at()["weights"]
    assert said.state == "NO"
    assert "only partly there (1000 of " in said.detail


def test_offline_nothing_is_asked(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    said = looked_at()["access"]
    assert said.state == "NO"
    assert "HF_HUB_OFFLINE=1" in said.detail
    assert hub.questions == 0


def test_the_official_weights_are_looked_for_in_a_folder(hub: Hub, tmp_path: Path) -> None:
    """A cache that sam3_hf filled has no .pt file: nothing is damaged, only not here yet."""
    weights.locate(REPO, "sam3_hf", "sam3-hf", FILES)
    options = Sam3Config(weights=REPO)
    given = (REPO, "sam3", official.EXTRA, ("*.pt",), options.checkpoint_in)
    assert [c.state for c in weights_there(*given)] == ["ok", "note"]
    (tmp_path / "sam3.pt").write_bytes(b"PK half")
    (said,) = weights_there(str(tmp_path / "sam3.pt"), *given[1:])
    assert said.state == "NO"
    assert "only partly there (7 bytes)" in said.detail


class TestOfficial:
    """What tracker=sam3 says about its package."""

    @pytest.fixture
    def apart(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Whatever sam3 is imported here is forgotten, and what was imported before comes back."""
        before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "sam3"}
        monkeypatch.setattr("sys.path", list(sys.path))
        yield
        for name in [name for name in sys.modules if name.split(".")[0] == "sam3"]:
            del sys.modules[name]
        sys.modules.update(before)

    @pytest.fixture
    def checkout(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: None) -> Path:
        monkeypatch.setattr(official, "ROOT", tmp_path)
        inside = tmp_path / "sam3" / "sam3"
        inside.mkdir(parents=True)
        (inside / "__init__.py").write_text("")
        (inside / "model_builder.py").write_text("import nowhere_to_be_found\n")
        (tmp_path / "sam3" / "pyproject.toml").write_text('[project]\ndependencies = ["numpy<1.0", "av"]\n')
        monkeypatch.setattr(weights, "cached", lambda repo: None)
        monkeypatch.setattr("sam.backends.preflight._ask", lambda *given: "asked")
        return inside

    def test_a_checkout_with_its_conflicts_and_what_it_cannot_import(
        self, checkout: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(official, "_installed", lambda: "0.1.4")
        monkeypatch.setattr("sam.backends.access.metadata.version", lambda name: "5.0")
        monkeypatch.setattr(device, "usable", lambda *given: "cuda")
        found = checks(Sam3Config(vocabulary=str(checkout / "__init__.py")))
        assert found["package"].state == "note"
        assert "it hides the installed sam3 0.1.4" in found["package"].detail
        assert "asks for numpy<1.0, and numpy 5.0 is installed: make setup EXTRAS=sam3" in found["conflict"].detail
        assert found["import"].state == "NO"
        assert "pip install nowhere_to_be_found" in found["import"].detail
        assert "is no gzip file" in found["vocabulary"].detail

    def test_a_folder_that_is_no_checkout(self, checkout: Path) -> None:
        (checkout / "__init__.py").unlink()
        found = checks(Sam3Config())
        assert found["package"].state == "NO"
        assert "is no checkout" in found["package"].detail
        assert "import" not in found and "vocabulary" not in found

    def test_the_installed_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        require("sam3", "open_clip", "triton", "torch", "torchvision")
        monkeypatch.setattr(device, "usable", lambda *given: "cuda")
        monkeypatch.setattr("sam.backends.preflight._ask", lambda *given: "asked")
        found = checks(Sam3Config())
        assert [found[n].state for n in ("package", "packages", "import", "vocabulary")] == ["ok"] * 4
        assert "conflict" not in found  # our constraints satisfy it
        newer = checks(Sam3Config(version="3.1"))["import"]
        assert newer.state == "NO"
        assert "tracker.version=3.1 needs a newer sam3" in newer.detail


@pytest.mark.parametrize(
    ("asked", "cards", "said"),
    [("auto", 1, "the GPU, once torch"), ("auto", 0, "the CPU, once torch"), ("cpu", 1, "the CPU, once torch")],
)
def test_a_device_without_torch(monkeypatch: pytest.MonkeyPatch, asked: str, cards: int, said: str) -> None:
    monkeypatch.setattr(device, "find_spec", lambda name: None)
    monkeypatch.setattr(device, "gpus", lambda: [device.Gpu("NVIDIA H100", 80 * 2**30, 2**30)] * cards)
    assert said in device.usable("sam3_hf", asked, "cpu", "float32")


def test_no_gpu_is_said_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "find_spec", lambda name: None)
    monkeypatch.setattr(device, "gpus", lambda: [])
    with pytest.raises(TrackerUnavailable, match=r"no NVIDIA driver or GPU.*tracker=sam3_hf"):
        device.usable("sam3", "auto", "cuda", "bfloat16")


def test_gpus_are_read_from_the_drivers_own_library(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        """Two GPUs, as libnvidia-ml answers."""

        def __getattr__(self, name: str) -> Any:
            return lambda *given: 0

        @staticmethod
        def nvmlDeviceGetCount_v2(count: Any) -> int:
            count._obj.value = 2
            return 0

        @staticmethod
        def nvmlDeviceGetName(handle: Any, name: Any, size: int) -> int:
            name.value = b"NVIDIA L4"
            return 0

        @staticmethod
        def nvmlDeviceGetMemoryInfo(handle: Any, memory: Any) -> int:
            memory._obj.total, memory._obj.free = 24 * 2**30, 20 * 2**30
            return 0

    monkeypatch.setattr(device, "ctypes", SimpleNamespace(**(vars(device.ctypes) | {"CDLL": lambda name: Library()})))
    assert device.gpus() == [device.Gpu("NVIDIA L4", 24 * 2**30, 20 * 2**30)] * 2


def test_the_whole_table(checkpoint: Path, tmp_path: Path) -> None:
    words = ("task=doctor", "tracker=sam3_hf", f"tracker.weights={checkpoint}", f"out={tmp_path / 'out'}")
    done = run_process(*words, **ALONE)
    assert done.status == 0, done.text
    assert done.text.rstrip().endswith("tracker=sam3_hf can run here.")
    assert "Traceback" not in done.text
    assert os.listdir(tmp_path) == []


def test_the_whole_table_without_the_packages(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIDE_PACKAGES)
    done = run_process("task=doctor", **ALONE, PYTHONPATH=str(tmp_path))
    assert done.status == 2, done.text
    text = " ".join(done.text.split())
    for extra in ("sam3", "sam3-hf"):
        assert f"make setup EXTRAS={extra} (or pip install '.[{extra}]')" in text
    assert "tracker=sam3 cannot run here yet" in text
    assert "Traceback" not in text


def test_a_compiler_is_looked_for_as_triton_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from sam.backends.preflight import compiler

    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    (check,) = compiler()
    assert check.state == "note" and "install gcc and Python's headers, or set CC" in check.detail
    found = tmp_path / "clang"
    found.write_text("")
    found.chmod(0o755)
    assert list(compiler()) == []
