"""MediaWiki XML dumps, plain or compressed: articles with their links, redirects as aliases.

The key is the title. Templates, tables, references, galleries and files are stripped, and sections
that hold references only are dropped with their links. Pages outside the main namespace are
skipped. The dump is streamed; parsing wikitext is slow, so it runs on all workers.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple
from xml.etree import ElementTree

from longtrace.corpus.readers.base import (
    DAMAGE,
    Item,
    Reader,
    Redirect,
    Rejected,
    damaged,
    is_reference_section,
    open_bytes,
    source_file,
    wiki_title,
)
from longtrace.errors import MissingExtraError
from longtrace.records import Document, Link

_ARTICLES = "0"
_STRIPPED = """
ref references gallery math chem score table timeline imagemap syntaxhighlight source
templatestyles mapframe graph noinclude includeonly
"""
_STRIPPED_TAGS = frozenset(_STRIPPED.split())
_BLOCK_TAGS = frozenset({"br", "p", "div", "blockquote", "center", "hr", "ul", "ol", "dl", "poem"})
_ITEM_TAGS = frozenset({"li", "dt", "dd"})
_INTERWIKI = re.compile(r":?[a-z][a-z-]{1,11}:\S")
_OTHER_NAMESPACES = """
category file image media template wikipedia help portal user talk special draft module mediawiki
book wikt wiktionary commons
"""
_NOT_ARTICLES = frozenset(_OTHER_NAMESPACES.split())
_SPACES = re.compile(r"[^\S\n]+")
_AROUND_LINE_END = re.compile(r" ?\n ?")
_EMPTY_BRACKETS = re.compile(r" ?\([\s,;:]*\)")  # a template stood there
_LEFT_OVER = re.compile(
    r"<ref\b[^<>]*/>|<ref\b[^<>]*>(?:(?!<ref\b).)*?</ref>|^[ \t]*(?:\{\||\|)[^\n]*$",
    re.DOTALL | re.MULTILINE,
)
"""References and rows of tables that are text to the parser, as something round them is broken."""
_BLANK_LINES = re.compile(r"\n{3,}")
_LINK = re.compile("\x01(\\d+)\x02|\x03")
_BROKEN = "\ufdd0"
"""Stands for bytes that XML does not allow; a code point that no text uses."""
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]+")


class _Page(NamedTuple):
    title: str
    redirect: str
    text: str
    path: str
    number: int


def _records(path: Path | None) -> Iterator[_Page | Rejected]:
    """Pages of the main namespace in the order of the dump.

    Raises:
        InputError: no path or no such file.
        MissingExtraError: mwparserfromhell is not installed.
    """
    file = source_file(path, "mediawiki")
    _wikitext_library()
    number = 0
    try:
        with open_bytes(file) as dump:
            for element in _pages(_Legal(dump)):
                number += 1
                page = _page(element, file, number)
                if page is not None:
                    yield page
    except (*DAMAGE, ElementTree.ParseError) as error:
        yield damaged(file, number + 1, error)


class _Legal:
    """A dump as characters that XML allows: one broken byte must not end the reading."""

    def __init__(self, dump: IO[bytes]) -> None:
        self._dump = dump
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")

    def read(self, size: int = -1, /) -> str:
        data = self._dump.read(size)
        return _ILLEGAL.sub(_BROKEN, self._decoder.decode(data, final=not data))


def _pages(dump: _Legal) -> Iterator[ElementTree.Element]:
    """The `page` elements of a dump, each forgotten once it was used."""
    root: ElementTree.Element | None = None
    for event, element in ElementTree.iterparse(dump, events=("start", "end")):
        if root is None:
            root = element
        if event == "end" and _name(element) == "page":
            yield element
            root.clear()


def _page(element: ElementTree.Element, file: Path, number: int) -> _Page | None:
    """A page of the main namespace; None for any other."""
    values = {"title": "", "ns": _ARTICLES, "text": "", "redirect": ""}
    for part in element.iter():
        name = _name(part)
        if name == "redirect":
            values[name] = part.get("title", "")
        elif name in values:
            values[name] = part.text or ""
    if values["ns"].strip() != _ARTICLES:
        return None
    return _Page(values["title"], values["redirect"], values["text"], file.name, number)


def _name(element: ElementTree.Element) -> str:
    """An element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def _parse(page: _Page | Rejected) -> Item:
    if isinstance(page, Rejected):
        return page
    if any(_BROKEN in part for part in (page.title, page.redirect, page.text)):
        what = f"{page.title!r}: bytes that are not UTF-8, or characters that XML does not allow"
        return Rejected(page.path, page.number, "broken encoding", what)
    title = wiki_title(page.title)
    if not title:
        return Rejected(page.path, page.number, "unreadable page", "the page has no title")
    if page.redirect:
        return Redirect(title, wiki_title(page.redirect.partition("#")[0]))
    wikitext = _wikitext_library()
    try:
        code = wikitext.parse(page.text)
        text, links = plain(code)
    except (wikitext.parser.ParserError, RecursionError) as error:
        what = f"{title!r}: wikitext cannot be parsed ({error})"
        return Rejected(page.path, page.number, "unreadable page", what)
    return Document(key=title, title=page.title, text=text, links=tuple(links), source=page.path)


