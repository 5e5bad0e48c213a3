"""`split.by=individual`: what shows the same animals, or nearly the same moment, stays in one split.

A visit is a connected component of clips and individuals: clips that show one individual belong together, and so do
clips that a doubtful (open) link may join, and clips of one video less than `split.embargo` seconds apart. Two splits
therefore never share an individual, a frame, or a moment nearer than the embargo, and nothing has to be left out.
Individuals are known only when everything has been tracked and linked, so the index is where this is decided. An
individual ends with its video: who comes back in another video, or later than `link.max_gap`, counts as another.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.index import SAMPLES, Index
from pipeline.layout import Layout
from pipeline.linking.individuals import Individuals
from pipeline.settings import SPLITS, SplitConfig
from pipeline.split import assign, keep, settled_groups

log = logging.getLogger(__name__)


def visits(samples: pa.Table, same: Mapping[str, str], links: pa.Table, embargo: float) -> dict[str, str]:
    """The visit of every clip that has a crop: its first clip in order of id.

    samples: the index, with individuals. same: by sample id, kept or not, its individual. links: `individuals.LINKS`.
    embargo: seconds.
    """
    clips = samples["clip_id"].to_pylist()
    nodes: dict[str, int] = {}
    edges: list[tuple[int, int]] = []
    for clip, individual in zip(clips, samples["individual_id"].to_pylist(), strict=True):
        edges.append((_node(nodes, f"clip {clip}"), _node(nodes, f"individual {individual}")))
    doubtful = links.filter(pc.equal(links["state"], "open"))
    pairs = zip(doubtful["first_sample"].to_pylist(), doubtful["second_sample"].to_pylist(), strict=True)
    edges += [tuple(_node(nodes, f"individual {same[sample]}") for sample in pair) for pair in pairs]  # type: ignore[misc]
    latest: dict[str, tuple[float, str]] = {}  # by video: the end of what has begun so far, and whose
    times = zip(samples["video"].to_pylist(), samples["timestamps_s"].to_pylist(), clips, strict=True)
    for video, first, last, clip in sorted({(video, at[0], at[-1], clip) for video, at, clip in times}):
        end, before = latest.get(video, (-np.inf, clip))
        if first - end < embargo or first <= end:
            edges.append((nodes[f"clip {before}"], nodes[f"clip {clip}"]))
        if last >= end:
            latest[video] = last, clip
    ends = np.array(edges, np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(len(nodes), len(nodes)))
    component = connected_components(graph, directed=False)[1]
    first_of: dict[int, str] = {}
    for clip in sorted(set(clips)):
        first_of.setdefault(int(component[nodes[f"clip {clip}"]]), clip)
    return {clip: first_of[int(component[nodes[f"clip {clip}"]])] for clip in set(clips)}


def _node(nodes: dict[str, int], name: str) -> int:
    return nodes.setdefault(name, len(nodes))


def split_by_individual(index: Index, found: Individuals, config: SplitConfig, layout: Layout, final: bool) -> Index:
    """The index with its column `split` filled in by visits. final: every chunk is done, so the assignment is kept in
    `splits.parquet`, clip by clip; before that it is a first guess."""
    samples = index.samples
    if not len(samples):
        return index
    clips, names = samples["clip_id"].to_pylist(), samples["video"].to_pylist()
    visit_of = visits(samples, found.ids, found.links, config.embargo)
    weights: dict[str, int] = Counter(visit_of[clip] for clip in clips)
    videos = {visit_of[clip]: [name] for clip, name in zip(clips, names, strict=True)}
    settled = _settled(visit_of, settled_groups(config, layout), Counter(clips))
    placed = assign(weights, config, settled, videos)
    if len(weights) == len(set(names)):
        log.warning(
            "split.by=individual: in every video all clips join into one group (its individuals stay in sight, or "
            "split.embargo=%g s reaches from clip to clip), so this is split.by=video",
            config.embargo,
        )
    else:
        log.info("split.by=individual: %d groups in %d videos", len(weights), len(set(names)))
    empty = [s for s, share in zip(SPLITS, config.fractions, strict=True) if share > 0 and s not in placed.values()]
    if empty:
        log.warning("nothing goes to %s: split.by=individual makes %d groups", " and ".join(empty), len(weights))
    if final:
        keep({clip: placed[visit] for clip, visit in visit_of.items()}, config, layout)
    column = pa.array([placed[visit_of[clip]] for clip in clips], pa.string())
    place = SAMPLES.get_field_index("split")
    return replace(index, samples=samples.set_column(place, SAMPLES.field(place), column))


def _settled(visit_of: Mapping[str, str], kept: Mapping[str, str], crops: Mapping[str, int]) -> dict[str, str]:
    """By visit, the split in which most of its crops were; says how many clips have to change sides because what was
    linked since joins two splits."""
    votes: dict[str, Counter[str]] = {}
    for clip, visit in visit_of.items():
        if clip in kept:
            votes.setdefault(visit, Counter())[kept[clip]] += crops[clip]
    chosen = {visit: min(found, key=lambda split: (-found[split], split)) for visit, found in votes.items()}
    moved = sum(clip in kept and kept[clip] != chosen[visit] for clip, visit in visit_of.items())
    if moved:
        log.warning(
            "%d clips change their split: individuals that were two before are now linked, and one individual stays in "
            "one split",
            moved,
        )
    return chosen
