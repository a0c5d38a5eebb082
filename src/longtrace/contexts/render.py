"""Documents and a question into the prompt that a policy reads.

The question stands after the documents, so that nothing can be skipped while reading. The
instruction asks for the names on the way, because the rubric looks for them in the final answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple, Protocol

import numpy as np

from longtrace.records import Context, Passage, content_id
from longtrace.tokens import Tokens

WIDEST_NUMBER = 999


class Texts(Protocol):
    """Where titles and texts come from; `longtrace.corpus.corpus.Corpus` is one."""

    def id(self, key: str) -> int:
        """Id of the document with `key`."""

    def title(self, doc: int) -> str:
        """Title of document `doc`."""

    def text(self, doc: int) -> str:
        """Text of document `doc`."""


class Frame(NamedTuple):
    """What stands round the documents."""

    head: str
    tail: str


class Counted(NamedTuple):
    """Exact token counts of one prompt."""

    total: int
    passages: tuple[int, ...]
    """Tokens that begin inside each passage; with those of the frame they add up to `total`."""


def section(number: int, title: str, text: str) -> str:
    """One document as it stands in a prompt, from its opening tag to the blank line after it."""
    return f'<section id="{number}">\n{heading(title)}\n\n{text}\n</section>\n\n'


def heading(title: str) -> str:
    """A title on one line, underscores as spaces."""
    return " ".join(title.replace("_", " ").split())


def frame(question: str) -> Frame:
    """The instruction and `question`, before and after the documents."""
    head, _, rest = _template().partition("{documents}")
    before, _, after = rest.partition("{question}")
    return Frame(head, f"{before}{question}{after}")


def prompt(sections: Sequence[str], question: str) -> str:
    """The whole prompt: documents first, then the instruction and the question."""
    head, tail = frame(question)
    return f"{head}{''.join(sections)}{tail}"


def sections(passages: Sequence[Passage], texts: Texts) -> list[str]:
    """The passages of a context as they stand in its prompt, numbered from 1."""
    return [
        section(number, texts.title(doc), texts.text(doc)[: passage.chars])
        for number, passage in enumerate(passages, 1)
        for doc in (texts.id(passage.doc),)
    ]


def prompt_of(context: Context, question: str, texts: Texts) -> str:
    """The prompt that `context` is the recipe of."""
    return prompt(sections(context.passages, texts), question)


def count(parts: Sequence[str], question: str, tokens: Tokens) -> Counted:
    """Tokens of the prompt made of the sections `parts`, whole and section by section."""
    starts = tokens.starts(prompt(parts, question))
    ends = len(frame(question).head) + np.cumsum([0, *map(len, parts)])
    each = np.diff(np.searchsorted(starts, ends))
    return Counted(len(starts), tuple(int(n) for n in each))


def fingerprint() -> str:
    """Hash of everything that decides how a prompt is worded."""
    return content_id(_template(), section(1, "title", "text"))


@cache
def _template() -> str:
    path = files("longtrace") / "prompts" / "answer.md"
    return path.read_text(encoding="utf-8").strip()
