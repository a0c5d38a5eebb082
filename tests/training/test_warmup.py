"""The warm start: what is predicted, and what happens to a seed that fails a gate."""

from __future__ import annotations

from random import Random

import pytest

from longtrace.errors import LongtraceError
from longtrace.training import policy, warmup
from longtrace.training.tasks import Task, anonymise, example

torch = pytest.importorskip("torch", reason="needs the train extra")


def quick(needed: float | None, stage: str = "lookup") -> warmup.Plan:
    """A stage of three steps."""
    return warmup.Plan(stage, 3, 3, 2.0, 1e-3, needed)  # type: ignore[arg-type]


def ignored(_: object) -> None:
    """Progress that nobody looks at."""


def spoken(targets: list[int]) -> str:
    words = {token: word for word, token in policy.vocabulary().items()}
    return " ".join(words[token] for token in targets if token >= 0)


def test_a_full_response_names_every_step_and_a_jump_none_of_those_between(
    tasks: list[Task],
) -> None:
    drawn = anonymise(tasks[0], Random(0))
    full = warmup.response(drawn, "full", Random(0))
    jump = warmup.response(drawn, "jump", Random(0))
    for said in (full, jump):
        assert said.endswith(f"\n answer: {drawn.chain[-1]}")
    assert all(entity in full.split() for entity in drawn.chain)
    assert not set(drawn.chain[:-1]) & set(jump.split())


def test_a_cut_response_stops_on_the_way(tasks: list[Task]) -> None:
    drawn = anonymise(tasks[0], Random(0))
    said = {warmup.response(drawn, "cut", Random(seed)) for seed in range(20)}
    assert said
    full = warmup.response(drawn, "full", Random(0)).split(" \n ")[0]
    for one in said:
        steps = one.split(" \n ")[0]
        assert full.startswith(steps)
        assert len(steps) < len(full)


def test_chains_predict_answers_only_and_each_is_right(tasks: list[Task]) -> None:
    tokens, targets = warmup._chain_batch(tasks, Random(0))
    words = {token: word for word, token in policy.vocabulary().items()}
    for row, wanted in zip(tokens.tolist(), targets.tolist(), strict=True):
        assert all(t in (given, -100) for t, given in zip(wanted, row, strict=True))
        text = " ".join(words[token] for token in row if token)
        facts = {
            tuple(fact.split(" ")[:2]): fact.split(" ")[2]
            for fact in text.split(" \n ")[0].removeprefix("<|user|> ").split(" . ")
            if len(fact.split(" ")) >= 3
        }
        for said in filter(None, spoken(wanted).split(" <|end|>")):
            steps, answer = said.strip().split(" \n answer: ")
            entity, *rest = steps.split(" ")
            for relation, found in zip(rest[::2], rest[1::2], strict=True):
                assert facts[entity, relation] == found
                entity = found
            assert entity == answer


def test_the_policy_is_trained_on_what_the_chat_template_writes(tasks: list[Task]) -> None:
    tokenizer = policy.build_tokenizer()
    row = example(tasks[0])
    asked = [message.model_dump() for message in row.messages]
    prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
    tokens, targets = warmup._mixed_batch([tasks[0]], Random(0), warmup.mostly_skipping(0.5))
    written = tokenizer.decode(tokens[0].tolist()).split(" <|end|> ")[0]
    assert prompt.split(" ")[0] == written.split(" ")[0] == policy.USER
    start = next(place for place, token in enumerate(targets[0].tolist()) if token >= 0)
    given = tokenizer.decode(tokens[0].tolist()[:start])
    names = {word for word in prompt.split(" ") if word.startswith("@e")}
    assert len(names) > 10
    shape = [word if not word.startswith("@e") else "@" for word in given.split(" ")]
    wanted = [word if not word.startswith("@e") else "@" for word in prompt.split(" ")]
    assert sorted(shape) == sorted(wanted)
    assert shape[-12:] == wanted[-12:]


def test_the_same_seed_gives_the_same_policy(tasks: list[Task]) -> None:
    def made() -> list[float]:
        model, _ = warmup.warm_start(
            tasks, tasks, seed=0, plans=[quick(None)], said=ignored, advance=ignored
        )
        return [float(p.detach().sum()) for p in model.parameters()]

    assert made() == made()


def test_a_seed_that_fails_a_gate_is_followed_by_the_next_one(tasks: list[Task]) -> None:
    said: list[str] = []
    with pytest.raises(LongtraceError, match="seeds 5 to 7"):
        warmup.warm_start(
            tasks, tasks, seed=5, seeds=3, plans=[quick(0.99)], said=said.append, advance=ignored
        )
    assert [line.split(":")[0] for line in said] == [f"warm start, seed {n}" for n in (5, 6, 7)]
    assert all(line.endswith("gave up") for line in said)


def test_a_failed_gate_ends_the_attempt(tasks: list[Task]) -> None:
    said: list[str] = []
    plans = [quick(0.99), quick(None, "mixed")]
    with pytest.raises(LongtraceError):
        warmup.warm_start(
            tasks, tasks, seed=0, seeds=1, plans=plans, said=said.append, advance=ignored
        )
    assert "mixed" not in said[0]


def test_a_spray_names_many_and_answers_one_of_them(tasks: list[Task]) -> None:
    rng = Random(0)
    for one in tasks[:20]:
        drawn = anonymise(one, rng)
        named, answer = warmup.response(drawn, "spray", rng).split(" \n answer: ")
        names = named.split(" ")
        assert 8 <= len(names) == len(set(names)) <= 14
        assert answer in names


def test_a_mix_has_the_shares_it_is_given(tasks: list[Task]) -> None:
    shares = warmup.mostly_skipping(0.4)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["jump"] == pytest.approx(3 * shares["cut"])
