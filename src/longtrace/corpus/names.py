"""Which of millions of names stand in a text as whole words, in one pass and little memory.

Names and texts are normalised to words; a name is found where the hash of as many words equals its
own. All words of a batch of texts are looked at together in numpy: those that begin no name fall
out at once, the others are extended word by word. A name costs about 40 bytes, kept in files that
the processes share, so that six million names fit where an automaton would need gigabytes.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from longtrace.corpus.hashes import Hashes, Roller, hash_strings, mix, places
from longtrace.text import STOP_WORDS, by_line, capitals, fold, needles, spaced

MIN_NAME_LETTERS = 4
_ACRONYM_CHARS = 3
_BATCH = 50_000
_BATCH_BYTES = 1 << 20
_NAME, _PREFIX = 1, 2
_SPACE = 32
_END = b" \0 "
"""Between two texts: a word that is in no name."""
Ids = npt.NDArray[np.int32]
Pairs = npt.NDArray[np.int64]
_WORD = re.compile(r"\w+")


class NameTable(NamedTuple):
    """All names of a corpus; a name's place in `hashes` is its number."""

    hashes: Hashes
    """[p] hashes of the normalised names, ascending."""
    first: npt.NDArray[np.int64]
    """[p + 1] where each name's owners begin."""
    owners: Ids
    """[o] documents with that name, ascending."""
    acronyms: npt.NDArray[np.bool_]
    """[p] names of two or three capitals, which must be met in capitals (`text.capitals`)."""
    flags: npt.NDArray[np.uint8]
    """[2^b] whether a name or a beginning of one may have a hash with those b high bits."""

    def save(self, folder: Path) -> None:
        """Write the arrays below `folder`."""
        for field, array in self._asdict().items():
            np.save(folder / f"names_{field}.npy", array)

    @classmethod
    def load(cls, folder: Path) -> NameTable:
        """Map what `save` wrote."""
        return cls(*(np.load(folder / f"names_{f}.npy", mmap_mode="r") for f in cls._fields))


def build_names(
    names: Iterable[Sequence[str]],
) -> tuple[NameTable, npt.NDArray[np.bool_]]:
    """The table of all names, and which documents' first names are ambiguous.

    Args:
        names: for document 0, 1, ... its name and its aliases. A name that normalises to nothing,
            or to a single letter or digit, is never found. A document is ambiguous if its name is
            shared with another one's, a number, or shorter than `MIN_NAME_LETTERS`.
    """
    parts: list[_Part] = []
    batch: list[Sequence[str]] = []
    start = 0
    for forms in names:
        batch.append(forms)
        if len(batch) == _BATCH:
            parts.append(_part(start, batch))
            start += len(batch)
            batch = []
    parts.append(_part(start, batch))
    columns = _Part(*map(np.concatenate, zip(*parts, strict=True)))
    _, inverse, counts = np.unique(columns.main, return_inverse=True, return_counts=True)
    ambiguous = (counts[inverse] > 1) | columns.poor
    return _table(columns), ambiguous


class _Part(NamedTuple):
    hashes: Hashes
    owners: Ids
    acronyms: npt.NDArray[np.bool_]
    prefixes: Hashes
    main: Hashes
    """Hash of each document's first name."""
    poor: npt.NDArray[np.bool_]
    """Whether that name is a number or short."""


def _part(start: int, batch: Sequence[Sequence[str]]) -> _Part:
    """The names of documents start, start + 1, ..."""
    rows = [[needles(form) for form in forms] for forms in batch]
    flat = [needle.strip() for row in rows for found in row for needle in found]
    forms = [
        form
        for row, forms in zip(rows, batch, strict=True)
        for found, form in zip(row, forms, strict=True)
        for _ in found
    ]
    acronym = (
        len(n) <= _ACRONYM_CHARS and not capitals(f, "") for n, f in zip(flat, forms, strict=True)
    )
    owners = np.repeat(np.arange(start, start + len(batch)), [sum(map(len, row)) for row in rows])
    long = np.fromiter((len(needle) > 1 for needle in flat), np.bool_, len(flat))
    main = [row[0][0].strip() if row[0] else "" for row in rows]
    poor = (len(needle) < MIN_NAME_LETTERS or needle.isdigit() for needle in main)
    return _Part(
        hashes=hash_strings(flat)[long],
        owners=owners[long].astype(np.int32),
        acronyms=np.fromiter(acronym, np.bool_, len(flat))[long],
        prefixes=np.unique(hash_strings([p for needle in flat for p in _prefixes(needle)])),
        main=hash_strings(main),
        poor=np.fromiter(poor, np.bool_, len(main)),
    )


