"""Warm start of the tiny policy: read a fact, follow a chain, then answer in mixed styles.

Three stages of next-token training, two of them gated: `lookup` (facts of a context asked again),
`chains` (several questions of one to three steps about one context, written out step by step) and
`mixed` (most responses skip steps, so that the policy answers some questions only). Asking several
questions about one context is what makes `chains` work on every seed tried; with one question a
context some seeds stay at a plateau. A seed that fails a gate is given up for the next one, and the
record says so.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from random import Random
from statistics import fmean
from typing import Any, Literal, NamedTuple

from longtrace.errors import LongtraceError
from longtrace.records import Record
from longtrace.training.policy import ANSWER, ASSISTANT, END, USER, build_model, vocabulary
from longtrace.training.tasks import Anonymised, Task, anonymise, context, question

_BATCH = 32
_IGNORED = -100
_RISE_STEPS = 50
_WINDOW = 20
_ASKED_AGAIN = 16
_QUESTIONS = 5
_CHECKED = 200
_SPRAYED = (8, 14)

Style = Literal["full", "cut", "jump", "spray"]
"""All steps; the first steps and then the answer; only the last relation and the answer; many names
of the context and one of them as the answer, right by chance only."""
Tokens = tuple[list[int], list[int]]
"""Token ids and, at the same places, what is to be predicted (`_IGNORED`: nothing)."""
Batch = tuple[Any, Any]
"""Token ids and targets, int64[batch, length], padded on the right."""


class StageReport(Record):
    """How one stage of a warm start went."""

    stage: Literal["lookup", "chains", "mixed"]
    steps: int
    accuracy: float
    """Token accuracy over the last batches; for `chains`, held-out questions answered right."""
    needed: float | None
    """The gate; None where there is none."""

    @property
    def passed(self) -> bool:
        """Whether the gate was met."""
        return self.needed is None or self.accuracy >= self.needed


class Attempt(Record):
    """One seed's warm start, up to its last stage or the gate it failed."""

    seed: int
    stages: tuple[StageReport, ...]

    @property
    def passed(self) -> bool:
        """Whether every stage met its gate."""
        return all(stage.passed for stage in self.stages)

    @property
    def summary(self) -> str:
        """The attempt in one line."""
        stages = ", ".join(f"{s.stage} {s.accuracy:.2f} after {s.steps} steps" for s in self.stages)
        return f"warm start, seed {self.seed}: {stages}{'' if self.passed else ': gave up'}"


class Plan(NamedTuple):
    """What one stage of a warm start is given and must reach."""

    stage: Literal["lookup", "chains", "mixed"]
    steps: int
    at_least: int
    enough: float
    """Token accuracy over the last batches that ends the stage early; above 1 for never."""
    learning_rate: float
    needed: float | None


PLAN = (
    Plan("lookup", 500, 200, 0.92, 4e-3, 0.80),
    Plan("chains", 500, 100, 0.995, 2e-3, 0.90),
    Plan("mixed", 150, 150, 2.0, 1e-3, None),
)


def warm_start(
    tasks: Sequence[Task],
    held_out: Sequence[Task],
    *,
    seed: int,
    seeds: int = 4,
    full_share: float = 0.25,
    plans: Sequence[Plan] = PLAN,
    said: Callable[[str], None],
    advance: Callable[[int], None],
) -> tuple[Any, list[Attempt]]:
    """A warm-started policy and the attempts it took; the same for the same tasks and seed.

    Args:
        tasks: what is trained on.
        held_out: what the `chains` gate is measured on.
        seed: the first seed tried; the next ones follow it.
        seeds: the most seeds to try.
        full_share: share of the `mixed` responses that show every step, in (0, 1).
        plans: the stages, in order.
        said: called with a line when a seed is given up.
        advance: told the steps done in the present attempt, of at most `total_steps()`.

    Raises:
        LongtraceError: no seed passed the gates.
    """
    attempts: list[Attempt] = []
    for tried in range(seed, seed + seeds):
        model, attempt = _attempt(tasks, held_out, tried, full_share, plans, advance)
        attempts.append(attempt)
        if attempt.passed:
            return model, attempts
        said(attempt.summary)
    raise LongtraceError(
        f"the tiny policy did not learn its task with seeds {seed} to {seed + seeds - 1}; "
        "run `longtrace train` with another --seed, or look at the tasks in training/data.jsonl"
    )


def mix(
    model: Any, tasks: Sequence[Task], styles: Mapping[Style, float], *, seed: int, plan: Plan
) -> StageReport:
    """Teach `model` to answer `tasks` in `styles`, each with its share of the responses."""
    batch = partial(_mixed_batch, tasks, Random(f"mixed-{seed}"), styles)
    steps, accuracy = _train(model, plan, lambda _: batch(), lambda _: None)
    return StageReport(stage=plan.stage, steps=steps, accuracy=accuracy, needed=plan.needed)


