"""The masks on disk: what is written comes back, states can be gone back to, and memory holds a few blocks only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sam.types import Mask
from studio.masks import BLOCK, DIRTY, KEPT, MaskBlocks

MASKS = [Mask.encode(np.ones((n + 1, 3), np.uint8), (n, 2)) for n in range(4)]
CHANGES = st.lists(
    st.tuples(st.integers(0, 12 * BLOCK), st.dictionaries(st.integers(0, 3), st.one_of(st.none(), st.integers(0, 3)))),
    max_size=30,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=CHANGES, after=CHANGES)
def test_every_state_comes_back(
    before: list[tuple[int, dict[int, int | None]]],
    after: list[tuple[int, dict[int, int | None]]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("masks")
    blocks, truth = MaskBlocks(folder), {}

    def apply(changes: list[tuple[int, dict[int, int | None]]]) -> None:
        for frame, each in changes:
            made = {n: None if m is None else (MASKS[m], 0.5) for n, m in each.items()}
            blocks.update(frame, made)
            masks = {n: m for n, m in {**truth.get(frame, {}), **made}.items() if m is not None}
            truth.pop(frame, None)
            truth.update({frame: masks} if masks else {})
            assert len(blocks._dirty) <= DIRTY and len(blocks._clean) <= KEPT + 1

    apply(before)
    blocks.flush()
    first, first_truth = dict(blocks.versions), {frame: dict(masks) for frame, masks in truth.items()}
    apply(after)
    assert dict(blocks.frames()) == truth
    blocks.flush()
    for found in (blocks, MaskBlocks(folder, blocks.versions)):
        assert dict(found.frames()) == truth
        assert found.counts() == blocks.counts()
        seen = [number for masks in truth.values() for number in masks]
        assert dict(found.counts()) == {number: seen.count(number) for number in set(seen)}
    blocks.keep_only([first, blocks.versions])
    blocks.go_to(first)
    assert dict(blocks.frames()) == first_truth
    blocks.keep_only([first])
    assert len(list(folder.iterdir())) == len(first)


def test_a_version_is_never_given_twice(tmp_path: Path) -> None:
    blocks = MaskBlocks(tmp_path)
    blocks.update(0, {1: (MASKS[0], 1.0)})
    blocks.flush()
    old = dict(blocks.versions)
    again = MaskBlocks(tmp_path, {})
    again.update(0, {1: (MASKS[1], 1.0)})
    again.flush()
    assert again.versions != old and MaskBlocks(tmp_path, old)[0][1][0] == MASKS[0]
