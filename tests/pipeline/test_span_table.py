"""Which videos a name in a table means."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.span_table import VideoNames

PATHS = st.lists(st.sampled_from(["a", "b", "cam1", "1.mp4", "2.mp4"]), min_size=1, max_size=4).map("/".join)


@given(st.lists(PATHS, unique=True, max_size=12), PATHS, st.sampled_from(["", "/"]))
def test_a_name_means_itself_or_what_it_ends_with_or_what_ends_with_it(
    videos: list[str], name: str, before: str
) -> None:
    text = before + name
    ending = [each for each in videos if text.endswith(f"/{each}") or each.endswith(f"/{text}")]
    assert VideoNames(videos).meant(text) == ([text] if text in videos else ending)


def test_names_of_other_systems_and_no_name() -> None:
    names = VideoNames(["barn/cam1.mp4", "cam1.mp4", "d.mp4"])
    assert names.meant("C:\\films\\barn\\cam1.mp4") == ["barn/cam1.mp4", "cam1.mp4"]
    assert names.meant("d.mp4") == ["d.mp4"] and names.meant("") == names.meant("/") == names.meant("e.mp4") == []
