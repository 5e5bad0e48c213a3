"""link.embedding with real models of timm and transformers, their weights random: from a folder, without a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ConfigError
from pipeline.linking.vision_model import ModelName, open_model
from tests.running import Done, rows, run
from tests.sam3.conftest import require
from tests.test_link_build import write_mot
from video.scenes import render_scene

Run = Callable[..., Done]


@pytest.fixture
def go(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return lambda *arguments: run(capfd, monkeypatch, *arguments)


@pytest.fixture(scope="module")
def barn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("barn")
    render_scene(folder / "cam.mp4", seed=50, seconds=12, width=320, height=192, cows=2, people=1)
    return folder


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> str:
    require("torch", "torchvision", "timm")
    import timm
    import torch

    folder = tmp_path_factory.mktemp("model") / "resnet"
    torch.manual_seed(0)
    timm.models.save_for_hf(timm.create_model("test_resnet"), folder)
    return f"timm:{folder}"


def vit(folder: Path, seed: int = 0) -> None:
    import torch
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(seed)
    small = ViTConfig(image_size=32, patch_size=8, hidden_size=24, num_hidden_layers=2, num_attention_heads=2)
    ViTModel(small, add_pooling_layer=False).save_pretrained(folder)


def convnet(folder: Path) -> None:
    from transformers import ResNetConfig, ResNetModel

    ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8, 24], depths=[1, 1])).save_pretrained(folder)


def clip(folder: Path) -> None:
    from transformers import CLIPConfig, CLIPModel

    tower = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    sees = {**tower, "image_size": 32, "patch_size": 8}
    CLIPModel(CLIPConfig(text_config=tower, vision_config=sees, projection_dim=24)).save_pretrained(folder)


def pictures(count: int, side: int = 48) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


@pytest.mark.slow
def test_a_build_links_by_a_model_and_a_rerun_computes_nothing(
    resnet: str, barn: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, go: Run
) -> None:
    tracks = write_mot(barn, tmp_path_factory.mktemp("mot"), 10)
    small = ("clip.num_frames=10", "crop.size=64", "filters.size.min_side=8", "exports=[]", "prompt=cow")
    common = (f"videos={barn}", f"out={tmp_path}", "tracker=file", f"tracker.path={tracks}", *small)
    assert go(*common).status == 0
    crops = {p.name: p.read_bytes() for p in (tmp_path / "crops").rglob("*.mp4")}

    done = go(*common, f"link.embedding={resnet}")
    assert done.status == 0 and f"embedding {len(crops)} crops with {resnet} on " in done.text, done.text
    assert {p.name: p.read_bytes() for p in (tmp_path / "crops").rglob("*.mp4")} == crops
    samples = rows(tmp_path / "samples.parquet")
    true: dict[str, set[tuple[str, int]]] = {}
    for s in samples:
        true.setdefault(s["individual_id"], set()).add((s["video"], s["object_id"] % 10))
    assert all(len(who) == 1 for who in true.values()), "no name is shared by two"
    assert len(true) < len(samples) / 2, "and pieces are put together"

    stored = {p: p.stat().st_mtime_ns for p in (tmp_path / "records" / "embeddings").rglob("*.*")}
    assert len(stored) == 2, "a record's and the model's card"
    links = rows(tmp_path / "links.parquet")
    for again in (("link.max_gap=29",), ("link.max_gap=30",)):
        done = go(*common, f"link.embedding={resnet}", *again)
        assert done.status == 0 and "embedding" not in done.text.replace(resnet, "").replace("link.embedding", "")
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "records" / "embeddings").rglob("*.*")} == stored
    assert rows(tmp_path / "links.parquet") == links
    assert {s["sample_id"]: s["individual_id"] for s in samples} == {
        s["sample_id"]: s["individual_id"] for s in rows(tmp_path / "samples.parquet")
    }


def test_timm_sees_what_its_own_preprocessing_would_show_it(resnet: str) -> None:
    import timm
    import torch

    name = ModelName.of(resnet)
    model = open_model(name, "auto")
    assert model.device == ("cuda" if torch.cuda.is_available() else "cpu")
    shown = pictures(3, 160)
    found = model.embed(shown)
    assert found.dtype == np.float32 and np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    plain = timm.create_model(f"local-dir:{name.folder}", pretrained=True, num_classes=0).eval()
    wants = timm.data.resolve_model_data_config(plain)
    assert wants["input_size"] == (3, 160, 160)
    normal = (shown / 255 - np.array(wants["mean"])) / np.array(wants["std"])
    with torch.inference_mode():
        own = plain(torch.from_numpy(normal.transpose(0, 3, 1, 2).astype(np.float32)))
    assert found == pytest.approx((own / own.norm(dim=1, keepdim=True)).numpy(), abs=1e-4)


@pytest.mark.parametrize("save", [vit, convnet, clip])
def test_models_of_transformers(save: Callable[[Path], None], tmp_path: Path) -> None:
    require("torch", "torchvision", "transformers")
    save(tmp_path)
    model = open_model(ModelName.of(f"transformers:{tmp_path}"), "cpu")
    shown = pictures(70)  # more than one batch
    found = model.embed(shown)
    assert found.shape == (70, 24) and np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    assert found[65:] == pytest.approx(model.embed(shown[65:]), abs=1e-5), "who else is in the batch does not matter"
    assert np.abs(found[0] - found[1]).max() > 1e-4
    assert model.weights == open_model(ModelName.of(f"transformers:{tmp_path}"), "cpu").weights


def test_a_gpu_sees_the_same(tmp_path: Path) -> None:
    """A pretend one, which refuses what CUDA refuses."""
    require("torch", "transformers")
    from tests.sam3.pretend_cuda import pretend

    vit(tmp_path)
    name, shown = ModelName.of(f"transformers:{tmp_path}"), pictures(3)
    here = open_model(name, "cpu")
    with pretend(count=2):
        there = open_model(name, "cuda:1")
        assert np.allclose(there.embed(shown), here.embed(shown), atol=1e-6)
        assert there.weights == here.weights
        with pytest.raises(ConfigError, match="device=cuda:2 does not exist: this machine shows 2 GPUs"):
            open_model(name, "cuda:2")


def test_other_weights_have_another_digest(tmp_path: Path) -> None:
    require("torch", "torchvision", "transformers")
    names = []
    for seed in (0, 1):
        vit(tmp_path / str(seed), seed)
        names.append(ModelName.of(f"transformers:{tmp_path / str(seed)}"))
    assert names[0].key() != names[1].key()
    assert open_model(names[0], "cpu").weights != open_model(names[1], "cpu").weights


def test_weights_that_are_not_all_there_are_refused(tmp_path: Path) -> None:
    require("torch", "torchvision", "transformers")
    from safetensors.torch import load_file, save_file

    vit(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    gone = next(key for key in sorted(weights) if "layer" in key)
    save_file({k: v for k, v in weights.items() if k != gone}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match=rf"its weights lack \S*{gone.split('.')[-1]}"):
        open_model(ModelName.of(f"transformers:{tmp_path}"), "cpu")


@pytest.mark.parametrize("where", ["no_such_architecture", "hf-hub:nobody/nothing"])
def test_a_model_that_cannot_be_had_is_said(where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    require("torch", "torchvision", "timm")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match=rf"link\.embedding=timm:{where} cannot be opened \(.+\): check the name"):
        open_model(ModelName.of(f"timm:{where}"), "cpu")


def test_a_damaged_folder_and_a_missing_gpu_are_said(resnet: str, tmp_path: Path) -> None:
    import torch

    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="cannot be opened"):
        open_model(ModelName.of(f"timm:{tmp_path}"), "cpu")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match=r"link\.device=cuda:0: this machine has no GPU"):
            open_model(ModelName.of(resnet), "cuda:0")
