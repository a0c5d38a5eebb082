"""Words, names and sentences: the one place that says when a name stands in a text.

`normalise` maps a text to its words, joined by single spaces and padded by one space at both ends,
so that `normalise(name) in normalise(text)` is a whole-word match. It folds case, width and
accents; writes scripts without word spaces (Han, kana, Hangul) one character a word; keeps `+` and
`#` that end a word (C++, C#); joins dotted initials (U.S. -> us); and puts a `|` at sentence ends,
so that no name matches across two sentences. Names of two or three capitals are the exception to
folding: they must be met in capitals. A name that itself holds such a mark ("Mrs. Dalloway") is
looked for with and without it; see `needles`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache

_FOLD = str.maketrans(
    {
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "ø": "o",
        "æ": "ae",
        "œ": "oe",
        "\u0131": "i",
        "þ": "th",
        "ħ": "h",
        "ŋ": "n",
        "\u2019": "'",
    }
)
_FUNCTION_WORDS = """
a about above after again against all also an and any are as at be because been before being
below between both but by can could did do does down during each few for from further had has
have having he her here hers him his how i if in into is it its itself just may me might more
most must my no nor not of off on once only or other our out over own same shall she should so
some such than that the their theirs them then there these they this those through to too under
until up upon very was we were what when where which while who whom whose why will with within
without would you your
"""
STOP_WORDS = frozenset(_FUNCTION_WORDS.split())
"""English function words: dropped from queries, never part of a clue's statistics."""
_INITIALS = re.compile(r"\.(?<=\b[^\W\d_]\.)(?:[^\W\d_]\.)+(?!\w\w)")  # literal first: fast
_POSSESSIVE = re.compile(r"'s\b")
_NO_SPACES = (
    "\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
)
_SINGLE = re.compile(f"[{_NO_SPACES}]")
_NON_ASCII = re.compile(r"[^\x00-\x7f]+")
_SENTENCE_ENDS = {  # a pattern that begins with one character is searched for at memory speed
    **{c: re.compile(rf"\{c}(?<=\w\w\w.)[\"')\]]*(?=\s)") for c in ".!?"},
    "\n": re.compile(r"\n\s*\n"),
}
_AFTER = rf"[^\W{_NO_SPACES}]"
_MARK, _PLUS, _SHARP = "\x01", "\x02", "\x03"
_SUFFIXES = (  # one pattern each, so that each begins with its own character
    ("++", re.compile(rf"\+\+(?<={_AFTER}\+\+)"), f"{_PLUS}{_PLUS} "),
    ("+", re.compile(rf"\+(?<={_AFTER}\+)(?!\w)"), f"{_PLUS} "),
    ("#", re.compile(rf"#(?<={_AFTER}#)(?!\w)"), f"{_SHARP} "),
)
_STAND_INS = str.maketrans(dict.fromkeys((_MARK, _PLUS, _SHARP), "-"))
_BYTES = bytes(
    b if b >= 0x80 or chr(b).isalnum() or chr(b) == "_" else {1: 0x7C, 2: 0x2B, 3: 0x23}.get(b, 32)
    for b in range(256)
)
_ACRONYM = re.compile(r"[A-Z]\.?[A-Z]\.?(?:[A-Z]\.?)?")
_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"'(\[]?[A-Z0-9])|\n\s*\n")
_PARENTHESIS = re.compile(r"\([^()]*\)$")
_BLANK_LINES = re.compile(r"\n\s*\n")


def fold(text: str) -> str:
    """`text` in lower case, without accents or width variants."""
    if text.isascii():
        return text.lower()
    folded = _NON_ASCII.sub(_folded, text)
    return folded.lower() if folded.isascii() else folded.casefold()


def _folded(match: re.Match[str]) -> str:
    return _fold_run(match.group())


@lru_cache(maxsize=65_536)
def _fold_run(run: str) -> str:
    """A run of characters beyond ASCII, folded: each of them folds alone, so runs are cached."""
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", run).casefold())
    return "".join(c for c in text if not unicodedata.combining(c)).translate(_FOLD)


def normalise(text: str) -> str:
    """The folded words of `text`, separated and surrounded by single spaces."""
    return f" {' '.join(spaced(text).decode().split())} "


