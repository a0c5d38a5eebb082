"""A language model as judge: the answer is taken out of the response, then compared.

The judge sees as little as possible: the answer a response commits to where it has one, else its
last lines; without thinking, invisible characters and sentences that talk to a judge; and between
fences that the response cannot know. Its last verdict line counts. No verdict after three
tries, or an outage, is None: unknown, not wrong.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Sequence
from importlib import resources
from typing import NamedTuple

from longtrace.errors import InputError
from longtrace.llm import LLM, BudgetError, LLMError, Reply
from longtrace.records import Message, Verdict, content_id
from longtrace.rewards.answer import final_answer
from longtrace.text import STOP_WORDS, normalise_name

_TRIES = 3
_ANSWER_CHARS, _TAIL_CHARS = 300, 600
_FIELDS = ("question", "answer", "aliases", "fence", "response")
_MARKS = (
    r"[ \t\r\f\v\u00a0\u3000>*_`#\"'{(\[-]*"  # no line end: a reply of them alone is linear too
)
_VERDICT = re.compile(
    rf"^{_MARKS}(?:\d+[.)]\s*)?(?:final\s+)?(?:correct|verdict)[\s*_`\"']*[:\uff1a=][\s*_`\"'\[(]*"
    r"(yes|no|true|false)(?![\w/|-])(?!\s+or\b)",
    re.IGNORECASE | re.MULTILINE,
)
_EXTRACTED = re.compile(
    rf"^{_MARKS}extracted(?:[_ ]final)?(?:[_ ]answer)?[\s*_`\"']*[:\uff1a=][ \t*_`\"']*(.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_NO_ANSWER = {"none", "null", "n/a", "no answer"}
_WHO = r"(?:judges?|graders?|evaluators?|checkers?|assistant)"
_TO_JUDGE = re.compile(
    r"\bverdict\b.{0,30}\b(?:yes|no|correct|true)\b|\b(?:correct|right|final|only)\s+verdict\b"
    rf"|\b(?:note|notes|message|instructions?|attention|dear|hey|to)\b.{{0,15}}\b{_WHO}\b"
    rf"|^\W*{_WHO}\s*:|\b{_WHO}\b.{{0,30}}\b(?:must|should|please|has to|have to|is to)\b"
    r"|\bcorrect\W{0,6}[:=]\W{0,4}(?:yes|no|true|false)\b"
    r"|\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:instructions?|rules?|prompts?|above)\b"
    r"|\b(?:mark|grade|score|rate|accept|treat|count|judge)\s+"
    r"(?:this|it|that|me|the (?:answer|response)|my (?:answer|response))\b.{0,40}"
    r"\b(?:correct|right|yes|true|full)\b"
    r"|\b(?:respond|reply|output|write|say)\b.{0,20}[\"'`]?\byes\b"
    r"|<\|[^|>]*\|>|\[/?inst\]|^\W{0,4}extracted\b.*[:=]|^\W{0,4}reason\s*:",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_UPSTREAM_VERDICT = re.compile(r"(?i)\*{0,2}correct\*{0,2}\s*:\s*(no|yes)")
_UPSTREAM_EXTRACTED = re.compile(r"(?i)\*{0,2}extracted_final_answer\*{0,2}\s*:\s*(.*)")


class Read(NamedTuple):
    """What a judge's reply says."""

    correct: bool | None
    extracted: str | None


class Judge:
    """Asks a model for verdicts.

    Args:
        llm: client of the judge's endpoint; its cache makes equal questions free.
        prompt: the prompt with the fields question, answer, aliases, fence and response in braces;
            ours if None.
        max_tokens: longest reply; a judge that thinks needs more.

    Raises: InputError: the prompt lacks a field.
    """

    def __init__(self, llm: LLM, prompt: str | None = None, max_tokens: int = 1024) -> None:
        self._llm = llm
        self._prompt = prompt if prompt is not None else default_prompt()
        self._max_tokens = max_tokens
        self.prompt_hash = content_id(self._prompt)
        for field in ("question", "answer", "response"):
            if f"{{{field}}}" not in self._prompt:
                raise InputError(f"the judge's prompt has no {{{field}}}; see prompts/judge.md")

    async def verdict(
        self, question: str, answer: str, aliases: Sequence[str], response: str
    ) -> Verdict:
        """The judge's verdict on `response`, the text after the thinking.

        `correct` is None, with the problem in words, if three replies held no verdict or the
        endpoint failed.

        Raises:
            BudgetError: the endpoint's budget is used up.
        """
        shown = show(response, (answer, *aliases))
        if not shown:
            return self._verdict(correct=False, extracted="")
        text = render(self._prompt, question, answer, aliases, shown)

        def decides(reply: Reply) -> bool:
            read = read_verdict(reply.text)
            return read.correct is False or bool(read.correct and grounded(read.extracted, shown))

        said = ""
        for sample in range(_TRIES):
            try:
                reply = await self._ask(text, sample, decides)
            except BudgetError:
                raise
            except LLMError as error:
                return self._verdict(problem=str(error))
            said = reply.text
            if decides(reply):
                read = read_verdict(said)
                return self._verdict(correct=read.correct, extracted=read.extracted)
        return self._verdict(
            problem=f"no verdict in {_TRIES} replies, the last of {len(said)} chars"
        )

    async def _ask(self, text: str, sample: int, decides: Callable[[Reply], bool]) -> Reply:
        """A reply to the prompt `text`; one without a verdict is not kept, but asked for again."""
        said = [Message(role="user", content=text)]
        return await self._llm.complete(
            said, max_tokens=self._max_tokens, sample=sample, usable=decides
        )

    def _verdict(
        self, *, correct: bool | None = None, extracted: str | None = None, problem: str = ""
    ) -> Verdict:
        return Verdict(
            correct=correct,
            extracted=extracted,
            judge=self._llm.endpoint.model,
            prompt_hash=self.prompt_hash,
            problem=problem,
        )


