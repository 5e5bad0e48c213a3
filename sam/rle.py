"""COCO's compressed run-length code, read without trust: pycocotools believes what it is given, whatever it covers."""

from __future__ import annotations


def runs(counts: bytes) -> list[int]:
    """The run lengths of a code, background first: 5 bits a character, from the third run on the difference to the run
    before the last. Raises ValueError for what is no such code.
    """
    found: list[int] = []
    value = shift = 0
    for character in counts:
        bits = character - 48
        if not 0 <= bits < 64 or shift > 30:
            raise ValueError("it is no compressed COCO run-length code")
        value, shift = value | (bits & 31) << shift, shift + 5
        if not bits & 32:
            value -= (bits & 16) >> 4 << shift  # the sign
            found.append(value + (found[-2] if len(found) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("it is a compressed COCO run-length code that ends in the middle of a number")
    return found


def check_cover(lengths: list[int], width: int, height: int) -> None:
    """Raise ValueError unless the runs cover a plane of this size, no more and no less."""
    if sum(lengths) != width * height or min(lengths, default=0) < 0:
        raise ValueError(f"its runs cover {sum(lengths)} pixels, not {width * height}")
