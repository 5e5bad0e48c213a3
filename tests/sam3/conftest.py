"""What the SAM3 tests share: a tiny real checkpoint, the tracker that runs it, and footage of coloured things.

The one gate: a test that needs packages asks `require`, which skips where they are missing, unless FAIL_WITHOUT_SAM3=1
makes that an error; the same for a GPU and FAIL_WITHOUT_CUDA=1. Torch runs on one thread here: on small machines a
tiny model is many times slower on several.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.sam3.footage import Footage, blobs

if TYPE_CHECKING:
    from sam.backends.sam3_hf import Sam3HfTracker

HF = ("torch", "torchvision", "transformers", "huggingface_hub")


def require(*packages: str) -> None:
    """Skip, or fail under FAIL_WITHOUT_SAM3=1, where one of the packages is missing."""
    lacking = [name for name in packages if find_spec(name) is None]
    if lacking and os.environ.get("FAIL_WITHOUT_SAM3") == "1":
        pytest.fail(f"FAIL_WITHOUT_SAM3=1, and {', '.join(lacking)} cannot be imported")
    if lacking:
        pytest.skip(f"needs {', '.join(lacking)}", allow_module_level=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Model libraries warn about each other's changes; that is theirs to mend, not a fault of a test here."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny checkpoint, laid out like facebook/sam3."""
    require(*HF)
    import torch

    from tests.sam3.tiny import build

    torch.set_num_threads(1)
    return build(tmp_path_factory.mktemp("tiny") / "sam3")


@pytest.fixture(scope="session")
def prompted(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder with a tiny checkpoint for each model that takes points, boxes and masks."""
    from tests.sam3.tiny_sam2 import build

    folder = tmp_path_factory.mktemp("prompted")
    edgetam = build(folder / "edgetam", edge=True)
    return {"sam2": build(folder / "sam2"), "edgetam": edgetam, "sam3_tracker": checkpoint}


@pytest.fixture(scope="session")
def grounding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny GroundingDINO, laid out like IDEA-Research/grounding-dino-tiny."""
    require(*HF)
    from tests.sam3.tiny_grounding import build

    return build(tmp_path_factory.mktemp("grounding") / "dino")


@pytest.fixture(scope="session")
def cuda() -> str:
    """The GPU's name for torch."""
    require("torch")
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if os.environ.get("FAIL_WITHOUT_CUDA") == "1":
        pytest.fail("FAIL_WITHOUT_CUDA=1, and torch can use no GPU")
    pytest.skip("needs an NVIDIA GPU")


@pytest.fixture(scope="session")
def loaded(checkpoint: Path) -> Iterator[Sam3HfTracker]:
    """The tracker with the tiny checkpoint, loaded once, as it comes."""
    from sam.backends.sam3_hf import Sam3HfConfig

    with Sam3HfConfig(device="cpu", weights=str(checkpoint)).build() as tracker:
        yield tracker


@pytest.fixture(autouse=True)
def unlearned(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test teaches the loaded tracker about memory is forgotten after it."""
    if "loaded" in request.fixturenames:
        from sam.backends.room import Experience

        monkeypatch.setattr(request.getfixturevalue("loaded")._room, "_learned", Experience())


@pytest.fixture(scope="session")
def footage() -> Footage:
    """Twelve frames: red goes right, green goes left, blue appears in frame 6."""
    return blobs(12)
