"""Keeps benchmark questions out: overlap of n-grams and of entity sets, from hashes alone.

A benchmark is read once into signatures: hashes of every eight words in a row and of every name,
with no text in them, so that a guard can be passed on without passing on the benchmark.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import dropwhile
from pathlib import Path
from typing import Any

import orjson

from longtrace.errors import InputError
from longtrace.questions.clues import STOP
from longtrace.questions.similar import hashed, shingles
from longtrace.records import Question, Record
from longtrace.store import read_json, write_json
from longtrace.text import STOP_WORDS, words

WIDTH = 8
"""Words of an n-gram; one in common is an overlap."""
NAMES = 2
"""Names of a benchmark question that must be shared, at least."""
SHARE = 0.6
"""Share of a benchmark question's names that must be shared."""
NGRAM = "words of a benchmark question"
ENTITIES = "entities of a benchmark question"
_QUESTION = ("question", "prompt", "problem", "query", "input")
_ANSWER = ("answer", "answers", "label", "target")
_WORD = r"[A-Z\u00c0-\u00de][\w'\u2019.-]*"
_NAME = re.compile(rf"{_WORD}(?: (?:of |the |de |von )?{_WORD})*")
_POSSESSIVE = re.compile(r"['\u2019]s\b")


class Signature(Record):
    """What is kept of one benchmark question."""

    source: str
    """File and row, such as `frames.json:12`."""
    grams: tuple[int, ...]
    names: tuple[int, ...]


class Guard:
    """Compares questions with signatures."""

    def __init__(self, signatures: Sequence[Signature]) -> None:
        self.signatures = tuple(signatures)
        self._gram: dict[int, str] = {}
        self._name: dict[int, list[int]] = {}
        for number, signature in enumerate(self.signatures):
            self._gram.update((gram, signature.source) for gram in signature.grams)
            for name in signature.names:
                self._name.setdefault(name, []).append(number)

    @classmethod
    def read(cls, paths: Iterable[Path]) -> Guard:
        """The guard against the questions in benchmark files, or in files of signatures.

        Raises:
            InputError: a file cannot be read or holds no question.
        """
        return cls([signature for path in paths for signature in read_signatures(path)])

    def overlap(self, question: Question) -> tuple[str, str] | None:
        """The kind of overlap and the benchmark question's source; None if there is none."""
        for gram in sorted(shingles(question.text, WIDTH)):
            if gram in self._gram:
                return NGRAM, self._gram[gram]
        own = {_hashed(name) for hop in question.hops for name in (hop.entity, *hop.aliases)}
        own |= set(map(_hashed, (question.answer, *question.answer_aliases)))
        shared: dict[int, int] = {}
        for name in own:
            for number in self._name.get(name, ()):
                shared[number] = shared.get(number, 0) + 1
        for number, count in sorted(shared.items()):
            signature = self.signatures[number]
            if count >= NAMES and count >= SHARE * len(signature.names):
                return ENTITIES, signature.source
        return None


def signature(text: str, answers: Sequence[str], source: str) -> Signature:
    """The hashes of one benchmark question; its answers count as names."""
    found = (part for match in _NAME.finditer(text) for part in _POSSESSIVE.split(match.group()))
    kept = {name for name in found if not all(word in STOP for word in words(name))}
    kept |= {answer for answer in answers if words(answer)}
    grams = shingles(text, WIDTH) if len(words(text)) >= WIDTH else frozenset[int]()
    hashes = set(map(_hashed, kept))
    return Signature(source=source, grams=tuple(sorted(grams)), names=tuple(sorted(hashes)))


def _hashed(name: str) -> int:
    """Hash of a name without the function words in front, as in "Were The Beatles": beatles."""
    spoken = words(name)
    return hashed([*dropwhile(STOP_WORDS.__contains__, spoken)] or spoken)


def read_signatures(path: Path) -> list[Signature]:
    """Signatures of a file: JSON list, JSONL, or what `write_signatures` made.

    Raises:
        InputError: the file cannot be read, or a row has no question.
    """
    rows = list(_rows(path))
    made: list[Signature] = []
    for number, row in enumerate(rows, 1):
        if isinstance(row, dict) and set(row) == set(Signature.model_fields):
            made.append(Signature.model_validate(row))
            continue
        text = _first(row, _QUESTION)
        if not text:
            raise InputError(f"{path}: row {number} has none of {', '.join(_QUESTION)}")
        made.append(signature(text[0], _first(row, _ANSWER), f"{path.name}:{number}"))
    if not made:
        raise InputError(f"{path}: no question in it; give a JSON list or JSONL of questions")
    return made


def write_signatures(path: Path, signatures: Sequence[Signature]) -> None:
    """Write signatures as a JSON list that `read_signatures` reads."""
    write_json(path, [row.model_dump(mode="json") for row in signatures])


def _rows(path: Path) -> Iterator[Any]:
    if path.suffix == ".jsonl":
        try:
            lines = path.read_bytes().splitlines()
            yield from (orjson.loads(line) for line in lines if line.strip())
        except (OSError, orjson.JSONDecodeError) as error:
            raise InputError(f"{path}: not readable as JSONL ({error})") from None
        return
    value = read_json(path, "check --benchmarks")
    if isinstance(value, dict):
        value = next((part for part in value.values() if isinstance(part, list)), [])
    if isinstance(value, list):
        yield from value


def _first(row: Any, keys: Sequence[str]) -> list[str]:
    """The texts under the first of `keys` that a row has, whatever its letter case.

    A row that is a text is a question.
    """
    if isinstance(row, str) and keys is _QUESTION:
        return [row]
    if not isinstance(row, dict):
        return []
    folded = {str(key).lower(): value for key, value in row.items()}
    for key in keys:
        value = folded.get(key)
        if isinstance(value, str) and value:
            return [value]
        if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
            return value
    return []
