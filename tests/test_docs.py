"""The docs name everything a user can type, their links lead somewhere, and the README's promises exist."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.executors.executor import executors
from pipeline.exports.export import exports
from pipeline.filters.filter import filters
from pipeline.index import SAMPLES
from pipeline.schema import Config
from pipeline.task_table import TASKS
from sam.tracker import trackers

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "benchmarks").glob("*.md"))]
USAGE = (ROOT / "docs" / "usage.md").read_text()


def keys(node: Any, prefix: str = "") -> list[str]:
    found = []
    for each in fields(node):
        value = getattr(node, each.name)
        name = prefix + each.name
        found += keys(value, f"{name}.") if is_dataclass(value) else [name]
    return found


@pytest.mark.parametrize("key", [k for k in keys(Config(executor=None)) if not k.endswith(".enabled")])
def test_every_key_is_documented(key: str) -> None:
    assert f"`{key}`" in USAGE


@pytest.mark.parametrize("name", [*TASKS, *trackers(), *filters(), *exports(), *executors()])
def test_every_choice_is_documented(name: str) -> None:
    assert re.search(rf"\b{name}\b", USAGE)


def test_every_preset_is_documented() -> None:
    for preset in (ROOT / "conf").glob("*/*.yaml"):
        assert f"{preset.parent.name}={preset.stem}" in USAGE


def test_every_column_is_documented() -> None:
    page = USAGE[USAGE.index("What `samples.parquet` holds") :]
    assert [name for name in SAMPLES.names if not re.search(rf"\b{name}\b", page)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_commands_in_the_readme_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {t for t in re.findall(r"^make ([a-z]+)", readme, re.MULTILINE)} <= targets
    for task in re.findall(r"task=([a-z]+)", readme):
        assert task in TASKS
    for name in re.findall(r"tracker=([a-z0-9_]+)", readme):
        assert name in trackers()
