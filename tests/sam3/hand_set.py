"""Weights set by hand that make a tiny SAM3 find and track coloured things, without any training.

Detector: one query per colour (red, green, blue). A token of the image carries its mean colour, a word the colours it
means ("cow" all three, "calf" and "blue" the third); a query fires where its colour is seen and meant, and the mask
head outlines the pixels of that colour.
Tracker: memory holds colour, brightness and the mask's sign for every token; attention looks for the same colour near
the same place and copies the sign, so a mask really goes through SAM3's memory from frame to frame.

Everything lies in ordinary parameters: the checkpoint is saved and loaded like any other. Channels by number:
0-2 colour against the others, 3-5 its negative, 6 and 7 constants that keep LayerNorm steady, 8 brightness.
"""

from __future__ import annotations

from typing import Any

MEANS = {
    "cow": (1, 1, 1),
    "red": (1, -1, -1),
    "green": (-1, 1, -1),
    "blue": (-1, -1, 1),
    "calf": (-1, -1, 1),
}
STEADY, BRIGHT = 6, 8
SIGN, KEPT = 3, 4  # channels of the tracker's memory: the mask's sign, the brightness
PICTURE, WRITTEN = 8, 10  # channels of the memory encoder: brightness, the mask
BELIEF = 20  # channel in which memory attention writes what the mask was


def install(model: Any, words: Any) -> None:
    """Set all weights of a `Sam3VideoModel` of the sizes in `tiny.py`; in place."""
    import torch

    with torch.no_grad():
        _image(model)
        _text(model.detector_model, words)
        _queries(model.detector_model.detr_encoder, model.detector_model.detr_decoder)
        _score(model.detector_model.dot_product_scoring)
        _outline(model.detector_model.mask_decoder, model.detector_model.detr_decoder.query_embed.weight.shape[1])
        _remember(model.tracker_model)
        _recall(model.tracker_model)
        _draw(model.tracker_model)


def _zero(*parts: Any) -> None:
    for part in parts:
        for weight in part.parameters() if hasattr(part, "parameters") else (part,):
            weight.zero_()


def _image(model: Any) -> None:
    """A token is the mean colour of its patch; the layers behind pass it on unchanged."""
    vit = model.detector_model.vision_encoder.backbone
    _zero(vit.embeddings)
    kernel = vit.embeddings.patch_embeddings.projection.weight
    mean = 1.0 / (kernel.shape[2] * kernel.shape[3])
    for colour in range(3):
        kernel[colour, colour] = mean
        kernel[3 + colour, colour] = -mean
    position = vit.embeddings.position_embeddings
    position[..., STEADY], position[..., STEADY + 1] = 3.0, -3.0
    for layer in vit.layers:
        _zero(layer.attention.o_proj, layer.mlp.fc2)
    for neck in (model.detector_model.vision_encoder.neck, model.tracker_neck):
        for level in neck.fpn_layers:
            if level.scale_factor != 0.5:
                _level(level)


def _level(level: Any) -> None:
    """One resolution of the feature pyramid: colour against the mean of the other two, and brightness.

    The finest level has a GELU before it, which a channel and its negative together undo.
    """
    import torch

    for part in level.scale_layers:
        if isinstance(part, torch.nn.ConvTranspose2d):
            _zero(part)
            for channel in range(min(8, part.out_channels)):
                part.weight[channel, channel] = 1.0
    _zero(level.proj1, level.proj2)
    into = level.proj1.weight[:, :, 0, 0]
    folded = level.scale_factor == 4.0
    for seen in range(3):
        for colour in range(3):
            share = 1.0 if colour == seen else -0.5
            for first, sign in ((0, 1.0), (3, -1.0)):
                into[first + colour, seen] = sign * share
                if folded:
                    into[first + colour, 3 + seen] = -sign * share
        into[BRIGHT, seen] = 1 / 3
        if folded:
            into[BRIGHT, 3 + seen] = -1 / 3
    for channel in (0, 1, 2, 3, 4, 5, BRIGHT):
        level.proj2.weight[channel, channel, 1, 1] = 1.0
    level.proj2.bias[STEADY], level.proj2.bias[STEADY + 1] = 5.0, -5.0


