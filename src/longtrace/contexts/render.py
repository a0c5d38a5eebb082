"""Documents and a question into the prompt that a policy reads.

The question stands after the documents, so that nothing can be skipped while reading. The
instruction asks for the names on the way, because the rubric looks for them in the final answer.
Instructions are worded and documents are set off in several ways, drawn for every question, so that
a policy learns the task and not one form of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from random import Random
from typing import Literal, NamedTuple

import numpy as np

from longtrace.contexts.units import Texts
from longtrace.records import Context, Passage, content_id
from longtrace.tokens import Tokens

PHRASINGS = ("answer", "answer-brief", "answer-steps", "answer-task-first")
"""Files of `longtrace/prompts`; the first is the one that is used without variation."""


class Layout(NamedTuple):
    """What stands round a document's text; `number` and `title` are filled in."""

    head: str
    foot: str


LAYOUTS: Mapping[str, Layout] = {
    "section": Layout('<section id="{number}">\n{title}\n\n', "\n</section>\n\n"),
    "bracket": Layout("[{number}] {title}\n\n", "\n\n\n"),
    "rule": Layout("----- Document {number} -----\nTitle: {title}\n\n", "\n\n"),
    "element": Layout(
        "<document>\n<number>{number}</number>\n<title>{title}</title>\n<text>\n",
        "\n</text>\n</document>\n\n",
    ),
}
"""Layouts by name; the first is the one that is used without variation."""


class Form(NamedTuple):
    """How a prompt is worded and set."""

    phrasing: str = PHRASINGS[0]
    layout: str = next(iter(LAYOUTS))


class Frame(NamedTuple):
    """What stands round the documents."""

    head: str
    tail: str


class Counted(NamedTuple):
    """Exact token counts of one prompt."""

    total: int
    passages: tuple[int, ...]
    """Tokens that begin inside each passage; with those of the frame they add up to `total`."""


PLAIN = Form()


def form(prompts: Literal["varied", "fixed"], seed: int, question_id: str) -> Form:
    """The form of a question's prompts: the same for all strategies, and for all rungs."""
    if prompts == "fixed":
        return PLAIN
    rng = Random(f"{seed}-form-{question_id}")
    return Form(rng.choice(PHRASINGS), rng.choice(list(LAYOUTS)))


def section(number: int, title: str, text: str, layout: str = PLAIN.layout) -> str:
    """One document as it stands in a prompt, with the white space after it."""
    head, foot = LAYOUTS[layout]
    return f"{head.format(number=number, title=heading(title))}{text}{foot}"


def heading(title: str) -> str:
    """A title on one line, underscores as spaces."""
    return " ".join(title.replace("_", " ").split())


def frame(question: str, phrasing: str = PLAIN.phrasing) -> Frame:
    """The instruction and `question`, before and after the documents."""
    head, _, rest = _template(phrasing).partition("{documents}")
    before, _, after = rest.partition("{question}")
    return Frame(head, f"{before}{question}{after}")


def prompt(sections: Sequence[str], question: str, phrasing: str = PLAIN.phrasing) -> str:
    """The whole prompt: documents, then what is asked of the reader, last the question."""
    head, tail = frame(question, phrasing)
    return f"{head}{''.join(sections)}{tail}"


def sections(passages: Sequence[Passage], texts: Texts, layout: str = PLAIN.layout) -> list[str]:
    """The passages of a context as they stand in its prompt, numbered from 1."""
    return [
        section(number, texts.title(doc), passage.part(texts.text(doc)), layout)
        for number, passage in enumerate(passages, 1)
        for doc in (texts.id(passage.doc),)
    ]


def prompt_of(context: Context, question: str, texts: Texts) -> str:
    """The prompt that `context` is the recipe of."""
    parts = sections(context.passages, texts, context.layout)
    return prompt(parts, question, context.phrasing)


def count(
    parts: Sequence[str], question: str, tokens: Tokens, phrasing: str = PLAIN.phrasing
) -> Counted:
    """Tokens of the prompt made of the sections `parts`, whole and section by section."""
    starts = tokens.starts(prompt(parts, question, phrasing))
    ends = len(frame(question, phrasing).head) + np.cumsum([0, *map(len, parts)])
    each = np.diff(np.searchsorted(starts, ends))
    return Counted(len(starts), tuple(int(n) for n in each))


def fingerprint() -> str:
    """Hash of everything that decides how a prompt is worded."""
    layouts = {name: list(layout) for name, layout in LAYOUTS.items()}
    return content_id([_template(name) for name in PHRASINGS], layouts)


@cache
def _template(phrasing: str) -> str:
    path = files("longtrace") / "prompts" / f"{phrasing}.md"
    return path.read_text(encoding="utf-8").strip()
