import shutil
from pathlib import Path

import orjson
import pytest

from longtrace.config import Options
from longtrace.contexts import render
from longtrace.contexts.assemble import Bench, assemble
from longtrace.contexts.counts import Counts
from longtrace.contexts.stage import Config, run
from longtrace.contexts.strategies import STRATEGIES
from longtrace.corpus.corpus import Corpus
from longtrace.errors import InputError, RunFolderError
from longtrace.records import Context, Tier
from longtrace.store import read_json, read_records
from longtrace.tokens import Tokens, load

from .conftest import BUDGET, attempts, question


def contexts(folder: Path, strategy: str) -> list[Context]:
    return list(read_records(folder / "contexts" / strategy / "data.jsonl", Context))


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_solved_question_is_packed_by_every_strategy_and_the_others_say_why(
    packed: Path,
) -> None:
    for strategy in STRATEGIES:
        assert [c.question_id for c in contexts(packed, strategy)] == ["q0", "q1", "q2", "q3", "q4"]
        lines = (packed / "contexts" / strategy / "rejected.jsonl").read_bytes().splitlines()
        assert [orjson.loads(line) for line in lines] == [
            {"unit": "q5", "reason": "never solved"},
            {"unit": "q6", "reason": "never attempted"},
        ]
    meta = read_json(packed / "contexts" / "meta.json")
    assert meta["count"] == 5
    assert meta["rejected"] == {"never attempted": 1, "never solved": 1}


def test_the_rendered_prompt_has_exactly_the_tokens_the_row_says(packed: Path) -> None:
    corpus = Corpus.open(packed / "corpus")
    tokens = load(str(packed / "contexts" / "tokenizer.json"))
    for strategy in STRATEGIES:
        for context in contexts(packed, strategy):
            asked = question(int(context.question_id[1:]))
            prompt = render.prompt_of(context, asked.text, corpus)
            assert tokens.count(prompt) == context.tokens <= BUDGET == context.budget_tokens
            assert context.tokenizer == tokens.fingerprint
            frame = tokens.count(render.prompt([], asked.text))
            assert sum(p.tokens for p in context.passages) == pytest.approx(
                context.tokens - frame, abs=3
            )
            gold = {p.doc for p in context.passages if p.tier is Tier.GOLD}
            assert gold == {hop.doc for hop in asked.hops}


def test_the_budget_is_full_to_within_one_passage(packed: Path) -> None:
    longest = max(p.tokens for s in STRATEGIES for c in contexts(packed, s) for p in c.passages)
    for strategy in STRATEGIES:
        for context in contexts(packed, strategy):
            assert BUDGET - context.tokens < longest
            assert sum(p.chars is not None for p in context.passages) <= 1
    assert any(p.chars for s in STRATEGIES for c in contexts(packed, s) for p in c.passages)


def test_gold_is_spread_over_the_prompt(packed: Path) -> None:
    places = [
        n / len(c.passages)
        for c in contexts(packed, "tiered")
        for n, p in enumerate(c.passages)
        if p.tier is Tier.GOLD
    ]
    assert min(places) < 0.3
    assert max(places) > 0.6


def test_worker_count_and_interruption_change_no_byte(packed: Path, fresh_run: Path) -> None:
    config = Config(budget_tokens=BUDGET)
    run(config, Options(run=fresh_run, workers=2))
    expected = files(packed / "contexts")
    assert files(fresh_run / "contexts") == expected
    folder = fresh_run / "contexts"
    for leftover in ("meta.json", "overlap.json", "tiered/meta.json", "search/meta.json"):
        (folder / leftover).unlink()
    shutil.rmtree(folder / "random")
    lines = (folder / "tiered" / "data.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "tiered" / "data.jsonl").write_bytes(b"".join(lines[:2]) + lines[2][:100])
    (folder / "tiered" / "rejected.jsonl").write_bytes(b"")
    run(config, Options(run=fresh_run, workers=1))
    assert files(folder) == expected


def test_a_complete_folder_is_reported_without_work(fresh_run: Path) -> None:
    config, options = Config(budget_tokens=BUDGET, strategy="tiered"), Options(run=fresh_run)
    first = run(config, options)
    (fresh_run / "contexts" / "tiered" / "data.jsonl").write_bytes(b"")
    assert run(config, options).json == first.json


def test_another_budget_stops_with_a_message_and_fresh_redoes_it(fresh_run: Path) -> None:
    options = Options(run=fresh_run, workers=1)
    run(Config(budget_tokens=BUDGET, strategy="tiered"), options)
    other = Config(budget_tokens=BUDGET + 500, strategy="tiered")
    with pytest.raises(RunFolderError, match="budget_tokens = 2000, now budget_tokens = 2500"):
        run(other, options)
    run(other, Options(run=fresh_run, workers=1, fresh=True))
    assert all(c.budget_tokens == BUDGET + 500 for c in contexts(fresh_run, "tiered"))


def test_one_strategy_and_later_all_gives_what_all_gives_at_once(
    packed: Path, fresh_run: Path
) -> None:
    options = Options(run=fresh_run, workers=1)
    run(Config(budget_tokens=BUDGET, strategy="tiered"), options)
    run(Config(budget_tokens=BUDGET), options)
    assert files(fresh_run / "contexts") == files(packed / "contexts")


def test_a_budget_below_gold_names_the_smallest_that_would_do(fresh_run: Path) -> None:
    options = Options(run=fresh_run, workers=1)
    with pytest.raises(InputError, match="smallest budget that would do") as caught:
        run(Config(budget_tokens=300), options)
    smallest = next(int(w) for w in str(caught.value).split() if w.isdigit() and int(w) > 300)
    result = run(Config(budget_tokens=smallest), options)
    rejected = read_json(fresh_run / "contexts" / "meta.json")["rejected"]
    assert rejected["gold exceeds budget"] == 4
    assert result.json["overlap"]["tiered"]["all"] is None


def test_a_run_in_which_nothing_was_solved_says_so(fresh_run: Path) -> None:
    path = fresh_run / "trajectories" / "data.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"correct":true', b'"correct":false'))
    with pytest.raises(InputError, match="no question has a correct trajectory"):
        run(Config(), Options(run=fresh_run, workers=1))


def test_dry_run_writes_nothing(fresh_run: Path) -> None:
    result = run(Config(), Options(run=fresh_run, dry_run=True))
    assert result.json["questions"] == 5
    assert not (fresh_run / "contexts").exists()


def test_a_missing_stage_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="longtrace corpus --run"):
        run(Config(), Options(run=tmp_path))


def test_a_tokenizer_whose_counts_do_not_add_up_is_kept_within_the_budget(packed: Path) -> None:
    class Growing(Tokens):
        """Counts a long text as longer than its parts."""

        def starts(self, text: str):  # type: ignore[no-untyped-def]
            found = super().starts(text)
            return found if len(found) < 900 else sorted([*found, *found[:150]])

    source = load(str(packed / "contexts" / "tokenizer.json"))
    tokens = Growing(source._tokenizer)
    corpus = Corpus.open(packed / "corpus")
    import numpy as np

    counts = Counts(corpus, tokens, np.zeros(len(corpus), np.int32))
    bench = Bench(corpus, tokens, counts)
    made = assemble(question(1), attempts(1)[1], "tiered", bench, budget_tokens=BUDGET, seed=0)
    assert isinstance(made, Context)
    assert made.tokens <= BUDGET
    assert made.tokens > BUDGET - 600
