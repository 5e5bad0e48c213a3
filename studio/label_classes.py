"""The classes of the label page and their keys: kept in the dataset, from `studio.classes` until they are changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from pipeline.errors import ConfigError, DatasetError
from pipeline.layout import Layout
from pipeline.writing import write_bytes

KEYS = "1234567890qwertyupdhjkl"  # in the order they are given; other keys do something on the page
LONGEST = 200
MOST = 200
PLAIN = f"a class is 1 to {LONGEST} printed characters without spaces around it"


@dataclass(frozen=True, slots=True)
class LabelClass:
    """A class and the key that gives it; None for one that is clicked."""

    name: str
    key: str | None = None


def checked(classes: Sequence[LabelClass]) -> list[LabelClass]:
    """The same classes if they can be used. Raises ValueError that says what is wrong."""
    if len(classes) > MOST:
        raise ValueError(f"at most {MOST} classes, got {len(classes)}")
    names, keys = [c.name for c in classes], [c.key for c in classes if c.key is not None]
    for name in names:
        if not plain(name):
            raise ValueError(
                f"a class is 1 to {LONGEST} printed characters without spaces around it, got {name[:80]!r}"
            )
    for what, given in (("class", names), ("key", keys)):
        if double := next((x for n, x in enumerate(given) if x in given[:n]), None):
            raise ValueError(f"the {what} {double!r} is given twice")
    for key in keys:
        if len(key) != 1 or key not in KEYS:
            raise ValueError(f"a class can have one of the keys {' '.join(KEYS)}, got {key!r}")
    return list(classes)


def plain(name: str) -> bool:
    """Whether a name can be a class: it is printed, has no spaces around it, and is not too long."""
    return bool(name) and name == name.strip() and len(name) <= LONGEST and name.isprintable()


def with_keys(names: Iterable[str], there: Sequence[LabelClass] = ()) -> list[LabelClass]:
    """The classes that are there, and more with the next free keys."""
    made = list(there)
    for name in names:
        if name not in [c.name for c in made]:
            used = {c.key for c in made}
            made.append(LabelClass(name, next((key for key in KEYS if key not in used), None)))
    return made


def from_config(given: Any) -> list[LabelClass]:
    """`studio.classes`: a list of names. Raises ConfigError."""
    names = [str(name) for name in given] if isinstance(given, list | tuple) else [str(given)] if given else []
    if len(set(names)) < len(names):
        raise ConfigError(f"studio.classes={names} names a class twice")
    try:
        return checked(with_keys(names))
    except ValueError as error:
        raise ConfigError(f"studio.classes: {error}") from error


def read_classes(layout: Layout, given: Any, used: Sequence[str]) -> list[LabelClass]:
    """The classes chosen on the page, or those of the config; and those that labels have (`used`). Raises
    DatasetError, ConfigError."""
    try:
        raw = orjson.loads(layout.label_classes.read_bytes())
        chosen = checked([LabelClass(str(each["name"]), each["key"]) for each in raw])
    except FileNotFoundError:
        chosen = from_config(given)
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{layout.label_classes} cannot be used ({error}): correct it, or remove it") from error
    return with_keys((name for name in used if plain(name)), chosen)


def write_classes(layout: Layout, classes: Sequence[LabelClass]) -> None:
    """Keep classes in the dataset. Raises DiskError."""
    write_bytes(layout.label_classes, orjson.dumps([asdict(c) for c in classes], option=orjson.OPT_INDENT_2))