def _table(part: _Part) -> NameTable:
    order = np.lexsort((part.owners, part.hashes))
    hashes, owners, acronyms = part.hashes[order], part.owners[order], part.acronyms[order]
    unique, first = np.unique(hashes, return_index=True)
    if len(first):
        acronyms = np.logical_and.reduceat(acronyms, first)  # another form may be met anyhow
    new = np.ones(len(hashes), np.bool_)
    new[1:] = (hashes[1:] != hashes[:-1]) | (owners[1:] != owners[:-1])
    first = np.unique(hashes[new], return_index=True)[1]
    prefixes = np.unique(part.prefixes)
    return NameTable(
        hashes=unique,
        first=np.append(first, int(new.sum())),
        owners=owners[new],
        acronyms=acronyms,
        flags=_flags(unique, prefixes),
    )


def _flags(names: Hashes, prefixes: Hashes) -> npt.NDArray[np.uint8]:
    """A table with about a tenth of its places taken, looked at before any search for a hash."""
    bits = max(16, (8 * (len(names) + len(prefixes))).bit_length())
    flags = np.zeros(1 << bits, np.uint8)
    shift = np.uint64(64 - bits)
    flags[prefixes >> shift] |= _PREFIX
    flags[names >> shift] |= _NAME
    return flags


def _prefixes(needle: str) -> list[str]:
    """The proper word-aligned beginnings of a normalised name."""
    parts = needle.split(" ")
    return [" ".join(parts[:n]) for n in range(1, len(parts))]


class _Words(NamedTuple):
    """The words of a batch of texts."""

    data: npt.NDArray[np.uint8]
    """The words in UTF-8, one space behind each."""
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    """[w] where each word ends in `data`."""
    first: npt.NDArray[np.int64]
    """[t] number of each text's first word."""


class _Hits(NamedTuple):
    """Names found in a batch of texts."""

    of: npt.NDArray[np.int64]
    """[h] number of the text."""
    name: npt.NDArray[np.int64]
    begin: npt.NDArray[np.int64]
    """[h] number of the name's first word."""
    words: npt.NDArray[np.int64]
    """[h] how many words the name has."""


class NameScanner:
    """Finds names in texts."""

    def __init__(self, table: NameTable) -> None:
        self._table = table
        self._roller = Roller()
        self._shift = np.uint64(65 - len(table.flags).bit_length())

    def scan(self, texts: Sequence[str], *, links: bool) -> tuple[Pairs, Pairs]:
        """Names in `texts`, as whole words.

        Args:
            texts: t raw texts.
            links: whether to look for links by name as well.

        Returns:
            (text, document) for every name in a text, also inside longer names; and, if asked for,
            (text, name) where the longest name at a place belongs to one document only. Both
            [., 2], unique and ascending.
        """
        mentions = [np.zeros((0, 2), np.int64)]
        named = [np.zeros((0, 2), np.int64)]
        start = 0
        while start < len(texts):
            batch: list[bytes] = []
            size = 0
            while start + len(batch) < len(texts) and (not batch or size < _BATCH_BYTES):
                batch.append(spaced(texts[start + len(batch)]))
                size += len(batch[-1])
            words = _words(batch)
            hits = self._hits(words)
            of, name = hits.of, hits.name
            meant = self._meant(texts[start : start + len(batch)], words, hits)
            mentions.append(self._owners(of[meant] + start, name[meant]))
            if links:
                kept = _outermost(hits.begin, hits.words)
                kept = kept[meant[kept]]
                kept = kept[self._table.first[name[kept] + 1] - self._table.first[name[kept]] == 1]
                named.append(pairs(of[kept] + start, name[kept]))
            start += len(batch)
        return np.concatenate(mentions), np.concatenate(named)

    def _hits(self, words: _Words) -> _Hits:
        """Every name in a batch of texts."""
        sums = self._roller.sums(words.data)
        begin, end = sums[words.starts], sums[words.ends]
        factor = self._roller.inverses(words.starts)
        alive = np.arange(len(words.starts))
        found = [(alive[:0], alive[:0], alive[:0])]
        count = 1
        while len(alive):
            hashes = mix((end[alive + (count - 1)] - begin[alive]) * factor[alive])
            flags = self._table.flags[hashes >> self._shift]
            likely = np.flatnonzero(flags & _NAME)
            name = places(self._table.hashes, hashes[likely])
            known = name >= 0
            found.append((name[known], alive[likely[known]], np.full(known.sum(), count)))
            alive = alive[(flags & _PREFIX) > 0]
            alive = alive[alive + count < len(words.starts)]
            count += 1
        name, word, counts = map(np.concatenate, zip(*found, strict=True))
        of = np.searchsorted(words.first, word, side="right") - 1
        return _Hits(of, name, word, counts)

    def _meant(self, texts: Sequence[str], words: _Words, hits: _Hits) -> npt.NDArray[np.bool_]:
        """[h] whether each hit is more than a word that an acronym looks like."""
        doubtful = np.flatnonzero(self._table.acronyms[hits.name])
        meant = np.ones(len(hits.name), np.bool_)
        places, first, inverse = np.unique(
            hits.of[doubtful] << 32 | hits.name[doubtful], return_index=True, return_inverse=True
        )
        shown = lru_cache(maxsize=1)(lambda text: _composed(texts[text]))
        met = np.zeros(len(places), np.bool_)
        for place, hit in enumerate(doubtful[first].tolist()):
            if hits.words[hit] > 1:  # "U.S" is two words, and those are no acronym
                continue
            start = words.starts[hits.begin[hit]]
            stop = words.ends[hits.begin[hit]]
            letters = words.data[start:stop].tobytes().decode().upper()
            met[place] = _in_capitals(letters).search(shown(int(hits.of[hit]))) is not None
        meant[doubtful] = met[inverse]
        return meant

    def _owners(self, of: npt.NDArray[np.int64], name: npt.NDArray[np.int64]) -> Pairs:
        """(text, document) for every owner of every name found."""
        of, name = pairs(of, name).T
        first = self._table.first
        many = first[name + 1] - first[name]
        at = np.repeat(first[name] - np.cumsum(many) + many, many) + np.arange(many.sum())
        return pairs(np.repeat(of, many), self._table.owners[at].astype(np.int64))

    def spoken(self, texts: Iterable[str]) -> npt.NDArray[np.int64]:
        """How one-word names are written in the texts, to tell names from common words.

        Returns:
            [w, 3] rows (name, occurrences, occurrences in small letters); a name may recur.
        """
        seen = Counter[str]()
        for text in texts:
            seen.update(_WORD.findall(text))
        spoken = list(seen)
        name = places(self._table.hashes, hash_strings([fold(word) for word in spoken]))
        known = np.flatnonzero(name >= 0)
        total = np.fromiter((seen[spoken[i]] for i in known), np.int64, len(known))
        small = np.fromiter((spoken[i].islower() for i in known), np.bool_, len(known))
        return np.stack((name[known], total, np.where(small, total, 0)), axis=1)


