import shutil
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Literal

import numpy as np
import orjson
import pytest

from longtrace.config import Options
from longtrace.contexts import render
from longtrace.contexts.assemble import Plan, assemble
from longtrace.contexts.stage import Config, run
from longtrace.contexts.strategies import STRATEGIES, Rules
from longtrace.contexts.work import Setting, open_bench
from longtrace.corpus.corpus import Corpus
from longtrace.corpus.stage import Config as CorpusConfig
from longtrace.corpus.stage import run as make_corpus
from longtrace.errors import InputError, RunFolderError
from longtrace.records import Context, Question, Tier
from longtrace.store import read_json, read_records
from longtrace.tokens import Tokens, load

from .conftest import BUDGET, DOCUMENTS, attempts, correct_first, document, name, question

HEADING_TOKENS = 120
"""More than any layout puts round a passage, for a tokenizer that was trained on a tiny corpus."""


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
            frame = tokens.count(render.prompt([], asked.text, context.phrasing))
            assert sum(p.tokens for p in context.passages) == pytest.approx(
                context.tokens - frame, abs=3
            )
            gold = {p.doc for p in context.passages if p.tier is Tier.GOLD}
            assert gold == {hop.doc for hop in asked.hops}


@pytest.mark.parametrize("unit", ["document", "passage"])
@pytest.mark.parametrize("budget", [2_000, 8_000])
def test_the_budget_is_full_to_a_hundredth_or_a_heading_unless_documents_run_out(
    unit: Literal["document", "passage"], budget: int, fresh_run: Path
) -> None:
    config = Config(budget_tokens=budget, unit=unit, passage_chars=600)
    run(config, Options(run=fresh_run, workers=1))
    left = max(budget // 100, HEADING_TOKENS)
    short = 0
    for strategy in STRATEGIES:
        for context in contexts(fresh_run, strategy):
            assert context.tokens <= budget
            assert context.exhausted or context.tokens >= budget - left, strategy
            short += context.exhausted
        meta = read_json(fresh_run / "contexts" / strategy / "meta.json")
        if left == budget // 100:
            assert meta["fill"].get("99-100 %", 0) + meta["short_of_documents"] == meta["count"]
    assert short < 5 * len(STRATEGIES)


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


def test_a_complete_folder_is_reported_without_work_and_lost_rows_are_noticed(
    fresh_run: Path,
) -> None:
    config, options = Config(budget_tokens=BUDGET, strategy="tiered"), Options(run=fresh_run)
    first = run(config, options)
    before = times(fresh_run)
    assert run(config, options).json == first.json
    assert times(fresh_run) == before
    path = fresh_run / "contexts" / "tiered" / "data.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(RunFolderError, match="longtrace contexts --strategy tiered --fresh"):
        run(config, options)


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_one_strategy_again_keeps_the_table_of_all(packed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(packed, folder)
    config = Config(budget_tokens=BUDGET, strategy="tiered")
    expected = files(packed / "contexts")
    assert {*run(config, Options(run=folder)).json["overlap"]} == {*STRATEGIES}
    assert files(folder / "contexts") == expected
    run(config, Options(run=folder, workers=1, fresh=True))
    assert files(folder / "contexts") == expected
    other = Config(budget_tokens=1_500, strategy="random")
    assert {*run(other, Options(run=folder, workers=1, fresh=True)).json["overlap"]} == {"random"}


def test_a_lost_table_is_measured_again_and_a_damaged_one_named(
    packed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(packed, folder)
    path = folder / "contexts" / "overlap.json"
    path.write_text("[]")
    with pytest.raises(RunFolderError, match=r"overlap\.json: .*delete it and run `longtrace con"):
        run(Config(budget_tokens=BUDGET), Options(run=folder, workers=1))
    path.unlink()
    run(Config(budget_tokens=BUDGET), Options(run=folder, workers=1))
    assert files(folder / "contexts") == files(packed / "contexts")


def test_a_damaged_trained_tokenizer_is_trained_again(packed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(packed, folder)
    (trained,) = (folder / "contexts").glob("trained-*.json")
    trained.write_text('{"half": ')
    (folder / "contexts" / "tiered" / "meta.json").unlink()
    run(Config(budget_tokens=BUDGET), Options(run=folder, workers=1))
    assert files(folder / "contexts") == files(packed / "contexts")


def test_attempts_at_other_questions_and_questions_of_other_documents_are_refused(
    fresh_run: Path,
) -> None:
    options = Options(run=fresh_run, workers=1)
    for stage, made_from in (("trajectories", "questions"), ("questions", "corpus")):
        data = fresh_run / stage / "stage.json"
        before = data.read_bytes()
        identity = orjson.loads(before)
        data.write_bytes(orjson.dumps({**identity, "inputs": {made_from: "older"}}))
        message = rf"{stage}: made from another {made_from} .*longtrace {stage} --fresh"
        with pytest.raises(RunFolderError, match=message):
            run(Config(budget_tokens=BUDGET), options)
        data.write_bytes(before)
    assert not (fresh_run / "contexts").exists()


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


def test_fresh_keeps_what_is_there_if_the_new_budget_is_too_small(fresh_run: Path) -> None:
    options = Options(run=fresh_run, workers=1)
    run(Config(budget_tokens=BUDGET, strategy="tiered"), options)
    before = files(fresh_run)
    with pytest.raises(InputError, match="smallest budget that would do"):
        run(Config(budget_tokens=300), Options(run=fresh_run, workers=1, fresh=True))
    assert files(fresh_run) == before


def test_longer_rungs_hold_the_shorter_ones_and_gold_that_does_not_fit_is_counted(
    fresh_run: Path,
) -> None:
    rungs = (400, 1_000, 2_000, 4_000)
    for unit in ("document", "passage"):
        config = Config(ladder=rungs, unit=unit, passage_chars=600)
        run(config, Options(run=fresh_run, workers=1, fresh=True))
        for strategy in STRATEGIES:
            rows = contexts(fresh_run, strategy)
            meta = read_json(fresh_run / "contexts" / strategy / "meta.json")
            assert meta["count"] + sum(meta["rejected"].values()) == 7 * len(rungs)
            by_question: dict[str, list[Context]] = {}
            for context in rows:
                by_question.setdefault(context.question_id, []).append(context)
            for ladder in by_question.values():
                assert [c.budget_tokens for c in ladder] == sorted(c.budget_tokens for c in ladder)
                for shorter, longer in pairwise(ladder):
                    assert inside(shorter, longer), strategy
        if unit == "document":
            assert meta["rejected"]["gold exceeds budget"] >= 5
            assert "400" not in meta["rungs"]
            assert meta["rungs"]["4000"] == 5


def inside(shorter: Context, longer: Context) -> bool:
    """Whether all passages of one are in the other, in the same order, none cut further."""
    places = [(p.doc, p.start) for p in longer.passages]
    chars = {(p.doc, p.start): p.chars for p in longer.passages}
    found = [places.index((p.doc, p.start)) for p in shorter.passages]
    return found == sorted(found) and all(
        chars[p.doc, p.start] is None or (p.chars or 10**9) <= (chars[p.doc, p.start] or 0)
        for p in shorter.passages
    )


def test_scripts_without_spaces_fill_the_budget_to_a_hundredth_as_well(
    fresh_run: Path, tmp_path: Path
) -> None:
    rows = [document(doc) for doc in range(DOCUMENTS)]
    for number, row in enumerate(rows[21:]):
        drawn = Random(number).choices(range(0x4E00, 0x9F00), k=900)
        row["text"] = "".join(map(chr, drawn))
    source = tmp_path / "source.jsonl"
    source.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    make_corpus(CorpusConfig(reader="jsonl", path=source), Options(run=fresh_run, fresh=True))
    run(Config(budget_tokens=4_096, strategy="random"), Options(run=fresh_run, workers=1))
    made = contexts(fresh_run, "random")
    assert len(made) == 5
    for context in made:
        assert 0.99 * 4_096 <= context.tokens <= 4_096


def test_rendered_passages_have_exactly_the_tokens_the_rows_say(fresh_run: Path) -> None:
    config = Config(budget_tokens=BUDGET, unit="passage", passage_chars=600, siblings="drop")
    run(config, Options(run=fresh_run, workers=2))
    corpus = Corpus.open(fresh_run / "corpus")
    tokens = load(str(fresh_run / "contexts" / "tokenizer.json"))
    for strategy in STRATEGIES:
        for context in contexts(fresh_run, strategy):
            asked = question(int(context.question_id[1:]))
            assert tokens.count(render.prompt_of(context, asked.text, corpus)) == context.tokens
            gold = {hop.doc for hop in asked.hops}
            assert {p.doc for p in context.passages if p.tier is Tier.GOLD} == gold
            assert not any(p.doc in gold for p in context.passages if p.tier is not Tier.GOLD)
            spans = [(p.doc, p.start) for p in context.passages]
            assert len(set(spans)) == len(spans)


def test_near_miss_is_tiered_with_what_wrong_attempts_cited_in_front(packed: Path) -> None:
    tiered = {c.question_id: c for c in contexts(packed, "tiered")}
    for context in contexts(packed, "near-miss"):
        near = [p.doc for p in context.passages if p.tier is Tier.NEAR_MISS]
        same = tiered[context.question_id]
        assert near == (["d59"] if context.question_id == "q1" else [])
        if not near:
            assert context.passages == same.passages
            assert context.id != same.id


def test_prompts_vary_from_question_to_question_and_not_from_strategy_to_strategy(
    packed: Path, fresh_run: Path
) -> None:
    forms = {c.question_id: (c.phrasing, c.layout) for c in contexts(packed, "tiered")}
    assert len(set(forms.values())) > 2
    for strategy in STRATEGIES:
        assert {c.question_id: (c.phrasing, c.layout) for c in contexts(packed, strategy)} == forms
    config = Config(budget_tokens=BUDGET, strategy="tiered", prompts="fixed")
    run(config, Options(run=fresh_run, workers=1))
    assert {(c.phrasing, c.layout) for c in contexts(fresh_run, "tiered")} == {render.PLAIN}


def test_the_certificate_names_the_place_of_every_answer_in_a_distractor(packed: Path) -> None:
    corpus = Corpus.open(packed / "corpus")
    for strategy in STRATEGIES:
        for context in contexts(packed, strategy):
            asked = question(int(context.question_id[1:]))
            for proof in context.certificate:
                text = corpus.text(corpus.id(proof.doc))
                assert proof.span is not None
                assert text[slice(*proof.span)] == proof.form == asked.answer
                if proof.action == "dropped":
                    assert proof.entity_span is not None
                    assert text[slice(*proof.entity_span)] == proof.entity == name(2)
            named = {proof.doc for proof in context.certificate}
            for passage in context.passages:
                text = corpus.text(corpus.id(passage.doc))
                if passage.tier is not Tier.GOLD:
                    assert (asked.answer in text) == (passage.doc in named)
    assert contexts(packed, "tiered")[0].answer_bearing == ("d31",)


def test_a_passage_that_names_what_follows_stands_in_for_lost_evidence_and_else_nothing_does(
    fresh_run: Path,
) -> None:
    path = fresh_run / "questions" / "data.jsonl"
    lines = [Question.model_validate_json(line) for line in path.read_bytes().splitlines()]
    for n, lost in ((0, ("Reworded.",)), (1, ("Reworded.",))):
        hops = tuple(hop.model_copy(update={"evidence": lost}) for hop in lines[n].hops)
        answer = lines[n].answer if n == 0 else "Nowhere to be found"
        lines[n] = lines[n].model_copy(update={"hops": hops, "answer": answer})
    path.write_text("".join(f"{line.model_dump_json()}\n" for line in lines))
    config = Config(budget_tokens=BUDGET, strategy="tiered", unit="passage", passage_chars=600)
    run(config, Options(run=fresh_run, workers=1))
    made = {c.question_id: c for c in contexts(fresh_run, "tiered")}
    assert set(made) == {"q0", "q2", "q3", "q4"}
    corpus = Corpus.open(fresh_run / "corpus")
    gold = {p.doc: p for p in made["q0"].passages if p.tier is Tier.GOLD}
    for doc, follows in (("d00", name(1)), ("d01", name(2)), ("d02", "AnswernameC")):
        assert follows in gold[doc].part(corpus.text(corpus.id(doc)))
    meta = read_json(fresh_run / "contexts" / "tiered" / "meta.json")
    assert meta["rejected"]["no passage of a gold document leads on"] == 1


@pytest.mark.parametrize("rungs", [(100, 800), (1_000, 1_049)])
def test_rungs_too_small_or_too_close_are_refused(rungs: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="every rung must be at least"):
        Config(ladder=rungs)


def test_a_ladder_with_promotion_is_refused(fresh_run: Path) -> None:
    with pytest.raises(InputError, match="--ladder with --answer-bearing promote"):
        run(Config(ladder=(500, 900), answer_bearing="promote"), Options(run=fresh_run))


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
            return found if len(found) < 900 else np.sort(np.concatenate([found, found[:150]]))

    source = load(str(packed / "contexts" / "tokenizer.json"))
    setting = Setting(packed, "document", 6_000, Rules(), 0)
    bench = open_bench(setting, Growing(source._tokenizer), None)
    plan = Plan(question(1), correct_first(1), "tiered", render.PLAIN, Rules(), BUDGET, 0)
    made = assemble(plan, bench)
    assert isinstance(made, Context)
    assert 0.99 * BUDGET <= made.tokens <= BUDGET


def test_questions_outside_the_band_of_pass_rates_are_left_out(fresh_run: Path) -> None:
    easy = Config(budget_tokens=BUDGET, strategy="tiered", max_pass_rate=0.4)
    run(easy, Options(run=fresh_run, workers=1))
    lines = (fresh_run / "contexts" / "tiered" / "rejected.jsonl").read_bytes().splitlines()
    outside = [row for row in map(orjson.loads, lines) if "pass rate" in row["reason"]]
    rates = {f"q{n}": np.mean([a.correct for a in attempts(n)]) for n in range(5)}
    assert [row["unit"] for row in outside] == [key for key, rate in rates.items() if rate > 0.4]
    fitting = Config(budget_tokens=BUDGET, strategy="tiered", min_pass_rate=0.1, max_pass_rate=0.9)
    with pytest.raises(RunFolderError, match="max_pass_rate"):
        run(fitting, Options(run=fresh_run, workers=1))
    run(fitting, Options(run=fresh_run, workers=1, fresh=True))
    kept = [c.question_id for c in contexts(fresh_run, "tiered")]
    assert kept == [key for key, rate in rates.items() if 0.1 <= rate <= 0.9]
