"""The official sam3 package on the CPU, small and untrained, for tests only.

The package allocates on "cuda" wherever it is. `on_cpu` turns every such request into one for the CPU, half precision
into float32, and leaves the rest of torch as it is; `small` makes the builders make a network of 53 million parameters
instead of 860. Nothing on disk is changed, and all of it is undone at the end.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

PIXELS, CELLS = 224, 16
TOP = 3  # queries of the first frame that become objects: untrained scores say nothing


@contextmanager
def on_cpu() -> Iterator[None]:
    """While entered, torch's CUDA requests of this thread go to the CPU."""
    import torch
    from torch.overrides import TorchFunctionMode

    half = (torch.float16, torch.bfloat16)

    def here(value: Any) -> Any:
        if isinstance(value, str) and value.partition(":")[0] == "cuda":
            return "cpu"
        if isinstance(value, torch.device) and value.type == "cuda":
            return torch.device("cpu")
        return torch.float32 if isinstance(value, torch.dtype) and value in half else value

    class Redirect(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func in (torch.Tensor.cuda, torch.Tensor.pin_memory):
                return args[0]
            if func is torch.Tensor.half:
                return args[0].float()
            return func(*map(here, args), **{name: here(value) for name, value in (kwargs or {}).items()})

    with Redirect():
        yield


@contextmanager
def small(device: str = "cpu") -> Iterator[None]:
    """While entered, sam3's builders make a small network, on the CPU or another device, that downloads nothing."""
    import sam3.model_builder as builder
    import sam3.perflib.connected_components as regions
    from sam3.model.text_encoder_ve import VETextEncoder
    from sam3.model.tokenizer_ve import SimpleTokenizer
    from sam3.model.vitdet import ViT

    source = inspect.getsource(builder)
    for large, little in (
        ("resolution=1008", f"resolution={PIXELS}"),
        ("image_size=1008", f"image_size={PIXELS}"),
        ("[1152, 1152]", f"[{16 * CELLS}, {16 * CELLS}]"),
        ("feat_sizes=[72, 72]", f"feat_sizes=[{CELLS}, {CELLS}]"),
    ):
        assert large in source, f"sam3's builder changed: {large} is gone"
        source = source.replace(large, little)
    made: dict[str, Any] = dict(vars(builder))
    exec(compile(source, builder.__file__, "exec"), made)

    def image_encoder(compile_mode: str | None = None) -> Any:
        return ViT(
            img_size=PIXELS,
            pretrain_img_size=PIXELS,
            patch_size=14,
            embed_dim=64,
            depth=2,
            num_heads=4,
            mlp_ratio=2,
            norm_layer="LayerNorm",
            drop_path_rate=0.0,
            qkv_bias=True,
            use_abs_pos=True,
            tile_abs_pos=True,
            global_att_blocks=(1,),
            rel_pos_blocks=(),
            use_rope=True,
            use_interp_rope=True,
            window_size=8,
            pretrain_use_cls_token=True,
            retain_cls_token=False,
            ln_pre=True,
            ln_post=False,
            return_interm_layers=False,
            bias_patch_embed=False,
        )

    def text_encoder(words: str) -> Any:
        return VETextEncoder(tokenizer=SimpleTokenizer(bpe_path=words), d_model=256, width=64, heads=4, layers=1)

    made["_create_vit_backbone"], made["_create_text_encoder"] = image_encoder, text_encoder
    build, label = made["build_sam3_video_model"], regions.connected_components

    def build_here(**options: Any) -> Any:
        return build(**{**options, "device": device, "load_from_HF": False})

    def label_some(masks: Any) -> Any:  # the CPU version cannot label no mask
        return label(masks) if len(masks) else (masks.long(), masks.long())

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(builder, "build_sam3_video_model", build_here))
        stack.enter_context(mock.patch.object(regions, "connected_components", label_some))
        yield


def checkpoint(folder: Path, words: Path) -> Path:
    """Write untrained weights as the package's own .pt file."""
    import sam3.model_builder as builder
    import torch

    torch.manual_seed(0)
    with on_cpu(), small():
        model = builder.build_sam3_video_model(bpe_path=str(words))
        for name, weight in model.named_parameters():
            if name.endswith(("positional_embedding", "text_projection")):  # allocated, and never filled
                torch.nn.init.normal_(weight.data, std=0.02)
    file = folder / "sam3.pt"
    torch.save({"model": model.state_dict()}, file)
    return file


def fire(model: Any) -> None:
    """Let an untrained model find something: the best queries of the first frame, and nothing later."""
    model.score_threshold_detection, model.new_det_thresh, model.det_nms_thresh = 0.0, 2.0, 1.1
    model.max_num_objects = TOP
    model.hotstart_delay = 0
