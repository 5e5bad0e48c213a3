"""The description of the API: complete, its examples run, and whatever else it lets one send is answered cleanly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import booleans
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from sam.backends.motion import MotionConfig
from tests.studio.serving import Served, film, serving

CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]
FUZZ = settings(
    max_examples=25,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
ORDER = ("annotate", "propagate", "refine")  # first, since the others need what these make
LAST = ("delete", "remove", "undo", "cancel")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The video that the seed's examples are about: something at (920, 470), and 101 frames."""
    path = tmp_path_factory.mktemp("large") / "video.mp4"
    return film(path, 101, (1280, 720), [((920, 470), (0, 0)), ((300, 200), (1, 0))])


def operations(description: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    found = [(path, method, each) for path, item in description["paths"].items() for method, each in item.items()]

    def place(operation: tuple[str, str, dict[str, Any]]) -> int:
        name = operation[2]["operationId"]
        early = [n for n, word in enumerate(ORDER) if name.startswith(word)]
        late = [len(ORDER) + 1 + len(LAST) - n for n, word in enumerate(LAST) if name.startswith(word)]
        return (early or late or [len(ORDER)])[0]

    return sorted(found, key=place)


def examples(description: dict[str, Any], operation: dict[str, Any]) -> list[dict[str, Any] | None]:
    """The bodies that an operation shows; [None] for one that takes none."""
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" not in content:
        return [None]
    schema = content["application/json"]["schema"]
    return list(description["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]["examples"])


def test_everything_is_described(studio: Served) -> None:
    description = studio.ask("GET", "/openapi.json")
    seen = {(method.upper(), path) for path, method, _ in operations(description)}
    assert seen == {
        ("GET", "/health"), ("POST", "/upload-video"), ("GET", "/sessions"), ("GET", "/sessions/{session}"),
        ("DELETE", "/sessions/{session}"), ("GET", "/frame/{session}/{idx}"), ("GET", "/overlay/{session}/{idx}"),
        ("POST", "/annotate-frame/{session}"), ("POST", "/refine-mask/{session}"), ("POST", "/propagate/{session}"),
        ("POST", "/prompt-text/{session}"), ("DELETE", "/sessions/{session}/objects/{object_id}"),
        ("POST", "/sessions/{session}/undo"), ("POST", "/sessions/{session}/cancel"),
        ("GET", "/sessions/{session}/events"), ("GET", "/export/{session}"),
    }  # fmt: skip
    for path, method, operation in operations(description):
        assert operation["description"] and operation["summary"], (method, path)
        assert {"422", "500"} <= set(operation["responses"]), (method, path)
        assert examples(description, operation), f"{method} {path} shows no example"


@pytest.mark.slow
def test_every_example_runs(large: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "clicks") as clicks, serving(tmp_path / "texts", MotionConfig().build()) as texts:
        sessions = {clicks.address: clicks.upload(large), texts.address: texts.upload(large)}
        description = clicks.ask("GET", "/openapi.json")
        ran = 0
        for path, method, operation in operations(description):
            studio = texts if operation["operationId"].startswith("prompt_text") else clicks
            named = path.format(session=sessions[studio.address], idx=100, object_id=1)
            query = next((p for p in operation.get("parameters", []) if p["in"] == "query"), None)
            values = query["schema"].get("enum", [False]) if query else [None]
            for body in examples(description, operation):
                for value in values:
                    more: dict[str, Any] = {} if body is None else {"json": body}
                    if query:
                        more["params"] = {query["name"]: value}
                    if path == "/upload-video":
                        more = {"files": {"file": ("video.mp4", large.read_bytes())}}
                    status = 202 if body and body.get("wait") is False else 200
                    studio.ask(method.upper(), named, status, **more)
                    ran += 1
        assert ran >= 22


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory, cows: Path) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("fuzzed"), max_sessions=3) as served:
        yield served


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.name)
def test_whatever_is_sent_is_answered_cleanly(mode: GenerationMode, fuzzed: Served, cows: Path) -> None:
    """What the description allows, and what it does not. Half of the requests are for a session that there is."""
    described = schemathesis.openapi.from_url(f"{fuzzed.address}/openapi.json")
    counts: Counter[str] = Counter()

    def sent(case: Any, real: bool) -> None:
        if real and "session" in (case.path_parameters or {}):
            there = fuzzed.rooms.all()
            case.path_parameters["session"] = there[0].id if there else fuzzed.upload(cows)
        if case.operation.path.endswith("/events"):
            case.query = {"follow": "false"}
        answer = case.call_and_validate(checks=CHECKS)
        assert b"Traceback" not in answer.content and b'File "/' not in answer.content
        assert fuzzed.rooms.model.alive
        counts[case.operation.label] += 1

    for each in described.get_all_operations():
        try:
            cases = each.ok().as_strategy(generation_mode=mode)
            settings(FUZZ)(given(case=cases, real=booleans())(sent))()
        except Unsatisfiable:  # an operation that takes nothing has no wrong input
            assert mode == GenerationMode.NEGATIVE
    assert sum(counts.values()) > 200 and counts["POST /annotate-frame/{session}"] >= 20
