"""Tokens of every document as a passage, counted once in a run and shared by its processes.

The counts live in a memory-mapped array with one number a document, 0 while unknown. Processes
may count the same document twice; they write the same number.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from longtrace.contexts.pack import Kept
from longtrace.contexts.render import WIDEST_NUMBER, Texts, section
from longtrace.text import paragraphs
from longtrace.tokens import Tokens

MIN_KEPT_CHARS = 200


class Counts(Mapping[str, int]):
    """Document key -> tokens of the document as a passage, counted when first asked for.

    A passage is counted with a three-digit number in front, so that the count holds wherever in
    a prompt it will stand; below 1,000 passages it is at most a few tokens too high.
    """

    def __init__(self, texts: Texts, tokens: Tokens, known: npt.NDArray[np.int32]) -> None:
        self._texts, self._tokens, self._known = texts, tokens, known

    def __getitem__(self, key: str) -> int:
        return self.of(self._texts.id(key))

    def __iter__(self) -> Iterator[str]:
        raise TypeError("counts are made on demand; there is nothing to iterate over")

    def __len__(self) -> int:
        return len(self._known)

    def of(self, doc: int) -> int:
        """Tokens of document `doc` as a passage."""
        known = int(self._known[doc])
        if known == 0:
            known = self._tokens.count(self._section(doc, None))
            self._known[doc] = known
        return known

    def cut(self, key: str, room_tokens: int) -> Kept | None:
        """The longest beginning of whole paragraphs that fits; None if it would be a mere scrap."""
        doc = self._texts.id(key)
        text = self._texts.text(doc)
        ends = [end for _, end in paragraphs(text) if MIN_KEPT_CHARS <= end < len(text)]
        offset = self._section(doc, 0).index("\n\n") + 2
        starts = self._tokens.starts(self._section(doc, None))
        fits = bisect_right(
            ends, room_tokens, key=lambda end: int(np.searchsorted(starts, offset + end))
        )
        for end in reversed(ends[:fits]):
            kept = Kept(self._tokens.count(self._section(doc, end)), end)
            if kept.tokens <= room_tokens:
                return kept
        return None

    def _section(self, doc: int, chars: int | None) -> str:
        return section(WIDEST_NUMBER, self._texts.title(doc), self._texts.text(doc)[:chars])


def shared_counts(path: Path, documents: int) -> npt.NDArray[np.int32]:
    """The array behind `Counts`, in a file of its own; made if missing."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.truncate(4 * documents)
    return np.memmap(path, np.int32, "r+", shape=(documents,))