class UpstreamJudge(Judge):
    """Reads verdicts as the published server does: unknown is wrong, the whole content is shown."""

    async def verdict(
        self, question: str, answer: str, aliases: Sequence[str], response: str
    ) -> Verdict:
        """Right or wrong, whatever the judge says or fails to say.

        Raises:
            BudgetError: the endpoint's budget is used up.
        """
        prompt = self._prompt.replace("extracted:", "extracted_final_answer:")
        text = render(prompt, question, answer, aliases, response)

        def decides(reply: Reply) -> bool:
            read = (_UPSTREAM_VERDICT, _UPSTREAM_EXTRACTED)
            return all(pattern.search(reply.text) for pattern in read)

        replies: list[str] = []
        for sample in range(_TRIES):
            try:
                reply = await self._ask(text, sample, decides)
            except BudgetError:
                raise
            except LLMError:
                replies.append("")
                continue
            replies.append(reply.text)
            if decides(reply):
                break
        return self._verdict(correct=read_upstream(replies))


def default_prompt() -> str:
    """The text of prompts/judge.md."""
    return (resources.files("longtrace") / "prompts/judge.md").read_text(encoding="utf-8")


def show(response: str, golds: Sequence[str] = ()) -> str:
    """What a judge is shown of a response without its thinking; empty if nothing is left.

    The first 300 characters of the answer it commits to, else its last 600, so that copying the
    prompt shows little of it; without characters that cannot be seen, and without sentences that
    talk to a judge. Words of a reference answer are not held against a sentence: it may be a judge
    who is asked for.
    """
    text = final_answer(response)[:_ANSWER_CHARS] or response.strip()[-_TAIL_CHARS:]
    text = unicodedata.normalize("NFC", text)
    text = "".join(c for c in text if c == "\n" or unicodedata.category(c) not in ("Cf", "Cc"))
    known = re.compile("|".join(map(re.escape, filter(None, golds))) or r"(?!)", re.IGNORECASE)
    parts = filter(None, _SENTENCE.split(text))
    kept = [part for part in parts if not _TO_JUDGE.search(known.sub("", part))]
    return "\n".join(kept).strip()


def render(prompt: str, question: str, answer: str, aliases: Sequence[str], shown: str) -> str:
    """The prompt with its fields filled in; braces in the values stay as they are."""
    fence = hashlib.sha256("\0".join((question, answer, shown)).encode()).hexdigest()[:12]
    values = {
        "question": question,
        "answer": answer,
        "aliases": f"Also right: {'; '.join(aliases)}\n" if aliases else "",
        "fence": f"--- {fence} ---",
        "response": shown,
    }
    field = re.compile(r"\{(" + "|".join(_FIELDS) + r")\}")
    return field.sub(lambda match: values[match.group(1)], prompt)


def read_verdict(text: str) -> Read:
    """The last verdict that stands at the start of a line of a judge's reply, and its extract.

    Markdown, numbering, JSON quotes, letter case and `true`/`false` do not matter. A template that
    was copied (`yes or no`, `yes/no`) is no verdict. `yes` to an answer that the judge itself calls
    none is a no.
    """
    if "<think>" in text and "</think>" not in text:
        return Read(None, None)
    text = text.rpartition("</think>")[2]
    verdicts = _VERDICT.findall(text)
    extracts = _EXTRACTED.findall(text)
    extracted = extracts[-1].strip(" \t*_`\"',.") if extracts else None
    if not verdicts:
        return Read(None, extracted)
    correct = verdicts[-1].lower() in ("yes", "true")
    if extracted is not None and extracted.lower() in _NO_ANSWER:
        correct = False
    return Read(correct, extracted)


def grounded(extracted: str | None, shown: str) -> bool:
    """Whether what a judge claims to have taken out of a response can be from there.

    True if at least half of its words that say something stand in `shown`, or if there is no such
    word. A weak judge copies the reference answer or the question into a wrong response; its yes is
    then no verdict.
    """
    said = set(normalise_name(extracted or "").split()) - STOP_WORDS
    return 2 * len(said.intersection(normalise_name(shown).split())) >= len(said)


def read_upstream(replies: Sequence[str]) -> bool:
    """The published reading of up to three replies of one judge, defects included.

    The first match anywhere counts; a reply without an extracted answer is asked again, and then
    the last reply's verdict decides without lower-casing; no verdict at all is wrong.

    Source: method notes of the published reward server, defects 6 to 9.
    """
    verdict = ""
    for reply in replies[:_TRIES]:
        found = _UPSTREAM_VERDICT.search(reply)
        verdict = found.group(1) if found else ""
        if found and _UPSTREAM_EXTRACTED.search(reply):
            return verdict.lower() == "yes"
    return verdict == "yes"
