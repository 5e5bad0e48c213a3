"""The API of corrections as described: its examples run, and whatever else is sent is answered cleanly."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import booleans
from schemathesis import GenerationMode

from pipeline.corrections import Corrections
from tests.studio.serving import Served, serving
from tests.studio.test_correct import built, out, windows
from tests.studio.test_openapi import CHECKS, FUZZ, examples, operations

__all__ = ["built", "out"]  # fixtures
PREFIXES = ("/dataset/windows", "/dataset/apply")


@pytest.fixture
def studio(out: Path) -> Iterator[Served]:
    with serving(out.parent / "studio", dataset=out) as served:
        yield served


def ours(described: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [each for each in operations(described) if each[0].startswith(PREFIXES)]


def ended(studio: Served) -> str:
    until = time.monotonic() + 120
    while (state := studio.ask("GET", "/dataset/apply")["state"]) == "running":
        assert time.monotonic() < until
        time.sleep(0.1)
    return str(state)


def test_every_example_runs(studio: Served) -> None:
    described = studio.ask("GET", "/openapi.json")
    window, ran = windows(studio)[1]["window"], Counter[str]()
    for path, method, operation in ours(described):
        assert operation["description"] and operation["summary"], (method, path)
        assert {"404", "422", "500"} <= set(operation["responses"]), (method, path)
        if method == "post" and "apply" not in path:
            for body in examples(described, operation):
                status = 201 if path.endswith("corrections") else 200
                studio.ask("POST", path.format(window=window), status, json=body)
                ran[path.rsplit("/", 1)[1]] += 1
    assert ran == {"corrections": 4, "preview": 2}


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.name)
def test_whatever_is_sent_is_answered_cleanly(mode: GenerationMode, studio: Served, out: Path) -> None:
    described = schemathesis.openapi.from_url(f"{studio.address}/openapi.json")
    line, counts = windows(studio)[1], Counter[str]()
    crop = studio.ask("GET", f"/dataset/windows/{line['window']}")["crops"][0]["sample_id"]
    known = {"window": line["window"], "sample": crop, "idx": 3}

    def sent(case: Any, real: bool) -> None:
        if real and mode == GenerationMode.POSITIVE:
            for name in known.keys() & (case.path_parameters or {}).keys():
                case.path_parameters[name] = known[name]
            if isinstance(case.body, dict) and "frame" in case.body:
                case.body["frame"] = 20
        if case.path.endswith("/events"):
            case.query = {"follow": False}
        answer = case.call_and_validate(checks=CHECKS)
        assert b"Traceback" not in answer.content and b'File "/' not in answer.content
        counts[case.operation.label] += 1

    for each in described.get_all_operations():
        operation = each.ok()
        if not operation.path.startswith(PREFIXES) or (operation.method, operation.path) == ("post", "/dataset/apply"):
            continue
        try:
            cases = operation.as_strategy(generation_mode=mode)
            settings(FUZZ)(given(case=cases, real=booleans())(sent))()
        except Unsatisfiable:  # an operation that takes nothing has no wrong input
            assert mode == GenerationMode.NEGATIVE
    assert counts["POST /dataset/windows/{window}/corrections"] >= 15 and sum(counts.values()) > 60
    path = out / "corrections" / "barn.mp4.json"
    assert not path.exists() or Corrections.load(path)
    assert studio.ask("GET", "/health")["status"] == "ok" and ended(studio) == "idle"