def spaced(text: str) -> bytes:
    """The folded words of `text` as UTF-8, with any number of spaces between and around them."""
    plain = by_line(lambda line: _NON_ASCII.sub(_plain, line), text)
    plain = plain.lower() if plain.isascii() else plain.casefold()
    if _MARK in plain or _PLUS in plain or _SHARP in plain:
        plain = plain.translate(_STAND_INS)
    if "." in plain:
        plain = _INITIALS.sub(lambda m: m.group().replace(".", ""), plain)
    plain = _POSSESSIVE.sub("", plain)
    for end, pattern in _SENTENCE_ENDS.items():
        if end in plain:
            plain = pattern.sub(f" {_MARK} ", plain)
    for suffix, pattern, stands in _SUFFIXES:
        if suffix in plain:
            plain = pattern.sub(stands, plain)
    if not plain.isascii():
        plain = _SINGLE.sub(r" \g<0> ", plain)
    return plain.encode("utf-8", "replace").translate(_BYTES)


def by_line(change: Callable[[str], str], text: str) -> str:
    """`text` with `change`, which must leave ASCII as it is, made line by line where it matters."""
    if text.isascii():
        return text
    lines = text.split("\n")
    return "\n".join([line if line.isascii() else change(line) for line in lines])


def _plain(match: re.Match[str]) -> str:
    return _plain_run(match.group())


@lru_cache(maxsize=65_536)
def _plain_run(run: str) -> str:
    """A run of characters beyond ASCII, folded; a space or dash for what is no letter or digit."""
    text = unicodedata.normalize("NFKC", _fold_run(run))
    return "".join(c if c.isalnum() or c < "\x80" else " -"[not c.isspace()] for c in text)


def normalise_name(name: str) -> str:
    """`normalise` for a name: no sentence marks, empty string if nothing of it can be matched.

    Equal for equal names; to find a name in a text use `names`, `Haystack` or `needles`.
    """
    words = [w for w in normalise(name).split() if w != "|"]
    return f" {' '.join(words)} " if words else ""


def needles(name: str) -> tuple[str, ...]:
    """What to look for in a normalised text to find `name`; empty if nothing of it can be matched.

    The first is `normalise_name(name)`. Where the name holds what looks like a sentence end, as in
    "Mrs. Dalloway" and "Yahoo! Japan", a second one keeps that mark: "Mrs Dalloway" and "Mrs.
    Dalloway" are both found.
    """
    spelled = normalise(name).strip(" |")
    if "|" not in spelled:
        return (f" {spelled} ",) if spelled else ()
    plain = " ".join(word for word in spelled.split() if word != "|")
    return f" {plain} ", f" {spelled} "


class Haystack:
    """A text, prepared once, in which many names are looked for."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._words = normalise(text)

    def holds(self, name: str) -> bool:
        """Whether `name` stands in the text as whole words; see `names`."""
        found = any(needle in self._words for needle in needles(name))
        return found and capitals(name, self._text)


def names(text: str, name: str) -> bool:
    """Whether `name` stands in `text` as whole words; False if it normalises to nothing.

    A name of two or three capitals (US, U.K.) must stand there in capitals: "us" is no country.
    """
    return Haystack(text).holds(name)


def capitals(name: str, text: str) -> bool:
    """Whether `text`, which holds the words of `name`, may mean it.

    False only for a name of two or three capitals that stands there in small letters alone.
    """
    acronym = _ACRONYM.fullmatch(name.strip())
    if acronym is None:
        return True
    letters = r"\.?".join(acronym.group().replace(".", ""))
    shown = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return re.search(rf"(?<!\w){letters}(?!\w)", shown) is not None


def surface(title: str) -> str:
    """The name a title stands for: `Mercury (planet)` -> `Mercury`, `Aye-aye_(animal)` too."""
    return _PARENTHESIS.sub("", title.replace("_", " ").rstrip()).strip() or title


def words(text: str) -> list[str]:
    r"""Lower-case `\w+` runs of `text` in order: the unit of search queries and clue statistics."""
    return _WORD.findall(text.lower())


def sentences(text: str) -> list[str]:
    """Non-empty sentences of `text` in order, white space folded; a blank line always ends one."""
    return [s for s in (" ".join(part.split()) for part in _SENTENCE_END.split(text)) if s]


def paragraphs(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of every paragraph of `text`, blank lines excluded."""
    start = 0
    for gap in _BLANK_LINES.finditer(text):  # in time linear in the text, whatever its white space
        if text[start : gap.start()].strip():
            yield start, gap.start()
        start = text.rfind("\n", gap.start(), gap.end() - 1) + 1
    if text[start:].strip():
        yield start, len(text)
