"""A tree of Markdown, HTML and text files; relative links become links between documents.

The key of a document is its path below the folder, with `/` between parts. Hidden files and other
kinds are skipped. Files are read in the order of their paths.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterator
from pathlib import Path
from posixpath import join, normpath
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from longtrace.corpus.readers.base import Item, Reader, Rejected
from longtrace.corpus.readers.markup import Page, html_page, markdown_page
from longtrace.errors import InputError
from longtrace.records import Document, Link

_MARKDOWN = (".md", ".markdown", ".mdx")
_HTML = (".html", ".htm", ".xhtml")
_SUFFIXES = (*_MARKDOWN, *_HTML, ".txt")
_INDEX = ("index.md", "index.html", "README.md", "readme.md", "index.htm")
_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
_HEAD_BYTES = 4096


class _File(NamedTuple):
    root: str
    key: str


def _records(path: Path | None) -> Iterator[_File | Rejected]:
    """Files below `path`, in the order of their paths; folders that cannot be listed.

    Raises:
        InputError: no path, or not a folder.
    """
    if path is None or not path.is_dir():
        raise InputError(f"--reader folder needs --path FOLDER; {path} is none")
    unlisted: list[Rejected] = []

    def note(error: OSError) -> None:
        what = str(error.strerror)
        unlisted.append(Rejected(str(error.filename), 0, "unreadable folder", what))

    for folder, folders, files in os.walk(path, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(_SUFFIXES) and not name.startswith("."):
                yield _File(str(path), (Path(folder) / name).relative_to(path).as_posix())
    yield from unlisted


def _parse(file: _File | Rejected) -> Item:
    if isinstance(file, Rejected):
        return file
    path = Path(file.root) / file.key
    if not file.key.isprintable() and any("\ud800" <= c <= "\udfff" for c in file.key):
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        return Rejected(shown, 0, "broken encoding", "the file's name is not UTF-8")
    if path.is_symlink() and not _inside(path, Path(file.root)):
        what = "a symbolic link that leads out of the folder"
        return Rejected(str(path), 0, "link out of the folder", what)
    try:
        text = _decode(path.read_bytes(), html=path.suffix.lower() in _HTML)
    except OSError as error:
        return Rejected(str(path), 0, "unreadable file", str(error.strerror))
    except (UnicodeDecodeError, LookupError) as error:
        what = f"{error}; expected UTF-8 or, in HTML, the encoding that the file declares"
        return Rejected(str(path), 0, "broken encoding", what)
    page = _page(path, text)
    links = None
    if page.links is not None:
        links = tuple(
            Link(target=target, start=start, end=end)
            for href, start, end in page.links
            if (target := resolve(Path(file.root), file.key, href)) is not None
        )
    return Document(
        key=file.key,
        title=page.title or path.stem,
        text=page.text,
        links=links,
        aliases=page.aliases,
        source=file.key,
    )


def _inside(path: Path, root: Path) -> bool:
    """Whether a link leads to a place below `root`; one that leads nowhere counts as inside."""
    try:
        return path.resolve(strict=True).is_relative_to(root.resolve())
    except (OSError, RuntimeError):
        return True


def _page(path: Path, text: str) -> Page:
    suffix = path.suffix.lower()
    if suffix in _MARKDOWN:
        return markdown_page(text)
    if suffix in _HTML:
        return html_page(text)
    return Page("", text.strip(), None)


def _decode(data: bytes, *, html: bool) -> str:
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return data.decode(encoding)
    declared = _CHARSET.search(data[:_HEAD_BYTES]) if html else None
    return data.decode(declared[1].decode("ascii") if declared else "utf-8")


def resolve(root: Path, key: str, href: str) -> str | None:
    """Key of the file that `href` in the file `key` points to; None if it is not a relative link.

    A link to a folder means its index page; a missing ending is looked for. What points to no file
    comes back as the path it names, to be counted as a dead link.
    """
    try:
        parts = urlsplit(href.strip())
    except ValueError:
        return None
    if parts.scheme or parts.netloc or not parts.path:
        return None
    path = unquote(parts.path)
    wanted = normpath(path.lstrip("/") if path.startswith("/") else join(key, "..", path))
    if wanted.startswith(".."):
        return wanted
    tries = [wanted, *(wanted + s for s in (".md", ".html", ".htm", ".txt"))]
    tries += [normpath(join(wanted, name)) for name in _INDEX]
    found = (t for t in tries if t.lower().endswith(_SUFFIXES) and _is_file(root / t))
    return next(found, wanted)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


FOLDER = Reader(_records, _parse)
