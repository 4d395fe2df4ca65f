"""Sets of items with dense vectors of text, sound or image, split by their sources; no times, so histories are sets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tsbench.dataset import Dataset, Source, find_file
from tsbench.datasets.rec import Rec, some_of, sources
from tsbench.rec.atomic import read_inter
from tsbench.rec.files import read_pairs
from tsbench.rec.interactions import Interactions


@dataclass(frozen=True)
class LastFm2K(Rec):
    """1,858 people and the 1,425 artists they listen to: text of tags (MiniLM), audio (VGGish)."""

    name = "rec/lastfm-2k"
    bar: ClassVar = "ease"
    protocols: ClassVar = some_of("given")
    sources: ClassVar[tuple[Source, ...]] = sources(
        "LastFM2K",
        "none stated; HetRec 2011 Last.fm, non-commercial research",
        "Cantador et al., HetRec 2011; swapUniba/multimodal_ml1m_dbbook_lfm2k, RecSys 2025",
    )

    def read(self, root: Path) -> Interactions:
        """Column `x_label` is the split."""
        listened, *arrays = (find_file(root, source.file) for source in self.sources)
        return read_inter(listened, arrays)


@dataclass(frozen=True)
class TikTok(Rec):
    """9,308 people and 6,710 short videos: image and audio; 465 videos are cold, that is, without training interaction.

    The excerpt of the ICME 2019 challenge that MMSSL and DiffMM use, not the larger one of MMGRec and LightGT.
    """

    name = "rec/tiktok"
    bar: ClassVar = "ease"
    protocols: ClassVar = some_of("given")
    sources: ClassVar[tuple[Source, ...]] = sources(
        "TikTok",
        "none stated; ICME 2019 challenge, research use",
        "Wei et al. (MMSSL), WWW 2023; Jiang et al. (DiffMM), MM 2024",
    )

    def read(self, root: Path) -> Interactions:
        """Pairs of each split."""
        *pairs, image, audio = (find_file(root, source.file) for source in self.sources)
        return read_pairs(pairs[0], (image, audio))


def datasets() -> Iterator[Dataset]:
    """Both."""
    yield from (LastFm2K(), TikTok())
