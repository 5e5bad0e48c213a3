"""The vectors of crops: computed once, kept beside the records, removed with what they are of. The model is a stand-in
here, which sees the mean colours of four quarters; `tests/sam3/test_link_embedding.py` has real ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ConfigError
from pipeline.layout import Layout
from pipeline.linking import embeddings, vision_model
from pipeline.linking.embeddings import ROWS, halves
from pipeline.linking.vision_model import ModelName, VisionModel
from pipeline.settings import LinkConfig
from pipeline.tables import read_table
from tests.running import Done, rows, run
from tests.test_link_build import write_mot

Run = Callable[..., Done]


class Opened:
    """Counts what is looked at."""

    def __init__(self) -> None:
        self.times = 0
        self.pictures = 0
        self.weights = "1" * 64

    def __call__(self, name: ModelName, device: str) -> VisionModel:
        self.times += 1

        def embed(pictures: np.ndarray) -> np.ndarray:
            assert pictures.dtype == np.uint8 and pictures.shape[1:] == (32, 32, 3)
            self.pictures += len(pictures)
            parts = pictures.reshape(len(pictures), 2, 16, 2, 16, 3).mean(axis=(2, 4)).reshape(len(pictures), 12)
            return np.asarray(parts / np.linalg.norm(parts, axis=1, keepdims=True), np.float32)

        return VisionModel("cpu", self.weights, embed)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    found = Opened()
    monkeypatch.setattr(embeddings, "open_model", found)
    monkeypatch.setattr(ModelName, "check", lambda self: None)
    return found


@pytest.fixture
def go(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return lambda *arguments: run(capfd, monkeypatch, *arguments)


@pytest.fixture(scope="module")
def tracks(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mot(footage, tmp_path_factory.mktemp("mot"), 10)


@pytest.fixture
def common(footage: Path, tracks: Path, tmp_path: Path) -> tuple[str, ...]:
    small = ("clip.num_frames=10", "crop.size=32", "filters.size.min_side=8", "exports=[]", "prompt=cow")
    return (f"videos={footage}/farm1", f"out={tmp_path}/out", "tracker=file", f"tracker.path={tracks}", *small)


def files(out: Path) -> list[Path]:
    return sorted((out / "records" / "embeddings").rglob("*.parquet"))


def crops(out: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((out / "crops").rglob("*.mp4"))}


def test_every_crop_is_embedded_once_and_another_model_crops_nothing(
    common: tuple[str, ...], tmp_path: Path, go: Run, opened: Opened
) -> None:
    out = tmp_path / "out"
    done = go(*common)
    assert done.status == 0 and not opened.times, done.text
    before, plain = crops(out), rows(out / "samples.parquet")

    done = go(*common, "link.embedding=timm:one")
    assert done.status == 0, done.text
    assert "nothing was tracked" in done.text or "2 of 2 chunks are done already" in done.text
    shown = sum(min(4, sum(s["visible"])) for s in plain)
    assert opened.pictures == shown, "four visible frames of every crop, fewer where there are fewer"
    assert f"embedding {len(plain)} crops with timm:one on cpu" in done.text
    found = [row for path in files(out) for row in rows(path)]
    assert {row["sample_id"] for row in found} == {s["sample_id"] for s in plain}
    for row in found:
        vectors = np.array(row["vectors"], np.float32)
        assert vectors.shape[1] == 12 and len(vectors) <= 2
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-2)
    assert crops(out) == before, "nothing was cropped anew"
    assert all(s["individual_id"] for s in rows(out / "samples.parquet"))

    for change in ("link.embedding=timm:one", "link.min_score=0.7", "filters.size.min_side=9", "link.device=cpu"):
        assert go(*common, "link.embedding=timm:one", change).status == 0
        assert opened.pictures == shown, f"{change} needs no new look"

    (old,) = {path.parent for path in files(out)}
    done = go(*common, "link.embedding=transformers:two")
    assert done.status == 0 and opened.pictures == 2 * shown and crops(out) == before
    assert not old.exists() and len(files(out)) == 2, "the vectors of the model before are gone"
    assert go(*common).status == 0
    assert not (out / "records" / "embeddings").exists()
    assert rows(out / "samples.parquet") == plain, "and without a model all is as it was"


def test_what_is_lost_or_damaged_is_computed_again(
    common: tuple[str, ...], tmp_path: Path, go: Run, opened: Opened
) -> None:
    out, given = tmp_path / "out", (*common, "link.embedding=timm:one")
    assert go(*given).status == 0
    before, all_of_them, links = [p.read_bytes() for p in files(out)], opened.pictures, rows(out / "links.parquet")
    lost, damaged = files(out)
    lost.unlink()
    damaged.write_bytes(b"PAR1 nonsense")
    (out / "links.parquet").unlink()
    (out / "records" / "index.json").unlink()
    done = go(*given)
    assert done.status == 0 and "its crops are embedded again" in done.text
    assert [p.read_bytes() for p in files(out)] == before and opened.pictures == 2 * all_of_them
    assert rows(out / "links.parquet") == links


def test_other_crops_have_other_vectors(common: tuple[str, ...], tmp_path: Path, go: Run, opened: Opened) -> None:
    out, given = tmp_path / "out", (*common, "link.embedding=timm:one")
    assert go(*given).status == 0
    before = {p.name for p in files(out)}
    assert go(*given, "crop.margin=0.3").status == 0
    after = {p.name for p in files(out)}
    assert len(after) == 2 and not before & after


def test_a_name_that_means_other_weights_now_starts_anew(
    common: tuple[str, ...], tmp_path: Path, go: Run, opened: Opened
) -> None:
    out, given = tmp_path / "out", (*common, "link.embedding=timm:one")
    assert go(*given).status == 0
    all_of_them = opened.pictures
    opened.weights = "2" * 64
    files(out)[0].unlink()
    (out / "records" / "index.json").unlink()
    done = go(*given)
    assert done.status == 0 and "timm:one has other weights than before: every crop is embedded anew" in done.text
    assert opened.pictures == 2 * all_of_them, "vectors of two models are never mixed"


def test_too_few_pairs_are_said(common: tuple[str, ...], tmp_path: Path, go: Run, opened: Opened) -> None:
    done = go(*common, "link.embedding=timm:one", "select.include=*0900*", "clip.num_frames=40")
    assert done.status == 0, done.text
    assert "link.embedding cannot learn here what likeness proves" in done.text


def test_the_crops_have_to_be_on_black(common: tuple[str, ...], go: Run) -> None:
    done = go(*common, "link.embedding=timm:one", "crop.background=context")
    assert done.status == 2
    assert "looks at the crops on black, and there are only context: set crop.variants=[context,black]" in done.text


def test_what_is_missing_is_said_before_anything_is_tracked(
    common: tuple[str, ...], tmp_path: Path, go: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vision_model, "find_spec", lambda name: None if name == "timm" else True)
    done = go(*common, "link.embedding=timm:one")
    assert done.status == 2
    assert "link.embedding=timm:one needs timm, not installed here: pip install -e '.[embed]'" in done.text
    assert not (tmp_path / "out" / "crops").exists()
    done = go(*common, f"link.embedding=transformers:{tmp_path}/nowhere")
    assert done.status == 2 and f"there is no {tmp_path}/nowhere/config.json" in done.text


@pytest.mark.parametrize("text", ["resnet18", "keras:resnet18", "timm:", "timm"])
def test_a_text_that_names_no_model_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=rf"link.embedding must be timm:NAME.*got {text}"):
        LinkConfig(embedding=text)


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", ""])
def test_a_device_that_there_is_not_is_refused(device: str) -> None:
    with pytest.raises(ValueError, match=r"link\.device must be auto, cpu, cuda or cuda:N"):
        LinkConfig(device=device)


def test_a_folder_is_known_by_its_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    (one / "config.json").write_text("{}")
    (one / "weights").write_bytes(b"abc")
    shutil.copytree(one, other)
    assert ModelName.of(f"timm:{one}").key() == ModelName.of(f"timm:{other}").key()
    assert ModelName.of(f"timm:{one}").key() != ModelName.of(f"transformers:{one}").key()
    (other / "weights").write_bytes(b"abd")
    assert ModelName.of(f"timm:{one}").key() != ModelName.of(f"timm:{other}").key()
    monkeypatch.chdir(tmp_path)
    assert ModelName.of("timm:one") == ModelName.of(f"timm:{one}") == ModelName.of("timm:./one")
    assert ModelName.of("timm:elsewhere").folder is None, "a model of the hub"
    with pytest.raises(ConfigError, match=r"config\.json"):
        monkeypatch.setattr(vision_model, "find_spec", lambda name: True)
        ModelName.of("timm:./elsewhere").check()


def test_a_changed_folder_makes_the_index_anew_and_another_device_does_not(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    config = LinkConfig(embedding=f"timm:{tmp_path}")
    before = config.decisive
    assert LinkConfig(embedding=f"timm:{tmp_path}", device="cpu").decisive == before
    (tmp_path / "config.json").write_text("{} ")
    assert config.decisive != before


def test_halves_are_unit_means_in_order() -> None:
    four = np.array([[1, 0], [0, 1], [0, 2], [0, 2]], np.float32)
    assert halves(four) == pytest.approx(np.array([[0.5**0.5, 0.5**0.5], [0, 1]]))
    assert halves(four[:1]) == pytest.approx(np.array([[1, 0]]))
    assert np.isfinite(halves(np.zeros((4, 2), np.float32))).all()


def test_the_file_is_what_it_says(common: tuple[str, ...], tmp_path: Path, go: Run, opened: Opened) -> None:
    assert go(*common, "link.embedding=timm:one").status == 0
    for path in files(tmp_path / "out"):
        assert read_table(path).schema.remove_metadata() == ROWS
    layout = Layout(tmp_path / "out", tmp_path)
    (folder,) = layout.embeddings.iterdir()
    assert layout.embedding_model(folder.name).is_file()
    assert folder.name == ModelName.of("timm:one").key()
