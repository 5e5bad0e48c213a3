"""The resident tracker: a large model is loaded once for equal options, anything lighter is made anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import pytest

from pipeline.stages.tracking import enter, leave


class Light:
    """A tracker that counts how often it is entered and left."""

    alive = 0

    def __enter__(self) -> Self:
        type(self).alive += 1
        return self

    def __exit__(self, *exc: object) -> None:
        type(self).alive -= 1


class Large(Light):
    """One with what `sam.memory.ModelTracker` asks for."""

    alive = 0
    release = "window"
    degraded = False
    found_by: dict[int, str] = {}  # noqa: RUF012 - a protocol's attribute

    def track_smaller(self, frames: Any, prompts: Any) -> Iterator[Any]:
        yield from ()

    def keep(self, frames: Any, last: int | None = None) -> None:
        pass


@dataclass
class Options:
    """threshold: makes options that differ."""

    kind: type[Light]
    threshold: float = 0.5

    def build(self) -> Any:
        return self.kind()


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    leave()
    yield
    leave()
    assert Light.alive == Large.alive == 0


def test_a_large_model_stays_for_equal_options() -> None:
    first = enter(Options(Large))
    assert enter(Options(Large)) is first and Large.alive == 1
    assert enter(Options(Large, 0.6)) is not first and Large.alive == 1, "the other one was left"


def test_anything_lighter_is_made_anew() -> None:
    first = enter(Options(Light))
    assert enter(Options(Light)) is not first and Light.alive == 1


def test_leaving_frees_it() -> None:
    enter(Options(Large))
    leave()
    assert Large.alive == 0
