"""The README's training loop, run as it stands there: on a dataset of tiny crops, with a tiny VideoMAE."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.dataset_fixture import make_dataset

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

README = (Path(__file__).parents[2] / "README.md").read_text()
SIDE = 32


def test_the_training_loop_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", README, re.S) if "VideoMAE" in block]
    assert '"/data/cows"' in code
    make_dataset(tmp_path, size=SIDE)
    made: list[Any] = []

    def tiny(name: str, num_labels: int) -> Any:
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        config = transformers.VideoMAEConfig(image_size=SIDE, num_labels=num_labels, **sizes)
        made.append(transformers.VideoMAEForVideoClassification(config))
        return made[0]

    monkeypatch.setattr(transformers.VideoMAEForVideoClassification, "from_pretrained", tiny)
    ran: dict[str, Any] = {}
    exec(code.replace('"/data/cows"', repr(str(tmp_path))), ran)
    assert ran["clips"].shape[1:] == (16, 3, SIDE, SIDE) and ran["clips"].dtype == torch.float32
    assert made[0].config.num_labels == len(ran["crops"].classes) == 2
    steps = {int(state["step"]) for state in ran["optimizer"].state.values()}
    assert steps == {-(-len(ran["crops"]) // 8)}, "one for every batch"
