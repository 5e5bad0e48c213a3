"""How a value is typed: words that Hydra's grammar reads back as they are, inside words that a POSIX shell does."""

from __future__ import annotations

import re
import shlex
from pathlib import Path


def hydra_word(text: str) -> str:
    """A text as Hydra's grammar reads it whatever it holds. A backslash is literal unless a quote follows."""
    escaped = re.sub(r'(\\*)("|$)', lambda m: m[1] * 2 + m[2].replace('"', '\\"'), text)
    return f'"{escaped}"'


def shell_word(path: Path | str) -> str:
    """A path as it can be typed after `key=`."""
    text = str(path)
    return text if re.fullmatch(r"[A-Za-z0-9_./:-]+", text) else shlex.quote(hydra_word(text))
