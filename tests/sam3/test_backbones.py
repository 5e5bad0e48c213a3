"""The backbones of the probe that are models: one vector per clip, the same every time, without a download."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from examples.embed import open_backbone
from tests.sam3.conftest import require

FRAMES = np.random.default_rng(0).integers(0, 255, (16, 112, 112, 3)).astype(np.uint8)


@pytest.mark.parametrize(("name", "size"), [("videomae-random", 192), ("timm:resnet18", 1024), ("torchvision:r3d_18", 512)])  # fmt: skip  # noqa: E501
def test_a_model_gives_one_vector_that_tells_clips_apart(name: str, size: int) -> None:
    require("torch", "torchvision", "transformers", *(["timm"] if name.startswith("timm") else []))
    one, again = open_backbone(name), open_backbone(name)
    vector = one(FRAMES)
    assert vector.shape == (size,) and vector.dtype == np.float32 and np.isfinite(vector).all()
    assert (again(FRAMES) == vector).all(), "random weights are the same ones every time"
    assert not np.allclose(one(FRAMES // 2), vector, atol=1e-4)


def test_videomae_from_a_folder_takes_the_size_and_frames_it_was_made_for(tmp_path: Path) -> None:
    require("torch", "transformers")
    import torch
    from transformers import VideoMAEConfig, VideoMAEModel

    torch.manual_seed(1)
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    model = VideoMAEModel(VideoMAEConfig(image_size=32, num_frames=4, **sizes)).eval()
    model.save_pretrained(tmp_path / "my weights")
    vector = open_backbone(f"videomae:{tmp_path / 'my weights'}")(FRAMES)
    picked = FRAMES[[0, 5, 10, 15]]
    assert vector.shape == (24,)
    assert np.allclose(open_backbone(f"videomae:{tmp_path / 'my weights'}")(picked), vector, atol=1e-5)


def test_weights_from_a_file_and_names_that_are_no_model(tmp_path: Path) -> None:
    require("torch", "torchvision", "timm")
    import torch
    from torchvision.models import video

    torch.manual_seed(5)
    torch.save(video.r3d_18(weights=None).state_dict(), tmp_path / "r3d.pt")
    trained = open_backbone("torchvision:r3d_18", tmp_path / "r3d.pt")(FRAMES)
    assert not np.allclose(trained, open_backbone("torchvision:r3d_18")(FRAMES), atol=1e-4)
    with pytest.raises(SystemExit, match="there is no such video model"):
        open_backbone("torchvision:nothing")
    with pytest.raises(SystemExit, match=r"--backbone timm:nothing: Unknown model"):
        open_backbone("timm:nothing")