def _wikitext_library() -> Any:
    try:
        import mwparserfromhell
    except ImportError:
        raise MissingExtraError("mwparserfromhell", "mediawiki") from None
    return mwparserfromhell


def plain(code: Any) -> tuple[str, list[Link]]:
    """Text and links of parsed wikitext (`mwparserfromhell.wikicode.Wikicode`)."""
    targets: list[str] = []
    marked = _LEFT_OVER.sub("", "".join(_drop_references(code, targets)))
    marked = _AROUND_LINE_END.sub("\n", _SPACES.sub(" ", _EMPTY_BRACKETS.sub("", marked)))
    marked = _BLANK_LINES.sub("\n\n", marked).strip()
    parts: list[str] = []
    links: list[Link] = []
    open_links: list[tuple[str, int]] = []
    length = end = 0
    for match in _LINK.finditer(marked):
        parts.append(marked[end : match.start()])
        length += len(parts[-1])
        end = match.end()
        if match[1]:
            open_links.append((targets[int(match[1])], length))
        elif open_links:
            target, start = open_links.pop()
            links.append(Link(target=target, start=start, end=length))
    parts.append(marked[end:])
    return "".join(parts), links


def _drop_references(code: Any, targets: list[str]) -> Iterator[str]:
    """Pieces of text; an anchor of a link stands between marks that name its target by number."""
    dropped_level = 0
    for node in code.nodes:
        if _kind(node) == "Heading":
            heading = "".join(_pieces(node.title, [])).strip()
            if dropped_level and node.level > dropped_level:
                continue
            dropped_level = node.level if is_reference_section(heading) else 0
            if not dropped_level and heading:
                yield f"\n\n{'#' * max(2, node.level)} {heading}\n\n"
        elif not dropped_level:
            yield from _piece(node, targets)


def _pieces(code: Any, targets: list[str]) -> Iterator[str]:
    for node in code.nodes if code is not None else ():
        yield from _piece(node, targets)


def _kind(node: Any) -> str:
    return type(node).__name__


def _piece(node: Any, targets: list[str]) -> Iterator[str]:
    """The text of one node; templates, comments and arguments have none."""
    kind = _kind(node)
    if kind == "Text":
        yield re.sub("[\x01-\x03]", "", str(node.value))
    elif kind == "Wikilink":
        yield from _wikilink(node, targets)
    elif kind == "ExternalLink":
        yield from _pieces(node.title, targets)
    elif kind == "HTMLEntity":
        yield node.normalize()
    elif kind == "Heading":
        yield from _pieces(node.title, targets)
    elif kind == "Tag":
        yield from _tag(node, targets)


def _wikilink(node: Any, targets: list[str]) -> Iterator[str]:
    title = str(node.title).strip()
    prefix = title.partition(":")[0].strip().lower() if ":" in title else ""
    if prefix in _NOT_ARTICLES:
        return
    page = wiki_title(title.partition("#")[0].removeprefix(":"))
    label = node.text if node.text is not None else node.title
    if not page or _INTERWIKI.match(title):
        yield from _pieces(label, targets) if node.text is not None else ()
        return
    targets.append(page)
    yield f"\x01{len(targets) - 1}\x02"
    yield from _pieces(label, targets)
    yield "\x03"


def _tag(node: Any, targets: list[str]) -> Iterator[str]:
    name = str(node.tag).strip().lower()
    if name in _STRIPPED_TAGS:
        return
    if name in _ITEM_TAGS:  # wikitext list marks are tags without contents
        yield "- " if name == "li" else ""
    elif name in _BLOCK_TAGS:
        yield "\n"
    yield from _pieces(node.contents, targets)
    if name in _BLOCK_TAGS and node.contents:
        yield "\n"


MEDIAWIKI = Reader(_records, _parse, heavy=True)
