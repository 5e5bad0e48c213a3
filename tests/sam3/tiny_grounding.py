"""A GroundingDINO checkpoint small enough for a test: the real architecture with random weights and a few words.

Its boxes mean nothing, but differ with the picture and with every word, so that what is read out of it can be compared
with the library's own reading.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", "a", "cow", "calf", "red", "black", "ko", "##ala")
QUERIES = 20
LONGEST = 32  # tokens of a text
SPREAD = 2.0  # how much larger than at the start of training: words and pictures must show in the scores


def config() -> Any:
    from transformers import GroundingDinoConfig

    backbone = {
        "model_type": "swin",
        "image_size": 64,
        "embed_dim": 12,
        "depths": [1, 1, 1, 1],
        "num_heads": [1, 1, 2, 2],
        "window_size": 2,
        "out_indices": [2, 3, 4],
    }
    words = {
        "model_type": "bert",
        "vocab_size": len(WORDS),
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 37,
        "max_position_embeddings": 64,
        "pad_token_id": 0,
    }
    return GroundingDinoConfig(
        backbone_config=backbone,
        text_config=words,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_queries=QUERIES,
        max_text_len=LONGEST,
    )


def build(folder: Path) -> Path:
    """Write the checkpoint and its processor into `folder`; the same bytes every time."""
    import torch
    from transformers import (
        BertTokenizer,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
    )

    torch.manual_seed(0)
    model = GroundingDinoForObjectDetection(config()).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(SPREAD)
    model.save_pretrained(folder)
    pictures = GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(WORDS)})
    GroundingDinoProcessor(pictures, tokenizer).save_pretrained(folder)
    return folder
