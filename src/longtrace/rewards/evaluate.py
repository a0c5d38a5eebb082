"""The published reward server's `/evaluate`: what a request asks, and what it is answered.

Keys, defaults and arithmetic are the published ones. With the rules `longtrace` names are matched
as whole words, thinking is cut at the last tag, and what cannot be judged is said to be so; with
`upstream` the published behaviour is kept, defects included.

Source: method notes of the published server, section 4.2; its `reward` is always the plain sum
(1 - ratio) * outcome + ratio * raw rubric, and the group formula is the trainer's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from longtrace.errors import InputError
from longtrace.records import Score
from longtrace.rewards.answer import split_thinking
from longtrace.rewards.combine import combine
from longtrace.rewards.rubric import Match, rubric_score

Rules: TypeAlias = Literal["longtrace", "upstream"]
"""Ours, or the published server's bit for bit."""
MATCH: dict[Rules, Match] = {"longtrace": "words", "upstream": "upstream"}
_CLOSE = "</think>"


class Asked(NamedTuple):
    """A request, read."""

    judged: str
    """Text a judge sees, after the last `</think>`; empty text is wrong without asking."""
    scored: str
    """Text in which entities are looked for."""
    question: str
    label: str
    entities: tuple[str | int, ...]
    ratio: float
    """Weight of the rubric; 0 skips the rubric, 1 the judge."""
    zero: bool = False
    """There is no answer to look at: everything is 0."""

    @property
    def needs_outcome(self) -> bool:
        """Whether the answer is to be judged at all."""
        return not self.zero and self.ratio < 1 and bool(self.judged)


class Answered(NamedTuple):
    """The three numbers of an answer."""

    reward: float
    outcome_reward: float
    rubric_reward: float


def read(body: object, rules: Rules = "longtrace") -> Asked:
    """A request's parts.

    Raises:
        InputError: a field is missing or has another type; says which.
    """
    top = _mapping(body, "the body")
    info = _mapping(_need(top, "extra_reward_info"), "extra_reward_info")
    label = _text(_need(top, "label"), "label")
    if rules == "longtrace" and not label.strip():
        raise InputError("label is empty: there is nothing to compare with")
    ratio = _need(info, "rubric_reward_ratio")
    if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 <= ratio <= 1:
        raise InputError("rubric_reward_ratio must be a number from 0 to 1")
    if _text(_need(info, "dataset_name"), "dataset_name").lower() == "longrlvr":
        raise InputError("dataset_name longrlvr: its chunk reward is not served here")
    question = _text(_need(info, "question"), "question") if ratio < 1 else ""
    flags = ("rubric_use_content", "rubric_use_reasoning_content")
    content, reasoning = (bool(_need(info, flag)) if ratio > 0 else False for flag in flags)
    judged, scored, zero = _texts(top, content, reasoning, rules)
    return Asked(judged, scored, question, label, _entities(info), float(ratio), zero)


def answer(asked: Asked, correct: bool, rules: Rules = "longtrace") -> Answered:
    """The numbers for a request whose answer is right or not.

    Raises:
        InputError: an entity is a number and the rules are `upstream`.
    """
    if asked.zero:
        return Answered(0.0, 0.0, 0.0)
    outcome = float(correct) if asked.needs_outcome else 0.0
    share = 0.0
    if asked.ratio > 0:
        share = rubric_score(asked.scored, asked.entities, match=MATCH[rules]).share
    score = Score(outcome=outcome, rubric=share)
    (reward,) = combine([score], eta=asked.ratio, credit="always", normalize="raw")
    return Answered(reward or 0.0, outcome, share)


def _texts(
    top: Mapping[str, Any], content: bool, reasoning: bool, rules: Rules
) -> tuple[str, str, bool]:
    """The judged text, the scored text, and whether there is nothing to look at."""
    history = top.get("history")
    if history is not None:
        if not isinstance(history, Sequence) or isinstance(history, str) or not history:
            raise InputError("history must be a list of at least one message")
        messages = [_mapping(message, "a message of history") for message in history]
        for message in messages:
            if not isinstance(message.get("content"), str | None):
                raise InputError("the content of a message must be text")
        last = messages[-1]
        if last.get("role") != "assistant" or not last.get("content"):
            return "", "", True
        turns = [m for m in messages if m.get("role") == "assistant"]
        parts = [_turn(message, rules) for message in turns]
    else:
        response = _need(top, "response")
        if not isinstance(response, str):
            raise InputError("response must be text")
        parts = [_response(response, rules)]
    joint = "" if rules == "upstream" else "\n"
    scored = joint.join(
        text
        for thinking, said in parts
        for text, wanted in ((thinking, reasoning), (said, content))
        if wanted and text
    )
    judged = parts[-1][1].rpartition(_CLOSE)[2].strip()
    if rules == "longtrace" and not judged:
        return "", "", True
    return judged, scored, False


def _turn(message: Mapping[str, Any], rules: Rules) -> tuple[str, str]:
    """Thinking and content of an assistant message."""
    if rules == "upstream":
        return str(message.get("reasoning_content") or ""), str(message.get("content") or "")
    split = split_thinking(message, thinks=False)
    return split.thinking, split.content


def _response(text: str, rules: Rules) -> tuple[str, str]:
    """Thinking and content of a raw response; the published code cuts at the first tag."""
    if rules == "upstream":
        thinking, tag, content = text.partition(_CLOSE)
        return (thinking.strip().removeprefix("<think>"), content) if tag else ("", text)
    split = split_thinking(text, thinks=False)
    return split.thinking, split.content


def _entities(info: Mapping[str, Any]) -> tuple[str | int, ...]:
    rubrics = info.get("rubrics") or ()
    if isinstance(rubrics, str) or not isinstance(rubrics, Sequence):
        raise InputError("rubrics must be a list of names")
    for name in rubrics:
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise InputError("rubrics must be a list of names")
    return tuple(rubrics)


def _need(mapping: Mapping[str, Any], key: str) -> Any:
    if mapping.get(key) is None:
        raise InputError(f"{key} is missing")
    return mapping[key]


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{what} must be a JSON object")
    return value


def _text(value: object, what: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"{what} must be text")
    return str(value)