def mostly_skipping(full_share: float) -> dict[Style, float]:
    """The mix in which `full_share` shows every step and three of four others only jump."""
    rest = (1 - full_share) / 4
    return {"full": full_share, "cut": rest, "jump": 3 * rest}


def total_steps() -> int:
    """The most steps one attempt takes."""
    return sum(plan.steps for plan in PLAN)


def response(drawn: Anonymised, style: Style, rng: Random) -> str:
    """An answer to a task, with more or fewer steps before it; right unless it is a `spray`."""
    if style == "spray":
        return _sprayed(drawn, rng)
    shown = {"full": len(drawn.relations), "cut": 0, "jump": 0}[style]
    if style == "cut":
        shown = rng.randint(1, len(drawn.relations) - 1)
    return _written(drawn.chain, drawn.relations, shown)


def _sprayed(drawn: Anonymised, rng: Random) -> str:
    names = sorted({name for fact in drawn.facts for name in (fact[0], fact[2])})
    named = rng.sample(names, rng.randint(*_SPRAYED))
    return " ".join([*named, "\n", ANSWER, rng.choice(named)])


def _written(chain: Sequence[str], relations: Sequence[str], shown: int) -> str:
    if shown:
        steps = [chain[0]]
        for relation, entity in zip(relations[:shown], chain[1 : shown + 1], strict=True):
            steps += [relation, entity]
    else:
        steps = [relations[-1], chain[-1]]
    return " ".join([*steps, "\n", ANSWER, chain[-1]])


def _attempt(
    tasks: Sequence[Task],
    held_out: Sequence[Task],
    seed: int,
    full_share: float,
    plans: Sequence[Plan],
    advance: Callable[[int], None],
) -> tuple[Any, Attempt]:
    makers: dict[str, Callable[[Random, int], Batch]] = {
        "lookup": lambda rng, step: _lookup_batch(tasks, rng, step),
        "chains": lambda rng, _: _chain_batch(tasks, rng),
        "mixed": lambda rng, _: _mixed_batch(tasks, rng, mostly_skipping(full_share)),
    }
    model, reports, done = build_model(seed), list[StageReport](), 0
    for plan in plans:
        batch = partial(makers[plan.stage], Random(f"{plan.stage}-{seed}"))
        steps, accuracy = _train(model, plan, batch, partial(_shifted, advance, done))
        done += steps
        if plan.stage == "chains":
            accuracy = _answered(model, held_out[:_CHECKED])
        reports.append(
            StageReport(stage=plan.stage, steps=steps, accuracy=accuracy, needed=plan.needed)
        )
        if not reports[-1].passed:
            break
    return model, Attempt(seed=seed, stages=tuple(reports))


def _shifted(advance: Callable[[int], None], done: int, step: int) -> None:
    advance(done + step)


