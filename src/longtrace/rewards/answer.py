"""What a response's final answer is, and whether it is right, by rule alone.

Thinking never counts: everything up to the last `</think>` is left out, and the same cut is used
for the answer and for the rubric. The rule asks for equality of words and numbers with the gold
answer, so a response that offers two answers, or says that there is none, is wrong.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

from longtrace.records import Verdict
from longtrace.text import normalise_name

Raw: TypeAlias = str | Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""A completion as trainers give it: text, a chat message, or messages of which the last counts."""

_OPEN, _CLOSE = "<think>", "</think>"
_SHORT_CHARS = 200
_NOTHING = (-1, "")
_MARKED = re.compile(r"\banswer(?:\s+is)?\W*?[:\uff1a]", re.IGNORECASE)
_STATED = re.compile(r"\banswer\s+is\b", re.IGNORECASE)
_BRACE = re.compile(r"\\boxed\s*\{|\{|\}")
_LATEX_TEXT = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}")
_NUMBER = re.compile(
    r"(?<![\w.])(?:[-+\u2212](?=[.\d]))?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?!\w)"
)
_STOP = re.compile(r"(?<!\b[^\W\d])\.$")
_ARTICLES = {"a", "an", "the"}
_EDGES = " \t\r\n*_`\"'\u201c\u201d\u2018\u2019"


class Split(NamedTuple):
    """A completion in its two parts."""

    thinking: str
    content: str
    """What is judged; empty if the thinking never ended."""
    well_formed: bool
    """Exactly one thinking part, closed and not empty, followed by content."""


def split_thinking(completion: Raw, *, thinks: bool = True) -> Split:
    """The thinking and the content of a completion, and whether it has the shape it should have.

    Accepts text with both tags, text that starts inside the thinking (templates that end in
    `<think>`), and chat messages whose `reasoning_content` was already split off. The content
    starts after the last `</think>`. Text without that tag is thinking that never ended, hence
    ill-formed.

    Args:
        completion: what the model wrote.
        thinks: False for a model without thinking, where text without either tag is content.

    Source: the published message processor's ill-formed rule; its judge cuts at the last tag too.
    """
    if isinstance(completion, str):
        return _split_text(completion, thinks)
    message = completion if isinstance(completion, Mapping) else _last(completion)
    reasoning = str(message.get("reasoning_content") or "").strip()
    content = str(message.get("content") or "")
    if _OPEN in content or _CLOSE in content or not (reasoning or not thinks):
        split = _split_text(content, thinks)
        return Split(
            reasoning or split.thinking, split.content, split.well_formed and not reasoning
        )
    content = content.strip()
    return Split(reasoning, content, bool(content) and (bool(reasoning) or not thinks))


def final_answer(text: str) -> str:
    r"""The answer a response commits to; empty if it has none.

    After the last `</think>`, the last of: the rest of a line after `answer:` (or the next line
    that is not empty), and `\boxed{...}`. Without either, what follows the last `answer is`, then
    the whole text if it has at most 200 characters.
    """
    marked = committed(text)
    if marked is not None:
        return marked
    content = _split_text(text, thinks=False).content
    stated = _after(_STATED, content)
    if stated != _NOTHING:
        return stated[1]
    return _tidy(content) if len(content) <= _SHORT_CHARS else ""


def committed(text: str) -> str | None:
    r"""What a response marks as its answer by `answer:` or `\boxed{...}`; None if it marks nothing.

    Empty where a mark is followed by nothing.
    """
    content = _split_text(text, thinks=False).content
    found = max(_after(_MARKED, content), _boxed(content))
    return None if found == _NOTHING else found[1]


def exact(text: str, answer: str, aliases: Sequence[str] = ()) -> Verdict:
    """Whether the final answer of `text` has the words and numbers of `answer` or of an alias.

    Case, accents, punctuation and a leading article do not matter; numbers are compared by value,
    so `1,234.50` is `1234.5` and `-5` is not `5`. An empty final answer is wrong. `correct` is None
    only where neither the answer nor an alias holds a word or number to compare with.
    """
    extracted = final_answer(text)
    gold = [key for key in map(_key, (answer, *aliases)) if key]
    if not gold:
        problem = "the gold answer holds no word or number"
        return Verdict(correct=None, extracted=extracted, judge="exact", problem=problem)
    return Verdict(correct=_key(extracted) in gold, extracted=extracted, judge="exact")


def _split_text(text: str, thinks: bool) -> Split:
    closes = text.count(_CLOSE)
    if not closes:
        if thinks or _OPEN in text:
            return Split(text.strip().removeprefix(_OPEN).strip(), "", False)
        return Split("", text.strip(), bool(text.strip()))
    thinking, _, content = text.rpartition(_CLOSE)
    thinking, content = thinking.strip().removeprefix(_OPEN).strip(), content.strip()
    stray = _OPEN in thinking or _OPEN in content
    return Split(thinking, content, closes == 1 and not stray and bool(thinking and content))


def _last(messages: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return messages[-1] if messages else {}


def _after(mark: re.Pattern[str], text: str) -> tuple[int, str]:
    """Position of the last `mark` in `text`, and the first line after it that says something."""
    for last in deque(mark.finditer(text), maxlen=1):
        lines = map(_tidy, text[last.end() :].splitlines())
        return last.start(), next((line for line in lines if line), "")
    return _NOTHING


def _boxed(text: str) -> tuple[int, str]:
    r"""Position and content of the last `\boxed{...}` that is closed, nested braces included."""
    found = _NOTHING
    opened: list[re.Match[str]] = []
    for brace in _BRACE.finditer(text):
        if brace.group() != "}":
            opened.append(brace)
        elif opened:
            start = opened.pop()
            if start.group() != "{" and start.start() > found[0]:
                found = (start.start(), _tidy(text[start.end() : brace.start()]))
    return found


def _tidy(text: str) -> str:
    """`text` without LaTeX text commands; no marks, quotes or full stop at its edges."""
    return _STOP.sub("", _LATEX_TEXT.sub(r"\1", text).strip(_EDGES)).strip(_EDGES)


def _key(text: str) -> tuple[str | Decimal, ...]:
    """The words and the values of the numbers of `text` in order, without a leading article."""
    parts: list[str | Decimal] = []
    end = 0
    for match in _NUMBER.finditer(text):
        parts += normalise_name(text[end : match.start()]).split()
        parts.append(Decimal(match.group().replace(",", "").replace("\u2212", "-")))
        end = match.end()
    parts += normalise_name(text[end:]).split()
    return tuple(parts[1:] if len(parts) > 1 and parts[0] in _ARTICLES else parts)
