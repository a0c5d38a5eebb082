"""Near-duplicate questions: word shingles hashed, compared by the share they have in common."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable

from longtrace.questions.clues import parse
from longtrace.records import Question
from longtrace.text import words

WIDTH = 5
"""Words of a shingle."""


def hashed(spoken: Iterable[str]) -> int:
    """A 60-bit hash of words in a row, the same on every machine."""
    text = " ".join(spoken).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) >> 4


def shingles(text: str, width: int = WIDTH) -> frozenset[int]:
    """Hashes of every `width` words in a row; of all words if there are fewer."""
    spoken = words(text)
    last = max(1, len(spoken) - width + 1)
    return frozenset(hashed(spoken[n : n + width]) for n in range(last) if spoken)


class Near:
    """Finds earlier questions much like a new one, by an index from shingle to question.

    Args:
        threshold: Jaccard similarity of the shingles, in (0, 1], from which a question is refused.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._sizes: list[int] = []
        self._ids: list[str] = []
        self._holding: defaultdict[int, list[int]] = defaultdict(list)

    def add(self, question: Question) -> None:
        """Remember a question."""
        own = _own(question)
        for shingle in own:
            self._holding[shingle].append(len(self._ids))
        self._sizes.append(len(own))
        self._ids.append(question.id)

    def like(self, question: Question) -> str | None:
        """Id of the most similar question at or above the threshold; None if there is none."""
        own = _own(question)
        common = Counter(n for shingle in own for n in self._holding.get(shingle, ()))
        best, similarity = None, self._threshold
        for number, shared in sorted(common.items()):
            jaccard = shared / (len(own) + self._sizes[number] - shared)
            if jaccard >= similarity:
                best, similarity = self._ids[number], jaccard
        return best


def _own(question: Question) -> frozenset[int]:
    """Shingles of what the question says; the frame around masked clues is left out."""
    return frozenset().union(*map(shingles, parse(question.text) or (question.text,)))