def _text(detector: Any, words: Any) -> None:
    """A word is the colours it means, +1 or -1 each; a word of no colour is -1 in all."""
    import torch

    encoder = getattr(detector.text_encoder, "text_model", detector.text_encoder)
    _zero(encoder.embeddings, detector.text_projection)
    table = encoder.embeddings.token_embedding.weight
    for number in set(range(len(words))) - {words.bos_token_id, words.eos_token_id}:
        word = words.convert_ids_to_tokens(number).removesuffix("</w>")
        meant = torch.tensor(MEANS.get(word, (-1, -1, -1)), dtype=table.dtype)
        table[number, 0:3], table[number, 3:6] = meant, -meant
    for layer in encoder.encoder.layers:
        _zero(layer.self_attn.out_proj, layer.mlp.fc2)
    for channel in range(6):
        detector.text_projection.weight[channel, channel] = 1.0


def _queries(encoder: Any, decoder: Any) -> None:
    """Query k attends to the token with most of colour k and keeps, in channel 50 + k, how much more than 1 it has."""
    for layer in encoder.layers:
        _zero(layer.self_attn.o_proj, layer.cross_attn.o_proj, layer.mlp.fc2)
    last = decoder.presence_head.layer3
    _zero(decoder.ref_point_head.layer2, decoder.box_rpb_embed_x.layer2, decoder.box_rpb_embed_y.layer2, last)
    last.bias.fill_(10.0)  # something is present
    _zero(decoder.query_embed)
    layer = decoder.layers[0]
    look, think = layer.vision_cross_attn, layer.mlp
    _zero(layer.self_attn.o_proj, layer.text_cross_attn.o_proj, think.fc1, think.fc2)
    _zero(look.q_proj, look.k_proj, look.v_proj, look.o_proj)
    for colour in range(3):
        decoder.query_embed.weight[colour, colour] = 10.0
        look.q_proj.weight[colour, colour] = 20.0
        look.k_proj.weight[colour, colour] = look.v_proj.weight[colour, colour] = 1.0
        look.o_proj.weight[40 + colour, colour] = 1.0
        think.fc1.weight[colour, 40 + colour], think.fc1.bias[colour] = 1.0, -1.0
        think.fc2.weight[50 + colour, colour] = 5.0


def _score(scoring: Any) -> None:
    """Score = 9 x seen x meant - 6."""
    _zero(scoring.text_mlp.layer2, scoring.text_proj, scoring.query_proj)
    for colour in range(3):
        scoring.text_proj.weight[colour, colour] = 1.0
        scoring.query_proj.weight[colour, 50 + colour] = 9.0 / scoring.scale
    scoring.text_proj.bias[3] = 1.0
    scoring.query_proj.bias[3] = -6.0 / scoring.scale


def _outline(decoder: Any, width: int) -> None:
    """Mask logit of query k at a pixel = 2 x its colour k - 4."""
    pixels, embed = decoder.pixel_decoder, decoder.mask_embedder
    _zero(decoder.prompt_cross_attn.o_proj, *pixels.conv_layers, decoder.instance_projection, *embed.layers)
    _zero(pixels.norms[0])
    last, group = pixels.conv_layers[1], width // 8  # one GroupNorm group per colour: colour, negative, 1, -1
    for colour in range(3):
        start = colour * group
        last.weight[start, colour, 1, 1] = last.weight[start + 1, 3 + colour, 1, 1] = 1.0
        last.bias[start + 2], last.bias[start + 3] = 1.0, -1.0
        decoder.instance_projection.weight[colour, start, 0, 0] = 1.0
        embed.layers[0].weight[colour, colour] = embed.layers[1].weight[colour, colour] = 1.0
        embed.layers[2].weight[colour, colour] = 2.0 / (width - 1) ** 0.5  # a one-hot query's height after LayerNorm
    decoder.instance_projection.bias[3] = 1.0
    embed.layers[2].bias[3] = -4.0


