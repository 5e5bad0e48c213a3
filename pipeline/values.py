"""Values of the config that have more than one form, turned into one and checked: all raise ConfigError."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.errors import ConfigError
from pipeline.exports.export import exports
from pipeline.prompts_file import texts_of
from sam.errors import WrongPrompt
from sam.prompts import phrases_in


def texts(key: str, value: Any) -> tuple[str, ...]:
    """A scalar or a list of texts, as a tuple."""
    if value is None:
        return ()
    values = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(v, str | int | float) for v in values):
        raise ConfigError(f"{key} must be a text or a list of texts, got {value!r}")
    return tuple(str(v) for v in values)


def prompts(value: Any, one_phrase: bool) -> tuple[str, ...]:
    """What to track, as the tracker is asked for it; one_phrase: see `pipeline.prompts_file.texts_of`."""
    given = texts("prompt", value)
    if any(not text.strip() for text in given):
        raise ConfigError(f"prompt must not be empty, got {value!r}")
    try:
        asked = tuple(prompt for text in given for prompt in texts_of(text, one_phrase))
        phrases = [phrase for text in given for phrase in set(phrases_in(text))]
    except WrongPrompt as error:
        raise ConfigError(str(error)) from error
    repeated = sorted({phrase for phrase in phrases if phrases.count(phrase) > 1})
    if repeated:
        raise ConfigError(f"prompt names {', '.join(repeated)} more than once: {value!r}")
    return asked


def exports_named(value: Any) -> tuple[str, ...]:
    """Names of exports."""
    names = texts("exports", value)
    for name in names:
        one_of("exports", name, tuple(exports()))
    return names


def hours(value: Any) -> tuple[float, float] | None:
    """Two hours of the day, 0 to 24."""
    if value is None:
        return None
    numbers = value if isinstance(value, list | tuple) else [value]
    if len(numbers) != 2 or not all(isinstance(h, int | float) and 0 <= h <= 24 for h in numbers):
        raise ConfigError(f"select.hours must be two hours of the day such as [6,18], got {value!r}")
    if numbers[0] == numbers[1]:
        raise ConfigError(f"select.hours must span some time, got {value!r}")
    return float(numbers[0]), float(numbers[1])


def one_of(key: str, value: str, choices: Sequence[str]) -> str:
    """The value, if it is one of the choices."""
    if value not in choices:
        raise ConfigError(f"{key} must be one of {', '.join(choices)}, got {value!r}")
    return value