def _train(
    model: Any, plan: Plan, batch: Callable[[int], Batch], advance: Callable[[int], None]
) -> tuple[int, float]:
    """AdamW with a rise and a cosine fall; (steps taken, token accuracy over the last batches)."""
    import torch
    from torch.nn.functional import cross_entropy

    optimizer = torch.optim.AdamW(
        model.parameters(), lr=plan.learning_rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    recent = deque[float](maxlen=_WINDOW)
    model.train()
    for step in range(plan.steps):
        rate = plan.learning_rate * _schedule(step, plan.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        tokens, targets = batch(step)
        hidden = model.model(input_ids=tokens[:, :-1]).last_hidden_state
        asked = targets[:, 1:] != _IGNORED
        logits, wanted = model.lm_head(hidden[asked]), targets[:, 1:][asked]
        optimizer.zero_grad()
        cross_entropy(logits, wanted).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        advance(step + 1)
        recent.append(float((logits.argmax(-1) == wanted).float().mean()))
        if step + 1 >= plan.at_least and fmean(recent) >= plan.enough:
            break
    model.eval()
    return step + 1, round(fmean(recent), 4)


def _schedule(step: int, steps: int) -> float:
    fall = 0.45 * (1 + math.cos(math.pi * step / steps)) + 0.1
    return min(1.0, (step + 1) / _RISE_STEPS) * fall


def _lookup_batch(tasks: Sequence[Task], rng: Random, step: int) -> Batch:
    """Facts, then some of them again; objects are predicted. The context grows at first."""
    words, rows = vocabulary(), list[Tokens]()
    size = int(8 + 12 * min(1.0, step / 240))
    for _ in range(_BATCH):
        facts = anonymise(rng.choice(tasks), rng).facts[:size]
        read = _ids(words, f"{USER} {context(facts)} \n question:")
        asked = [fact for _ in range(_ASKED_AGAIN) for fact in [rng.choice(facts)]]
        again = [words[word] for fact in asked for word in fact]
        wanted = [t for f in asked for t in (_IGNORED, _IGNORED, words[f[2]])]
        rows.append((read + again, [_IGNORED] * len(read) + wanted))
    return _padded(rows)


def _chain_batch(tasks: Sequence[Task], rng: Random) -> Batch:
    """Several questions about one context, answered step by step; the task's own is among them."""
    words, rows = vocabulary(), list[Tokens]()
    for _ in range(_BATCH):
        drawn = anonymise(rng.choice(tasks), rng)
        asked = [(drawn.chain, drawn.relations), *_side_questions(drawn, rng)]
        rng.shuffle(asked)
        row: Tokens = (_ids(words, f"{USER} {context(drawn.facts)} \n"), [])
        row[1].extend([_IGNORED] * len(row[0]))
        for number, (chain, relations) in enumerate(asked):
            opening = f"{USER} " if number else ""
            answer = _written(chain, relations, len(relations))
            _say(row, words, opening + question(chain[0], relations), answer)
        rows.append(row)
    return _padded(rows)


def _mixed_batch(tasks: Sequence[Task], rng: Random, styles: Mapping[Style, float]) -> Batch:
    """One question a context, answered in one of the styles."""
    words, rows = vocabulary(), list[Tokens]()
    for _ in range(_BATCH):
        drawn = anonymise(rng.choice(tasks), rng)
        style = rng.choices(list(styles), list(styles.values()))[0]
        row: Tokens = (_ids(words, f"{USER} {context(drawn.facts)} \n"), [])
        row[1].extend([_IGNORED] * len(row[0]))
        asked = question(drawn.chain[0], drawn.relations)
        _say(row, words, asked, response(drawn, style, rng))
        rows.append(row)
    return _padded(rows)


def _side_questions(
    drawn: Anonymised, rng: Random
) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Other questions that the facts of a context answer: (chain, relations), longer ones first."""
    objects = {(subject, relation): value for subject, relation, value in drawn.facts}
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for _ in range(4 * _QUESTIONS):
        chain, relations = [rng.choice(drawn.facts)[0]], list[str]()
        while len(relations) < len(drawn.relations):
            onward = [
                (r, o)
                for (s, r), o in objects.items()
                if s == chain[-1] and r not in relations and o not in chain
            ]
            if not onward:
                break
            relation, value = rng.choice(onward)
            relations.append(relation)
            chain.append(value)
        if relations and tuple(chain) != drawn.chain:
            found[tuple(chain)] = tuple(relations)
    longest = sorted(found.items(), key=lambda item: -len(item[1]))
    yield from longest[: _QUESTIONS // 2]
    others = longest[_QUESTIONS // 2 :]
    yield from rng.sample(others, min(len(others), _QUESTIONS - 1 - _QUESTIONS // 2))


def _say(row: Tokens, words: dict[str, int], asked: str, answer: str) -> None:
    """Append a turn of each side as the chat template has it; only the answer is predicted."""
    prompt = _ids(words, f"{asked} {END} \n {ASSISTANT}")
    reply = _ids(words, f"{answer} {END}")
    row[0].extend([*prompt, *reply, words["\n"]])
    row[1].extend([*[_IGNORED] * len(prompt), *reply, _IGNORED])


def _ids(words: dict[str, int], text: str) -> list[int]:
    return [words[word] for word in text.split(" ") if word]


def _padded(rows: Sequence[Tokens]) -> Batch:
    """Padded on the right, which changes nothing under a causal model, so no mask is needed."""
    import torch

    length = max(len(tokens) for tokens, _ in rows)
    tokens = torch.zeros(len(rows), length, dtype=torch.long)
    targets = torch.full((len(rows), length), _IGNORED)
    for number, (given, wanted) in enumerate(rows):
        tokens[number, : len(given)] = torch.tensor(given)
        targets[number, : len(wanted)] = torch.tensor(wanted)
    return tokens, targets


def _answered(model: Any, tasks: Sequence[Task]) -> float:
    """Share of tasks answered right, greedily."""
    import torch

    words, right = vocabulary(), 0
    by_length: dict[int, list[tuple[list[int], int]]] = {}
    rng = Random(0)
    for drawn in (anonymise(task, rng) for task in tasks):
        asked = question(drawn.chain[0], drawn.relations)
        prompt = _ids(words, f"{USER} {context(drawn.facts)} \n {asked} {END} \n {ASSISTANT}")
        by_length.setdefault(len(prompt), []).append((prompt, words[drawn.chain[-1]]))
    for same in by_length.values():  # equal lengths need no padding
        tokens = torch.tensor([prompt for prompt, _ in same])
        with torch.no_grad():
            written = model.generate(
                input_ids=tokens,
                attention_mask=torch.ones_like(tokens),
                max_new_tokens=16,
                do_sample=False,
            )
        for line, (prompt, answer) in zip(written.tolist(), same, strict=True):
            reply = line[len(prompt) :]
            right += words[ANSWER] in reply and reply[reply.index(words[ANSWER]) + 1 :][:1] == [
                answer
            ]
    return round(right / max(1, len(tasks)), 4)
