"""A SAM3 checkpoint small enough for a test: the real architecture with 4.4 million parameters and no download.

`build` writes a folder that loads like `facebook/sam3`. Its weights are set by hand (see `hand_set.py`), so that it
finds coloured things by the words for them and tracks them through SAM3's own memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

PIXELS, PATCH = 224, 14
CELLS = PIXELS // PATCH  # 16 x 16 image tokens; masks have 4 x as many cells a side
VIT = 32  # width of the image and text encoders
WIDTH = 128  # of everything behind them; the tracker's pointers need more than MEMORY
MEMORY = 64  # channels of the tracker's memory, a literal in the library
QUERIES = 3  # one per colour
WORDS = ("cow", "calf", "dog", "a", "red", "green", "blue")


def alphabet() -> list[str]:
    """The printable stand-ins that byte-level BPE uses for the 256 bytes, in the order of CLIP's vocabulary."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in plain]
    return [chr(byte) for byte in plain] + [chr(256 + n) for n in range(len(rest))]


def merges(words: tuple[str, ...]) -> list[tuple[str, str]]:
    """Byte-pair merges after which every one of the words is a single token."""
    made: list[tuple[str, str]] = []
    for word in words:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        for left, right in list(made):
            at = 0
            while at + 1 < len(parts):
                if (parts[at], parts[at + 1]) == (left, right):
                    parts[at : at + 2] = [left + right]
                at += 1
        while len(parts) > 1:
            made.append((parts[0], parts[1]))
            parts = [parts[0] + parts[1], *parts[2:]]
    return made


def tokenizer() -> Any:
    """CLIP's tokenizer with a vocabulary of bytes and `WORDS`."""
    from transformers import CLIPTokenizer

    letters, pairs = alphabet(), merges(WORDS)
    tokens = [*letters, *(f"{c}</w>" for c in letters), *(a + b for a, b in pairs), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: n for n, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocabulary, merges=pairs, model_max_length=32)


def config(words: Any, encoder: Mapping[str, int] | None = None, **options: Any) -> Any:
    """The video model's config at this size. encoder: another size of the image encoder. options: of the whole."""
    from transformers import Sam3Config, Sam3TrackerVideoConfig, Sam3VideoConfig

    backbone = {
        "model_type": "sam3_vit_model",
        "hidden_size": VIT,
        "intermediate_size": 2 * VIT,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": PIXELS,
        "pretrain_image_size": PIXELS,
        "patch_size": PATCH,
        "window_size": 4,
        "global_attn_indexes": [1],
        **(encoder or {}),
    }
    vision = {
        "model_type": "sam3_vision_model",
        "backbone_config": backbone,
        "fpn_hidden_size": WIDTH,
        "backbone_feature_sizes": [[side, side] for side in (4 * CELLS, 2 * CELLS, CELLS)],
    }
    text = {
        "model_type": "clip_text_model",
        "vocab_size": len(words),
        "hidden_size": VIT,
        "intermediate_size": 2 * VIT,
        "projection_dim": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 32,
        "hidden_act": "gelu",
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
    }
    layers = {"hidden_size": WIDTH, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    detector = Sam3Config(
        vision_config=vision,
        text_config=text,
        geometry_encoder_config=dict(layers),
        detr_encoder_config=dict(layers),
        detr_decoder_config={**layers, "num_queries": QUERIES},
        mask_decoder_config={"hidden_size": WIDTH, "num_attention_heads": 2, "num_upsampling_stages": 3},
    )
    heads = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2}
    follower = Sam3TrackerVideoConfig(
        vision_config=vision,
        prompt_encoder_config={
            "hidden_size": WIDTH,
            "image_size": PIXELS,
            "patch_size": PATCH,
            "mask_input_channels": 16,
        },
        mask_decoder_config={**heads, "mlp_dim": 64, "iou_head_hidden_dim": 32},
        image_size=PIXELS,
        memory_attention_hidden_size=WIDTH,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=64,
        memory_attention_rope_feat_sizes=[CELLS, CELLS],
        memory_encoder_hidden_size=WIDTH,
        memory_encoder_output_channels=MEMORY,
        mask_downsampler_embed_dim=WIDTH,
        memory_fuser_embed_dim=WIDTH,
        memory_fuser_intermediate_dim=64,
        memory_fuser_num_layers=1,
    )
    return Sam3VideoConfig(
        detector_config=detector.to_dict(),
        tracker_config=follower.to_dict(),
        low_res_mask_size=4 * CELLS,
        **options,
    )


def processor(words: Any) -> Any:
    """The processor at this size; pixels are normalised to -1..1 as SAM3's are."""
    from transformers import Sam2VideoVideoProcessor, Sam3ImageProcessor, Sam3VideoProcessor

    scale = {"size": {"height": PIXELS, "width": PIXELS}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    return Sam3VideoProcessor(
        image_processor=Sam3ImageProcessor(**scale),
        video_processor=Sam2VideoVideoProcessor(**scale),
        tokenizer=words,
        target_size=PIXELS,
    )


def build(folder: Path, **options: Any) -> Path:
    """Write the checkpoint and its processor into `folder`; the same bytes every time."""
    import torch
    from transformers import Sam3VideoModel

    from tests.sam3.hand_set import install

    torch.manual_seed(0)
    words = tokenizer()
    model = Sam3VideoModel(config(words, **options)).eval()
    install(model, words)
    model.save_pretrained(folder)
    processor(words).save_pretrained(folder)
    return folder
