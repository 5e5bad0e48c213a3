"""GroundingDINO through transformers: the boxes of phrases in a picture, with a score of every phrase for every box.

A phrase is scored by its own tokens, whose places in the text are known. The library's post-processing decodes the
tokens above a threshold back into words instead, where phrases run into each other ("koala parrot") or lose a half.
It runs in float32: a picture or a few per window are no burden, and its deformable attention wants it.

Source of the method: S. Liu et al., Grounding DINO, 2023; of the behaviour described here: transformers 5.23.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam.assign import assign, box_iou
from sam.backends import access, preflight, weights
from sam.backends.counting import parameter_bytes
from sam.backends.limits import quiet
from sam.checks import Check
from sam.errors import TrackerUnavailable, WrongPrompt
from sam.memory import is_out_of_memory
from sam.prompts import phrases_in

log = logging.getLogger(__name__)

TINY = "IDEA-Research/grounding-dino-tiny"
BASE = "IDEA-Research/grounding-dino-base"
KINDS = {"grounding-dino": "GroundingDINO"}
FILES = ("*.json", "*.txt", "model*.safetensors")
_ENDS = str.maketrans(".?", "  ")  # the model takes what stands between these for one phrase


@dataclass(frozen=True, slots=True)
class Thresholds:
    """box: what a phrase's strongest token must exceed in a box. text: what the mean of its tokens must exceed there.
    overlap: two objects have boxes with an IoU of at most this."""

    box: float = 0.5
    text: float = 0.3
    overlap: float = 0.9

    def __post_init__(self) -> None:
        for name in ("box", "text", "overlap"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"tracker.{name}_threshold is from 0 to 1, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Candidates:
    """Every box the model proposes in a picture, for n phrases.

    boxes: (m, 4) float64 x0, y0, x1, y1 in the picture's pixels, inside it and never empty. box_scores: (n, m) the
    strongest token of a phrase. text_scores: (n, m) the mean of its tokens. Both from 0 to 1.
    """

    boxes: NDArray[np.float64]
    box_scores: NDArray[np.float64]
    text_scores: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Detection:
    """What was found. box: x0, y0, x1, y1 in the picture's pixels. score: the mean of the phrase's tokens, 0 to 1."""

    phrase: str
    box: tuple[float, float, float, float]
    score: float


def phrases_of(text: str) -> list[str]:
    """The phrases of a prompt, which commas separate, as the model reads them; raises WrongPrompt for an empty one."""
    phrases = [" ".join(part.translate(_ENDS).lower().split()) for part in phrases_in(text)]
    if not all(phrases):
        raise WrongPrompt(f"the prompt {text!r} has an empty phrase: write one thing, or several with commas between")
    return phrases


def choose(phrases: Sequence[str], found: Candidates, thresholds: Thresholds) -> list[Detection]:
    """What the phrases name, the surest first for one phrase, in the order of the phrases for several.

    One phrase is a class: every box of it is an object, near duplicates suppressed. Several ask for one object each, so
    that the total of their scores is the greatest possible (`sam.assign`); a phrase may stay without one.
    """
    allowed = (found.box_scores > thresholds.box) & (found.text_scores > thresholds.text)
    scores = np.where(allowed, found.text_scores, 0.0)
    if len(phrases) == 1:
        pairs = [(0, box) for box in _suppressed(found.boxes, scores[0], thresholds.overlap)]
    else:
        chosen = assign(scores, found.boxes, thresholds.overlap)
        pairs = [(row, box) for row, box in enumerate(chosen) if box is not None]
    return [_detection(phrases[row], found.boxes[box], scores[row, box]) for row, box in pairs]


def _suppressed(boxes: NDArray[np.float64], scores: NDArray[np.float64], overlap: float) -> list[int]:
    """Boxes with a score, the surest first, without those that overlap a surer one by more."""
    kept: list[int] = []
    ious = box_iou(boxes)
    for box in np.argsort(-scores, kind="stable"):
        if scores[box] > 0 and not (ious[box, kept] > overlap).any():
            kept.append(int(box))
    return kept


def _detection(phrase: str, box: NDArray[np.float64], score: float) -> Detection:
    x0, y0, x1, y1 = (float(v) for v in box)
    return Detection(phrase, (x0, y0, x1, y1), float(score))


class Grounder:
    """A loaded GroundingDINO. processor: its image processor and a tokenizer that knows offsets."""

    def __init__(self, model: Any, processor: Any, device: str) -> None:
        self._model = model
        self._processor = processor
        self._device = device
        self.weights = parameter_bytes(model)

    def detect(self, image: NDArray[np.uint8], phrases: Sequence[str]) -> Candidates:
        """The model's boxes in a picture (h, w, 3) uint8 RGB. phrases: as `phrases_of` gives them; equal ones are asked
        once. Raises WrongPrompt when they are more than the model reads."""
        import torch

        different = list(dict.fromkeys(phrases))
        tokens, spans = self._tokens(different)
        height, width = image.shape[:2]
        pixels = self._processor.image_processor(
            images=np.ascontiguousarray(image), input_data_format="channels_last", return_tensors="pt"
        )
        with torch.inference_mode():
            given = {**tokens, **pixels}
            seen = self._model(**{name: tensor.to(self._device) for name, tensor in given.items()})
            probabilities = seen.logits[0].float().sigmoid().cpu().numpy().astype(np.float64)  # (m, tokens)
            centred = seen.pred_boxes[0].float().cpu().numpy().astype(np.float64)
        corners = np.concatenate([centred[:, :2] - centred[:, 2:] / 2, centred[:, :2] + centred[:, 2:] / 2], axis=1)
        boxes = np.clip(corners, 0, 1) * (width, height, width, height)
        whole = (boxes[:, 2] - boxes[:, 0] >= 1) & (boxes[:, 3] - boxes[:, 1] >= 1)
        each = [probabilities[whole][:, spans[phrase]] for phrase in phrases]
        return Candidates(
            boxes[whole], np.stack([p.max(axis=1) for p in each]), np.stack([p.mean(axis=1) for p in each])
        )

    def _tokens(self, phrases: Sequence[str]) -> tuple[dict[str, Any], dict[str, list[int]]]:
        """The text as the model reads it, "cow. red calf.", and the numbers of every phrase's tokens in it."""
        text, ends = "", dict[str, tuple[int, int]]()
        for phrase in phrases:
            ends[phrase] = (len(text), len(text) + len(phrase))
            text += f"{phrase}. "
        read = self._processor.tokenizer(
            text.strip(), return_tensors="pt", return_offsets_mapping=True, return_token_type_ids=True
        )
        places = read.pop("offset_mapping")[0].tolist()
        longest = int(self._model.config.max_text_len)
        if len(places) > longest:
            raise WrongPrompt(
                f"the prompt's {len(phrases)} phrases are {len(places)} tokens and GroundingDINO reads {longest}: ask "
                "for fewer at once"
            )
        spans = {
            phrase: [n for n, (first, last) in enumerate(places) if first < last and start <= first and last <= end]
            for phrase, (start, end) in ends.items()
        }
        unread = [phrase for phrase, numbers in spans.items() if not numbers]
        if unread:
            raise WrongPrompt(f"GroundingDINO reads nothing in the phrase {unread[0]!r}: write it in English words")
        return dict(read), spans


