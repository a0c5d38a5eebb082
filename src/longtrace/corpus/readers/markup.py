"""Markdown and HTML as plain text with link offsets, titles and front matter.

Headings become `## Name` lines, list items `- item` lines, table cells are joined by ` | `, and
paragraphs are separated by a blank line. Scripts, styles, navigation and images are dropped.
"""

from __future__ import annotations

import re
import tomllib
from html.parser import HTMLParser
from typing import Any, NamedTuple

import yaml
from markdown_it import MarkdownIt

_FRONT = re.compile(r"\A(---|\+\+\+)[ \t]*\r?\n(.*?)\r?\n\1[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_NOT_READ = "script style template noscript nav svg iframe object select button"
_DROPPED = frozenset(_NOT_READ.split())
_BLOCK = """
address article aside blockquote body caption dd details dialog div dl dt fieldset figcaption figure
footer form h1 h2 h3 h4 h5 h6 header hr html legend li main ol p pre section summary table tbody
tfoot thead tr ul
"""
_BLOCKS = frozenset(_BLOCK.split())
_OPEN_TAG = re.compile(r"<[a-zA-Z/!?][^>]*\Z")
_PERMALINK = "\N{PILCROW SIGN}"
_LINES = frozenset({"li", "tr", "dt", "dd", "thead", "tbody", "tfoot"})
_HEADINGS = {f"h{n}": f"{'#' * max(2, n)} " for n in range(1, 7)}


class Page(NamedTuple):
    """What a file says."""

    title: str
    """Empty if it names none."""
    text: str
    links: tuple[tuple[str, int, int], ...] | None
    """(href, start, end) in `text`; None for a format without links."""
    aliases: tuple[str, ...] = ()


def markdown_page(source: str) -> Page:
    """A Markdown page; its front matter (YAML or TOML) gives title and aliases."""
    front, body = _front_matter(source)
    renderer = MarkdownIt("commonmark").enable("table")
    page = html_page(str(renderer.render(body)))
    title = front.get("title")
    if isinstance(title, dict | list | set | tuple):  # and a few lines can nest them without end
        title = None
    aliases = front.get("aliases") or ()
    names = aliases if isinstance(aliases, list) else [aliases]
    return Page(
        title=str(title).strip() if title else page.title,
        text=page.text,
        links=page.links,
        aliases=tuple(name for name in names if isinstance(name, str) and name),
    )


def _front_matter(source: str) -> tuple[dict[str, Any], str]:
    """The values above a page and the page; what cannot be read is dropped."""
    match = _FRONT.match(source)
    if match is None:
        return {}, source
    try:
        read = yaml.safe_load(match[2]) if match[1] == "---" else tomllib.loads(match[2])
    except (yaml.YAMLError, tomllib.TOMLDecodeError, ValueError):
        read = None
    return (read if isinstance(read, dict) else {}), source[match.end() :]


def html_page(source: str) -> Page:
    """An HTML page: its first heading is the title, else its `title` element."""
    parser = _Text()
    parser.feed(_closed(source))
    parser.close()
    return parser.page()


def _closed(source: str) -> str:
    """`source` with its last comment and tag closed: the parser is slow over what is left open."""
    if source.rfind("<!--") > source.rfind("-->"):
        source += "-->"
    rest = source[max(0, source.rfind("<")) :]
    return f"{source}>" if _OPEN_TAG.match(rest) else source


class _Text(HTMLParser):
    """Collects text; white space is folded except in `pre`."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._length = 0
        self._gap = ""
        self._links: list[tuple[str, int, int]] = []
        self._open: list[tuple[str, int]] = []
        self._mark = ""
        self._dropped = ""
        self._depth = self._pre = 0
        self._title: list[str] = []
        self._heading: list[str] = []
        self._in_title = self._in_heading = False

    def page(self) -> Page:
        title = "".join(self._heading).strip() or " ".join("".join(self._title).split())
        return Page(title, "".join(self._parts), tuple(self._links))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if self._dropped:
            self._depth += tag == self._dropped
        elif tag in _DROPPED or given.get("role") == "navigation":
            self._dropped, self._depth = tag, 1
        elif tag == "title":
            self._in_title = True
        elif tag == "a" and (href := given.get("href")):
            self._open.append((href, -1))
        elif tag == "br":
            self._break("\n")
        elif tag in ("td", "th"):
            self._cell()
        elif tag in _BLOCKS:
            self._start_block(tag)

    def _start_block(self, tag: str) -> None:
        self._break("\n" if tag in _LINES else "\n\n")
        self._pre += tag == "pre"
        if tag == "h1" and not self._heading:
            self._in_heading = True
        if tag == "li" or tag in _HEADINGS:
            self._mark = _HEADINGS.get(tag, "- ")

    def handle_endtag(self, tag: str) -> None:
        if self._dropped:
            self._depth -= tag == self._dropped
            self._dropped = self._dropped if self._depth else ""
        elif tag == "title":
            self._in_title = False
        elif tag == "a" and self._open:
            href, start = self._open.pop()
            if start >= 0:
                self._links.append((href, start, self._length))
        elif tag in _BLOCKS:
            self._break("\n" if tag in _LINES else "\n\n")
            self._mark = ""
            self._pre = max(0, self._pre - (tag == "pre"))
            self._in_heading = self._in_heading and tag != "h1"

    def handle_data(self, data: str) -> None:
        if self._dropped or data == _PERMALINK:
            return
        if self._in_title:
            self._title.append(data)
            return
        text = data.strip("\n") if self._pre else " ".join(data.split())
        if not text:
            self._gap = self._gap or (" " if data and self._length else "")
            return
        if not self._pre and data[0].isspace() and not self._gap:
            self._gap = " "
        self._flush_gap()
        self._open = [(href, self._length if at < 0 else at) for href, at in self._open]
        self._write(text)
        if self._in_heading:
            self._heading.append(text + " ")
        if not self._pre and data[-1].isspace():
            self._gap = " "

    def _cell(self) -> None:
        if self._gap in ("", " ") and self._length:
            self._gap = " | "

    def _break(self, gap: str) -> None:
        """Ask for a line end or a blank line before the next text; the wider one wins."""
        if self._length and len(gap) >= len(self._gap.strip(" |")):
            self._gap = gap

    def _flush_gap(self) -> None:
        """Write the white space and the mark that stand before the next text."""
        if self._length:
            self._write(self._gap)
        self._write(self._mark)
        self._gap = self._mark = ""

    def _write(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)
