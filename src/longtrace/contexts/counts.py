"""Tokens of every unit as a passage, counted once in a run and shared by its processes.

A passage is its text and what its layout puts round it. The text is counted once, whatever the
layout; the rest is short. Both are counted between the characters that stand beside them in a
prompt, because tokenizers join characters across such borders. Counts of whole documents live in a
memory-mapped array with one number a document, 0 while unknown; processes may count the same
document twice, and write the same number. Counts of passages are kept in memory.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from longtrace.contexts.pack import Cut, Kept
from longtrace.contexts.render import LAYOUTS, heading
from longtrace.contexts.units import Units, sentence_ends, word_ends
from longtrace.text import paragraphs
from longtrace.tokens import Tokens

MIN_KEPT_CHARS = 200
_WIDEST_NUMBER = 999
_BEFORE, _AFTER = "\n", "\n"


class Counts:
    """Tokens of units, counted when first asked for.

    Args:
        units: the corpus as units.
        tokens: the tokenizer.
        known: [documents] tokens of the text of whole documents, filled as they are counted.
    """

    def __init__(self, units: Units, tokens: Tokens, known: npt.NDArray[np.int32]) -> None:
        self._units, self._tokens, self._known = units, tokens, known
        self._passages: dict[int, dict[int, int]] = {}
        self._around = lru_cache(maxsize=65_536)(self._count_around)

    def of(self, name: str, layout: str) -> int:
        """Tokens of a unit as a passage; exact to within a token or two."""
        unit = self._units.unit(name)
        text = self._body(unit.doc) if unit.start is None else self._parts(unit.doc)[unit.start]
        return text + self._around(self._units.texts.title(unit.doc), layout)

    def cut(
        self,
        name: str,
        room_tokens: int,
        layout: str,
        slack_tokens: int = 0,
        *,
        anywhere: bool = False,
    ) -> Kept | None:
        """The beginning of a unit that fits in the room; None if not a single word does.

        It ends with a paragraph, if that leaves at most `slack_tokens`; else with a sentence or a
        line, else with a word, else, with `anywhere`, with a token: there are scripts without
        spaces and lines without words. A beginning of less than 200 characters is a last resort.
        """
        unit = self._units.unit(name)
        text = self._units.text(unit)
        around = self._around(self._units.texts.title(unit.doc), layout)
        starts = self._starts(text)
        best: Kept | None = None
        borders = (*_BORDERS, lambda _: starts.tolist()) if anywhere else _BORDERS
        for shortest in (MIN_KEPT_CHARS, 1):
            for ends_of in borders:
                ends = [end for end in ends_of(text) if shortest <= end < len(text)]
                kept = _longest(ends, starts, room_tokens - around)
                if kept is not None and (best is None or kept.chars > best.chars):
                    best = Kept(kept.tokens + around, kept.chars)
                if best is not None and room_tokens - best.tokens <= slack_tokens:
                    return best
        return best

    def in_layout(
        self, layout: str, slack_tokens: int = 0, *, anywhere: bool = False
    ) -> tuple[Mapping[str, int], Cut]:
        """`of` and `cut` for one layout, as `longtrace.pack` takes them."""

        def cut(name: str, room_tokens: int) -> Kept | None:
            return self.cut(name, room_tokens, layout, slack_tokens, anywhere=anywhere)

        return _InLayout(self, layout), cut

    def _body(self, doc: int) -> int:
        known = int(self._known[doc])
        if known == 0:
            known = len(self._starts(self._units.texts.text(doc)))
            self._known[doc] = known
        return known

    def _parts(self, doc: int) -> dict[int, int]:
        """Tokens of every passage of a document by its first character."""
        if doc not in self._passages:
            spans = self._units.spans(doc)
            starts = self._starts(self._units.texts.text(doc))
            self._passages[doc] = {
                start: int(np.searchsorted(starts, end) - np.searchsorted(starts, start))
                for start, end in spans
            }
        return self._passages[doc]

    def _starts(self, text: str) -> npt.NDArray[np.int64]:
        """Characters of `text` at which its tokens begin, where it stands in a prompt."""
        starts = self._tokens.starts(f"{_BEFORE}{text}{_AFTER}") - len(_BEFORE)
        return starts[(starts >= 0) & (starts < len(text))]

    def _count_around(self, title: str, layout: str) -> int:
        """Tokens that begin in what stands round a passage's text."""
        head, foot = LAYOUTS[layout]
        opened = head.format(number=_WIDEST_NUMBER, title=heading(title))
        starts = self._tokens.starts(f".{foot}{opened}The text")
        end = 1 + len(foot) + len(opened)
        return int(np.searchsorted(starts, end) - np.searchsorted(starts, 1))


class _InLayout(Mapping[str, int]):
    def __init__(self, counts: Counts, layout: str) -> None:
        self._counts, self._layout = counts, layout

    def __getitem__(self, name: str) -> int:
        return self._counts.of(name, self._layout)

    def __iter__(self) -> Iterator[str]:
        raise TypeError("counts are made on demand; there is nothing to iterate over")

    def __len__(self) -> int:
        raise TypeError("counts are made on demand")


def _longest(ends: Sequence[int], starts: npt.NDArray[np.int64], room_tokens: int) -> Kept | None:
    """The last of `ends` before which at most `room_tokens` tokens begin."""
    fits = bisect_right(ends, room_tokens, key=lambda end: int(np.searchsorted(starts, end)))
    if fits == 0:
        return None
    return Kept(int(np.searchsorted(starts, ends[fits - 1])), ends[fits - 1])


def _paragraph_ends(text: str) -> list[int]:
    return [end for _, end in paragraphs(text)]


_BORDERS: tuple[Callable[[str], list[int]], ...] = (_paragraph_ends, sentence_ends, word_ends)


def shared_counts(path: Path, documents: int) -> npt.NDArray[np.int32]:
    """The array behind `Counts`, in a file of its own; made if missing."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.truncate(4 * documents)
    return np.memmap(path, np.int32, "r+", shape=(documents,))