def check_weights(name: str) -> None:
    """Refuse files of the original package; raises ValueError with what to use instead."""
    if Path(name).suffix in (".pt", ".pth", ".py"):
        raise ValueError(
            f"tracker.grounding={name} is of the original GroundingDINO package; this tracker loads the same models "
            f"from {TINY} or {BASE}, or a folder downloaded from there"
        )


def identify(name: str, tracker: str, extra: str) -> str:
    """See `sam.backends.weights.identify`."""
    with _own_key():
        return weights.identify(name, tracker, extra)


def load(name: str, tracker: str, extra: str, device: str) -> Grounder:
    """The model of a repository or folder; raises TrackerUnavailable naming what is missing and the next step."""
    with _own_key():
        folder = fits(weights.locate(name, tracker, extra, FILES), tracker)
        with quiet("transformers"):
            try:
                from transformers import GroundingDinoForObjectDetection, GroundingDinoProcessor

                model = GroundingDinoForObjectDetection.from_pretrained(folder)
                processor = GroundingDinoProcessor.from_pretrained(folder)
                grounder = Grounder(model.float().to(device).eval(), processor, device)
            except Exception as error:
                hint = f"; {smaller(name)}" if is_out_of_memory(error) and smaller(name) else ""
                raise access.unavailable(tracker, f"the weights in {folder} cannot be loaded: {error}{hint}") from error
    log.info("tracker=%s finds boxes with GroundingDINO from %s", tracker, folder)
    return grounder


def fits(folder: Path, tracker: str) -> Path:
    """The folder, if it holds a GroundingDINO that can be loaded; else raises TrackerUnavailable."""
    weights.check_transformers_folder(folder, tracker, KINDS)
    return folder


def checks(name: str, tracker: str, extra: str) -> Iterator[Check]:
    """See `sam.checks.Preflight`: the weights alone."""
    for check in preflight.weights_there(
        name, tracker, extra, ("config.json", "model*.safetensors"), lambda folder: fits(folder, tracker)
    ):
        yield replace(check, name=f"grounding {check.name}", detail=_said(check.detail))


def smaller(name: str) -> str:
    """What to say to someone whose memory does not hold this model; empty if it is the smallest."""
    return "" if name == TINY else f"tracker.grounding={TINY} is the smaller detector"


@contextmanager
def _own_key() -> Iterator[None]:
    """Let messages about weights name the key that these come from."""
    try:
        yield
    except TrackerUnavailable as error:
        raise type(error)(_said(str(error))) from error


def _said(message: str) -> str:
    return message.replace("tracker.weights", "tracker.grounding")
