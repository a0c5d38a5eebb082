"""Dictionaries in dictd form (NAME.index, NAME.dict.dz), such as FOLDOC of Debian's `dict-foldoc`.

An entry is a document; its first headword is key and title, the others are aliases. Where several
entries begin with one headword, the later keys get a number. `{...}` marks a cross reference,
resolved over all headwords whatever their case. Hard line ends inside a paragraph are taken out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from longtrace.corpus.readers.base import (
    DAMAGE,
    Item,
    Reader,
    Rejected,
    damaged,
    open_bytes,
    source_file,
)
from longtrace.errors import InputError
from longtrace.records import Document, Link

_DIGITS = {
    c: i for i, c in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
}
_REFERENCE = re.compile(r"\{([^{}]+)\}")
_BLANK = re.compile(r"\n\s*\n")


class _Entry(NamedTuple):
    key: str
    headwords: tuple[str, ...]
    body: str
    targets: tuple[str, ...]
    """Key for every cross reference of the body, in order; the reference itself if none fits."""
    source: str


def _records(path: Path | None) -> Iterator[_Entry | Rejected]:
    """Entries in the order of the text file; the dictionary is read whole, as it is small.

    Raises:
        InputError: no path, no index or no text file, or the index cannot be read.
    """
    index = _index_file(path)
    spans, rejected = _read_index(index)
    file = next((f for e in (".dict.dz", ".dict") if (f := index.with_suffix(e)).is_file()), None)
    if file is None:
        raise InputError(f"{index.with_suffix('.dict.dz')}: no such file beside {index.name}")
    data, end = _read(file)
    yield from rejected
    entries: list[tuple[str, tuple[str, ...], str]] = []
    taken = Counter[str]()
    for (start, length), indexed in sorted(spans.items()):
        entry = _entry(data, start, length, indexed, file)
        if isinstance(entry, Rejected):
            yield entry
            continue
        taken[entry[0][0]] += 1
        repeat = taken[entry[0][0]]
        entries.append((entry[0][0] if repeat == 1 else f"{entry[0][0]} ({repeat})", *entry))
    keys: dict[str, str] = {}
    for key, headwords, _ in entries:
        for word in headwords:
            keys.setdefault(_folded(word), key)
    for key, headwords, body in entries:
        references = (_folded(match[1]) for match in _REFERENCE.finditer(body))
        targets = tuple(keys.get(word, word) for word in references)
        yield _Entry(key, headwords, body, targets, index.stem)
    if end is not None:
        yield end


def _index_file(path: Path | None) -> Path:
    if path is not None and path.is_dir():
        found = sorted(path.rglob("*.index"))
        if len(found) != 1:
            raise InputError(f"{path}: {len(found)} .index files; name one with --path")
        return found[0]
    return source_file(path, "foldoc")


def _read_index(path: Path) -> tuple[dict[tuple[int, int], list[str]], list[Rejected]]:
    """Headwords by (offset, length) of their entry; index lines that cannot be read."""
    spans: dict[tuple[int, int], list[str]] = {}
    rejected: list[Rejected] = []
    for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
        fields = line.split("\t")
        try:
            headword, start, length = fields[0], _number(fields[1]), _number(fields[2])
        except (IndexError, KeyError):
            what = "expected headword TAB offset TAB length"
            rejected.append(Rejected(str(path), number, "unreadable index line", what))
            continue
        if not headword.startswith("00"):  # facts about the dictionary itself
            spans.setdefault((start, length), []).append(headword)
    return spans, rejected


def _number(digits: str) -> int:
    value = 0
    for digit in digits:
        value = value * 64 + _DIGITS[digit]
    return value


def _read(file: Path) -> tuple[bytes, Rejected | None]:
    """The text, and what ended it if that is not its end."""
    parts: list[bytes] = []
    try:
        with open_bytes(file) as text:
            while part := text.read(1 << 16):
                parts.append(part)
    except DAMAGE as error:
        return b"".join(parts), damaged(file, 0, error)
    return b"".join(parts), None


def _entry(
    data: bytes, start: int, length: int, indexed: list[str], file: Path
) -> tuple[tuple[str, ...], str] | Rejected:
    """(headwords, body) of an entry; headwords stand in unindented first lines, split at `%%%`."""
    if start + length > len(data):
        what = f"the entry of {indexed[0]!r} ends at byte {start + length}, the file at {len(data)}"
        return Rejected(str(file), 0, "file damaged or cut short", what)
    try:
        rows = data[start : start + length].decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        return Rejected(str(file), 0, "broken encoding", f"entry {indexed[0]!r}: {error}")
    heads: list[str] = []
    while rows and rows[0] and not rows[0][0].isspace():
        heads += [word.strip() for word in rows.pop(0).split("%%%")]
    known = {_folded(word) for word in heads}
    heads += [word for word in indexed if _folded(word) not in known]
    headwords = tuple(dict.fromkeys(filter(None, heads)))
    paragraphs = (" ".join(p.split()) for p in _BLANK.split("\n".join(rows)))
    return headwords, "\n\n".join(filter(None, paragraphs))


def _folded(word: str) -> str:
    return " ".join(word.lower().split())


def _parse(entry: _Entry | Rejected) -> Item:
    if isinstance(entry, Rejected):
        return entry
    parts: list[str] = []
    links: list[Link] = []
    length = end = 0
    for match, target in zip(_REFERENCE.finditer(entry.body), entry.targets, strict=True):
        before, word = entry.body[end : match.start()], match[1]
        start = length + len(before)
        links.append(Link(target=target, start=start, end=start + len(word)))
        parts += [before, word]
        length, end = start + len(word), match.end()
    return Document(
        key=entry.key,
        title=entry.headwords[0],
        text="".join(parts) + entry.body[end:],
        links=tuple(links),
        aliases=entry.headwords[1:],
        source=entry.source,
    )


FOLDOC = Reader(_records, _parse)