def common(table: NameTable, spoken: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """[p] which names are common words: function words, or mostly written in small letters.

    Args:
        table: p names.
        spoken: [p, 2] occurrences of each name as one word, and those in small letters.
    """
    mask = 2 * spoken[:, 1] > spoken[:, 0]
    function_words = places(table.hashes, hash_strings(sorted(STOP_WORDS)))
    mask[function_words[function_words >= 0]] = True
    return mask


def pairs(left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> Pairs:
    """[p, 2] the pairs (left, right), unique and ascending; both below 2^31."""
    joined = np.unique((left << 32) | right)
    return np.stack((joined >> 32, joined & 0xFFFFFFFF), axis=1)


def _words(batch: Sequence[bytes]) -> _Words:
    """The words of texts as `spaced` gives them; no name reaches over the end of a text."""
    raw = np.frombuffer(b" %b " % _END.join(batch), np.uint8)
    letter = raw != _SPACE
    edges = np.flatnonzero(letter[1:] != letter[:-1]) + 1
    sizes = edges[1::2] - edges[::2]
    ends = np.cumsum(sizes + 1) - 1
    texts = np.cumsum([1, *(len(text) + len(_END) for text in batch[:-1])])
    return _Words(
        data=raw[1:][letter[1:] | letter[:-1]],
        starts=ends - sizes,
        ends=ends,
        first=np.searchsorted(edges[::2], texts),
    )


def _composed(text: str) -> str:
    """`text` in the form in which capitals are looked for."""
    return by_line(partial(unicodedata.normalize, "NFKC"), text)


@lru_cache(maxsize=4096)
def _in_capitals(letters: str) -> re.Pattern[str]:
    """Finds two or three capitals that stand alone, with or without dots; see `text.capitals`."""
    first, *others = map(re.escape, letters)
    return re.compile(rf"{first}(?<!\w{first})" + "".join(rf"\.?{o}" for o in others) + r"(?!\w)")


def _outermost(begin: npt.NDArray[np.int64], count: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Indices of the hits (first word, words) that lie inside no other hit."""
    order = np.lexsort((-count, begin))
    ends = (begin + count)[order]
    reached = np.concatenate(([-1], np.maximum.accumulate(ends)[:-1])) if len(ends) else ends
    return order[ends > reached]
