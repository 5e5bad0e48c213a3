"""The dataset's part of the API as described: its examples run, and whatever else is sent is answered cleanly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import booleans
from schemathesis import GenerationMode

from benchmarks.synthetic_dataset import synthetic_dataset
from tests.studio.serving import Served, serving
from tests.studio.test_openapi import CHECKS, FUZZ, examples, operations

OURS = {
    ("GET", "/dataset"), ("POST", "/dataset/samples"), ("POST", "/dataset/counts"), ("POST", "/dataset/labels"),
    ("POST", "/dataset/labels/many"), ("GET", "/dataset/classes"), ("PUT", "/dataset/classes"),
    ("GET", "/dataset/samples/{sample_id}"), ("GET", "/dataset/crops/{sample_id}"),
}  # fmt: skip


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("studio")
    synthetic_dataset(folder / "cows", 40, files=2, individuals=4, side=64)
    with serving(folder / "files", dataset=folder / "cows") as served:
        yield served


def ours(described: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [each for each in operations(described) if (each[1].upper(), each[0]) in OURS]


def a_crop(studio: Served) -> str:
    return str(studio.ask("POST", "/dataset/samples", json={"limit": 1})["samples"][0]["sample_id"])


def test_every_example_runs(studio: Served) -> None:
    described = studio.ask("GET", "/openapi.json")
    assert {(method.upper(), path) for path, method, _ in ours(described)} == OURS
    name, ran = a_crop(studio), 0
    for path, method, operation in ours(described):
        assert operation["description"] and {"422", "500"} <= set(operation["responses"]), path
        shown = examples(described, operation)
        assert shown, f"{method} {path} shows no example"
        for body in shown:
            for part in (body, *((body or {}).get("words", ()))):
                if part and "sample_id" in part:
                    part["sample_id"] = name
            more = {} if body is None else {"json": body}
            studio.ask(method.upper(), path.format(sample_id=name), **more)
            ran += 1
    assert ran >= 12


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.name)
def test_whatever_is_sent_is_answered_cleanly(mode: GenerationMode, studio: Served) -> None:
    described = schemathesis.openapi.from_url(f"{studio.address}/openapi.json")
    name, counts = a_crop(studio), Counter[str]()

    def sent(case: Any, real: bool) -> None:
        if real and "sample_id" in (case.path_parameters or {}):
            case.path_parameters["sample_id"] = name
        if real and isinstance(case.body, dict):
            for part in (case.body, *(case.body.get("words") or ())):
                if isinstance(part, dict) and isinstance(part.get("sample_id"), str):
                    part["sample_id"] = name
        answer = case.call_and_validate(checks=CHECKS)
        assert b"Traceback" not in answer.content and b'File "/' not in answer.content
        counts[case.operation.label] += 1

    for each in described.get_all_operations():
        operation = each.ok()
        if (operation.method.upper(), operation.path) not in OURS:
            continue
        try:
            cases = operation.as_strategy(generation_mode=mode)
            settings(FUZZ)(given(case=cases, real=booleans())(sent))()
        except Unsatisfiable:  # an operation that takes nothing has no wrong input
            assert mode == GenerationMode.NEGATIVE
    assert counts["POST /dataset/labels"] >= 15 and sum(counts.values()) > 90
