"""Whether a response answers the question: rules first, a judge only where they cannot tell.

Some responses are wrong under every kind, and no judge is asked about them: empty ones, those that
leave the answer open, those that list candidates, and those that imitate the answer with letters
of another script. What nobody can tell is None, never wrong.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Annotated, Literal, Protocol, TypeAlias

from longtrace.choices import chosen, either_spelling
from longtrace.records import Verdict
from longtrace.rewards.answer import committed, exact, final_answer, split_thinking
from longtrace.text import STOP_WORDS, normalise_name

Kind: TypeAlias = Literal["exact", "two_way_substring", "judge", "exact_then_judge"]
"""How an outcome is found: equality of words; the answer in the response's answer or the other way
round; a language model; or equality first and the model where the rules leave it open."""
KindOption: TypeAlias = Annotated[Kind, either_spelling]
"""`Kind` as an option of a verb, where `exact-then-judge` is the same as `exact_then_judge`."""

_MOST_ITEMS, _ITEM_WORDS, _SHORT_WORDS, _ECHO_WORDS = 3, 4, 12, 4
_ITEMS = re.compile(r"\s*(?:,(?!\d)|[;/|\n\u3001]|\band\b|\bor\b)\s*", re.IGNORECASE)
_OR = re.compile(r"\bor\b")
_OPEN = re.compile(
    r"\b(?:can ?not|can ?t|could not|couldn ?t|impossible to) (?:be )?"
    r"(?:determined?|say|tell|know|known|answered?|identif(?:y|ied)|found|find)\b"
    r"|\bunable to (?:determine|say|tell|answer|identify|find)\b"
    r"|\b(?:undetermined|indeterminate|inconclusive|unknown|unclear|uncertain|unsure)\b"
    r"|\bnot (?:sure|certain|known|clear|stated|specified|given|provided|mentioned|available"
    r"|enough information)\b"
    r"|\b(?:insufficient|no|not enough) (?:information|evidence|data|answer)\b"
    r"|\bi do(?: not|n ?t) know\b"
)
_MIXED = re.compile(r"\b(?=\w*[A-Za-z])\w*[\u0370-\u03ff\u0400-\u052f]")
_WHOLE = re.compile(r"[-+\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)")
_LOOKS = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u04bb\u0501\u051b\u043a\u043c"
    "\u0442\u043d\u0432\u03bf\u03b1\u03b5\u03b9\u03ba\u03bd\u03c1\u03c4\u03c5\u03c7\u03b7\u0131",
    "aeopcyxijshdqkmtnboaeikvptuxni",
)


class Asks(Protocol):
    """Whoever can compare an answer with the reference answer."""

    async def verdict(
        self, question: str, answer: str, aliases: Sequence[str], response: str
    ) -> Verdict:
        """The verdict on the text after the thinking; `correct` None if there is none."""
        ...


async def outcome(
    response: str,
    *,
    question: str,
    answer: str,
    aliases: Sequence[str] = (),
    kind: Kind = "exact_then_judge",
    judge: Asks | None = None,
) -> Verdict:
    """Whether `response` answers `question`; None where neither rule nor judge could tell.

    Args:
        response: what the model wrote; everything up to the last `</think>` is left out.
        question: shown to the judge.
        answer: the reference answer; `aliases` are further right answers.
        aliases: other forms of the answer.
        kind: see `Kind`.
        judge: asked by `judge` and `exact_then_judge`; without one, what only it could tell is
            None.

    Raises:
        InputError: `kind` is none of `Kind`.
    """
    verdict = by_rule(response, answer, aliases, kind, question)
    if verdict is not None:
        return verdict
    if judge is None:
        return Verdict(correct=None, judge="none", problem="no judge is configured")
    content = split_thinking(response, thinks=False).content
    return await judge.verdict(question, answer, aliases, content)


def default_kind(judge_url: str | None) -> Kind:
    """The kind where none is chosen: rules first, then the judge, if there is one to ask.

    Without one the rules are all there is, and what only a judge could tell counts as wrong, as
    under `exact`: a training in which most wrong answers are unknown would have no signal.
    """
    return "exact_then_judge" if judge_url else "exact"


def by_rule(
    response: str, answer: str, aliases: Sequence[str], kind: Kind, question: str = ""
) -> Verdict | None:
    """The verdict of the rules of `kind`; None where a judge must tell.

    Raises:
        InputError: `kind` is none of `Kind`.
    """
    kind = chosen(kind, Kind, "kind")
    content = split_thinking(response, thinks=False).content
    if not content or _says_nothing(response, content, (answer, *aliases)):
        return Verdict(correct=False, extracted="", judge="rule:empty")
    extracted = final_answer(response)
    same = exact(response, answer, aliases)
    if same.correct and kind != "judge":
        return same
    asks = kind in ("judge", "exact_then_judge")
    if asks and echoes(extracted, question, (answer, *aliases)):
        return Verdict(correct=False, extracted=extracted, judge="rule:echo")
    wrong = refused(extracted, (answer, *aliases), asks=asks)
    if wrong:
        return Verdict(correct=False, extracted=extracted, judge=f"rule:{wrong}")
    if kind == "exact":
        return same
    if kind == "two_way_substring":
        return two_way(extracted, answer, aliases)
    if kind == "exact_then_judge" and _other_number(extracted, (answer, *aliases)):
        return Verdict(correct=False, extracted=extracted, judge="rule:number")
    return None


def _says_nothing(response: str, content: str, golds: Sequence[str]) -> bool:
    """Whether the answer holds no word at all, where a reference answer does."""
    marked = committed(response)
    said = content if marked is None else marked
    return not normalise_name(skeleton(said)) and any(map(normalise_name, golds))


def refused(extracted: str, golds: Sequence[str], *, asks: bool = False) -> str:
    """Why the answer `extracted` is wrong whatever a judge says; empty if it is not.

    `hedge`: it leaves the answer open or offers two; `list`: more than three short items;
    `look_alike`: it is a right answer only to the eye, by letters of another script within a word
    or by characters that cannot be seen. A reference answer that itself holds such words or so many
    items is not held against the response. With `asks`, for kinds that ask a judge, neither is
    "or" in a long sentence, nor "unknown" beside a reference answer ("Paris, though the year is
    unknown"); but a right answer that is not the first of two or three items is, so that naming a
    second candidate gains nothing, however easily the judge is pleased.
    """
    said = " ".join(normalise_name(extracted).split())
    known = [" ".join(normalise_name(gold).split()) for gold in golds]
    looks = {skeleton(gold) for gold in golds}
    if said not in known and _disguised(extracted) and skeleton(extracted) in looks:
        return "look_alike"
    if _hedges(skeleton(extracted).strip(), [look.strip() for look in looks], asks):
        return "hedge"
    items = _items(extracted)
    longest = max((len(_items(gold)) for gold in golds), default=1)
    short = all(len(item.split()) <= _ITEM_WORDS for item in items)
    many = len(items) > max(_MOST_ITEMS, longest)
    return (
        "list" if short and (many or (asks and longest <= 1 and _comes_later(items, known))) else ""
    )


def echoes(extracted: str, question: str, golds: Sequence[str]) -> bool:
    """Whether `extracted` says nothing but words of the question, at least four, none of a gold."""
    said = set(normalise_name(extracted).split()) - STOP_WORDS
    golden = {word for gold in golds for word in normalise_name(gold).split()}
    asked = set(normalise_name(question).split())
    return len(said) >= _ECHO_WORDS and said <= asked and said.isdisjoint(golden)


def _comes_later(items: Sequence[str], golds: Sequence[str]) -> bool:
    """Whether a gold is one of `items`, but not the first; parts of a date are not candidates."""
    names = [" ".join(normalise_name(item).split()) for item in items]
    first, *later = names or [""]
    alike = all(map(str.isdecimal, names)) or not any(map(str.isdecimal, "".join(names)))
    return alike and first not in golds and not set(golds).isdisjoint(later)


def _disguised(text: str) -> bool:
    return bool(_MIXED.search(text)) or any(unicodedata.category(c) == "Cf" for c in text)


def _hedges(said: str, known: Sequence[str], lenient: bool) -> bool:
    named = any(f" {gold} " in f" {said} " for gold in known if gold)
    long = len(said.split()) > _SHORT_WORDS and "either" not in said.split()
    patterns = [] if lenient and long else [_OR]
    if not (lenient and named):
        patterns.append(_OPEN)
    return any(pattern.search(said) and not any(map(pattern.search, known)) for pattern in patterns)


def two_way(extracted: str, answer: str, aliases: Sequence[str] = ()) -> Verdict:
    """Whether the answer stands in `extracted` as whole words, or the other way round.

    Source: the rule that LoongRL and DocQA score with, on whole words and on the final answer
    instead of on characters of the whole response.
    """
    said = normalise_name(extracted)
    golds = [gold for gold in map(normalise_name, (answer, *aliases)) if gold]
    if not golds:
        problem = "the gold answer holds no word or number"
        return Verdict(correct=None, extracted=extracted, judge="two_way", problem=problem)
    tells = bool(set(said.split()) - STOP_WORDS)  # "the" stands in half of all answers
    correct = any(gold in said or (tells and said in gold) for gold in golds)
    return Verdict(correct=correct, extracted=extracted, judge="two_way")


def skeleton(text: str) -> str:
    """What `text` looks like: invisible characters gone, Cyrillic and Greek twins as Latin."""
    shown = "".join(c for c in text if unicodedata.category(c) not in ("Cf", "Cc", "Mn"))
    folded = unicodedata.normalize("NFKC", shown).casefold().translate(_LOOKS)
    return normalise_name(folded)


def _items(text: str) -> list[str]:
    return [item for item in _ITEMS.split(unicodedata.normalize("NFKC", text)) if item]


def _other_number(extracted: str, golds: Sequence[str]) -> bool:
    """Whether `extracted` and every reference answer are bare whole numbers; they differ."""
    return all(_WHOLE.fullmatch(text.strip()) for text in (extracted, *golds))
