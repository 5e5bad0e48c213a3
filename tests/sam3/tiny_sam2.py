"""A SAM2 or EdgeTAM video checkpoint small enough for a test: the real architecture with 1.2 million random weights.

Its masks mean nothing, but every prompt, every frame of memory and every click changes them, so that what the trackers
do with prompts can be compared to the bit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

PIXELS = 128
WIDTH = 128  # of everything behind the encoder; the pointers need more than the memory's 64 channels
STAGES = (12, 24, 48, 96)  # channels of the image encoder
SPREAD = 3.0  # how much larger than at the start of training: prompts and memory must show in the masks


def config() -> Any:
    from transformers import Sam2VideoConfig

    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": STAGES[0],
        "embed_dim_per_stage": list(STAGES),
        "num_attention_heads_per_stage": [1, 2, 4, 8],
        "blocks_per_stage": [1, 1, 2, 1],
        "window_size_per_stage": [8, 4, 4, 2],
        "global_attention_blocks": [3],
        "image_size": [PIXELS, PIXELS],
        "window_positional_embedding_background_size": [4, 4],
    }
    return Sam2VideoConfig(
        vision_config={
            "model_type": "sam2_vision_model",
            "backbone_config": backbone,
            "backbone_channel_list": list(reversed(STAGES)),
            "backbone_feature_sizes": [[PIXELS // 4] * 2, [PIXELS // 8] * 2, [PIXELS // 16] * 2],
            "fpn_hidden_size": WIDTH,
        },
        prompt_encoder_config={
            "hidden_size": WIDTH,
            "image_size": PIXELS,
            "patch_size": 16,
            "mask_input_channels": 16,
        },
        mask_decoder_config={
            "hidden_size": WIDTH,
            "mlp_dim": 64,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 32,
        },
        image_size=PIXELS,
        memory_attention_hidden_size=WIDTH,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=64,
        memory_attention_rope_feat_sizes=[PIXELS // 16] * 2,
        memory_encoder_hidden_size=WIDTH,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=WIDTH,
        memory_fuser_embed_dim=WIDTH,
        memory_fuser_intermediate_dim=64,
        memory_fuser_num_layers=1,
    )


def edgetam() -> Any:
    """EdgeTAM's config around the same encoder: what it remembers is squeezed into 32 tokens."""
    from transformers import EdgeTamVideoConfig

    shared = {
        key: value
        for key, value in config().to_dict().items()
        if key in ("vision_config", "image_size", "mask_downsampler_embed_dim")
        or key.startswith(("memory_encoder", "memory_fuser", "memory_attention_num", "memory_attention_hidden"))
    }
    for part in ("prompt_encoder_config", "mask_decoder_config"):
        shared[part] = {key: value for key, value in config().to_dict()[part].items() if key != "model_type"}
    return EdgeTamVideoConfig(
        **shared,
        memory_attention_mlp_hidden_size=64,
        memory_attention_rope_feat_sizes=[PIXELS // 16] * 2,
        memory_attention_rope_k_sizes=[4, 4],
        perceiver_resampler_num_latents=16,
        perceiver_resampler_num_latents_2d=16,
        perceiver_resampler_mlp_intermediate_size=64,
    )


def build(folder: Path, edge: bool = False) -> Path:
    """Write the checkpoint and its processor into `folder`; the same bytes every time. edge: EdgeTAM instead."""
    import torch
    from transformers import (
        EdgeTamVideoModel,
        Sam2ImageProcessor,
        Sam2VideoModel,
        Sam2VideoProcessor,
        Sam2VideoVideoProcessor,
    )

    torch.manual_seed(0)
    model = (EdgeTamVideoModel(edgetam()) if edge else Sam2VideoModel(config())).eval()
    with torch.no_grad():
        model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(5.0)  # the object is there
        for name, weight in model.named_parameters():
            if weight.dim() > 1 or "embed" in name or "encoding" in name:
                weight.mul_(SPREAD)
    model.save_pretrained(folder)
    size = {"height": PIXELS, "width": PIXELS}
    Sam2VideoProcessor(
        image_processor=Sam2ImageProcessor(size=size),
        video_processor=Sam2VideoVideoProcessor(size=size),
        target_size=PIXELS,
    ).save_pretrained(folder)
    return folder