def _remember(follower: Any) -> None:
    """Memory of a token = 10 x colour, the mask's sign there, 10 x brightness."""
    encoder = follower.memory_encoder
    for n, layer in enumerate(encoder.mask_downsampler.layers):
        _zero(layer.conv)
        for out, sign in ((0, 1 / 9), (1, -1 / 9)):
            layer.conv.weight[out, 0] = sign
            if n:
                layer.conv.weight[out, 1] = -sign
    written = encoder.mask_downsampler.final_conv
    _zero(written, encoder.feature_projection, encoder.projection)
    written.weight[WRITTEN, 0], written.weight[WRITTEN, 1] = 1.0, -1.0
    for channel, into in ((0, 0), (1, 1), (2, 2), (PICTURE, KEPT)):
        encoder.feature_projection.weight[channel, channel] = 1.0
        encoder.projection.weight[into, channel] = 10.0
    encoder.projection.weight[SIGN, WRITTEN] = 1.0
    for layer in encoder.memory_fuser.layers:
        _zero(layer.scale)
    _zero(follower.no_memory_embedding, follower.memory_temporal_positional_encoding, follower.no_object_pointer)
    _zero(follower.occlusion_spatial_embedding_parameter, follower.object_pointer_proj.proj_out)
    _zero(follower.temporal_positional_encoding_projection_layer)


def _recall(follower: Any) -> None:
    """Attention over memory: the same colour and brightness, near the same place; what it copies is the mask's sign.

    Rotary position encoding turns pairs of channels by the place, slowly for the last pairs of each half: those carry
    colour, which must match anywhere near; constants in the middle pairs make far places match less.
    """
    for layer in follower.memory_attention.layers:
        _zero(layer.self_attn.o_proj, layer.linear2)
        look = layer.cross_attn_image
        _zero(look.q_proj, look.k_proj, look.v_proj, look.o_proj)
        half = look.q_proj.out_features // 2
        for colour in range(3):
            at = half - 16 + 2 * colour
            look.q_proj.weight[at, colour], look.k_proj.weight[at, colour] = 2.5, 1.0
        look.q_proj.bias[half - 10], look.k_proj.weight[half - 10, KEPT] = 1.0, -12.0  # dark must not match bright
        for axis in (0, half):
            for pair in range(2, 6):
                look.q_proj.bias[axis + 2 * pair] = look.k_proj.bias[axis + 2 * pair] = 3.0
        look.v_proj.weight[0, SIGN] = 1.0
        look.o_proj.weight[BELIEF, 0] = 3.0


def _draw(follower: Any) -> None:
    """Mask logit = 8 x belief, and the object is always there."""
    decoder = follower.mask_decoder
    for layer in decoder.transformer.layers:
        _zero(layer.self_attn.o_proj, layer.cross_attn_token_to_image.o_proj)
        _zero(layer.cross_attn_image_to_token.o_proj, layer.mlp.proj_out)
    _zero(decoder.transformer.final_attn_token_to_image.o_proj, decoder.conv_s0, decoder.conv_s1)
    first, second = decoder.upscale_conv1, decoder.upscale_conv2
    _zero(first, second, decoder.pred_obj_score_head.proj_out, follower.prompt_encoder.no_mask_embed)
    for channel, sign in ((0, 1.0), (1, -1.0)):
        first.weight[BELIEF, channel] = sign
        first.bias[2 + channel] = sign
        second.weight[channel, 0], second.weight[channel, 1] = sign, -sign
    for head in decoder.output_hypernetworks_mlps:
        _zero(head.proj_out)
        head.proj_out.bias[0], head.proj_out.bias[1] = 8.0, -8.0
    decoder.pred_obj_score_head.proj_out.bias.fill_(10.0)
