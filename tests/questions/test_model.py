"""Questions with a model behind real HTTP: drafts, fallback, chosen steps, checks, kill -9."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from longtrace.cli import main
from longtrace.config import Options
from longtrace.llm import LLMError
from longtrace.questions.check import LEAK
from longtrace.questions.draft import COPIED, NO_JSON, SAME, copied, hide, question, refusals
from longtrace.questions.model_check import CLOSED_BOOK, GOLD_ONLY, NEEDLESS, around
from longtrace.questions.stage import Config, run
from longtrace.records import Hop, Question
from longtrace.store import read_json, read_records
from longtrace.text import names
from tests.llm_server import Model, Raw, Request, Said, failure

HOPS = (
    Hop(doc="a", entity="Mali", aliases=("French Sudan",), evidence=("Mali borders Niger.",)),
    Hop(doc="b", entity="Niger", evidence=()),
)
ANSWERS = {"1965": "The dam was finished in 1965 by engineers."}
SOUND = {
    "answer": "1965",
    "clues": ["The land [A] shares a border with [B]."],
    "question": "When was the dam of [B] finished?",
}


@pytest.fixture
def folder(factbook_run: Path, tmp_path: Path) -> Path:
    (tmp_path / "corpus").symlink_to(factbook_run / "corpus")
    return tmp_path


def config(model: Model, **options: Any) -> Config:
    told = {"count": 4, "hops": 2, "max_mention_share": 0.08, "rung": "json", **options}
    return Config(base_url=model.url, model="scripted", retries=1, retry_wait_s=0.01, **told)


def write(request: Request) -> str:
    """A sound draft for whatever chain is asked about."""
    schema = request["response_format"]["schema"]["properties"]
    links = schema["clues"]["minItems"]
    marks = "ABCDEFGH"
    clues = [f"It is told that [{marks[n]}] has to do with [{marks[n + 1]}]." for n in range(links)]
    asked = "What is told at the place that one gets to in the end?"
    return json.dumps({"answer": schema["answer"]["enum"][0], "clues": clues, "question": asked})


def rows(folder: Path) -> list[Question]:
    return list(read_records(folder / "questions" / "data.jsonl", Question))


def rejected(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "questions" / "rejected.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_a_sound_draft_is_not_refused() -> None:
    assert refusals(SOUND, HOPS, ANSWERS) == []


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"clues": ["Far away lies a land called [A]."]}, "clue 1 lacks [B]"),
        ({"clues": []}, "there must be 1 clues and a question"),
        ({"clues": ["short"]}, "every clue and the question must be a text of 20"),
        ({"clues": ["The land [A], French Sudan once, borders [B]."]}, LEAK),
        ({"question": "When was the dam of Niger finished?"}, LEAK),
        ({"question": "Was the dam of [B] finished in 1965?"}, "holds its own answer"),
        ({"answer": "1970"}, "the answer is none of the choices"),
        ({"clues": ["It is [A] and also [B]."], "question": "It is [A] and also [B]."}, SAME),
    ],
)
def test_a_draft_with_a_fault_is_refused_in_words(changed: dict[str, Any], reason: str) -> None:
    assert any(reason in found for found in refusals({**SOUND, **changed}, HOPS, ANSWERS))


def test_a_clue_that_repeats_its_evidence_is_made_to_speak_of_its_document() -> None:
    hops = (HOPS[0].model_copy(update={"evidence": ("It has a long border with Niger.",)}), HOPS[1])
    said = {**SOUND, "clues": ["It has a long border with [B]."]}
    assert refusals(said, hops, ANSWERS) == []
    made = question(said, hops, ANSWERS, "llm:m", ())
    assert made.clues[0] == "About [A]: It has a long border with [B]."
    other = {**SOUND, "clues": ["The dam of [B] was finished by engineers."]}
    assert refusals(other, hops, ANSWERS) == ["clue 1 lacks [A]"]


def test_a_copied_clue_is_refused_if_asked_for() -> None:
    evidence = "Traders carried salt and copper over the long border with Niger for centuries."
    hops = (HOPS[0].model_copy(update={"evidence": (evidence,)}), HOPS[1])
    copy = "In [A] traders carried salt and copper over the long border with [B] for centuries."
    reworded = "For hundreds of years goods of [A] went across to [B], salt among them."
    for clue, share in ((copy, 0.8), (reworded, 0.0)):
        assert copied(clue, hops[0], hops) == pytest.approx(share, abs=0.1)
    said = {**SOUND, "clues": [copy]}
    assert refusals(said, hops, ANSWERS) == []
    assert refusals(said, hops, ANSWERS, max_copied=0.5) == [f"clue 1 {COPIED}"]
    assert refusals({**SOUND, "clues": [reworded]}, hops, ANSWERS, max_copied=0.0) == []


def test_the_copy_rule_changes_what_a_folder_depends_on_only_if_it_is_on() -> None:
    told = Config(writer="llm", base_url="http://x/v1", model="m")
    assert "max_copied" not in told.identity()
    assert told.model_copy(update={"max_copied": 0.5}).identity()["max_copied"] == 0.5


def test_no_object_is_refused() -> None:
    assert refusals(None, HOPS, ANSWERS) == [NO_JSON]


def test_names_aliases_and_parts_are_hidden_from_the_model() -> None:
    text = "French Sudan, now Mali, and Mali's neighbour Niger."
    assert hide(text, HOPS) == "[A], now [A], and [A] neighbour [B]."


def test_a_model_writes_questions_that_are_counted(folder: Path) -> None:
    with Model(write) as model:
        run(config(model, writer="llm"), Options(run=folder))
        asked = [request["messages"][0]["content"] for request in model.requests]
    made = rows(folder)
    assert {row.writer for row in made} == {"llm:scripted"}
    assert read_json(folder / "questions" / "meta.json")["written"] == {"model": 4}
    for row in made:
        assert row.text.startswith("It is told that [A]")
        assert row.answer in row.hops[-1].evidence[0]
        [shown] = [text for text in asked if hide(row.hops[0].evidence[0], row.hops) in text]
        assert not any(names(shown, hop.entity) for hop in row.hops), "the model saw a name"


def test_a_refused_draft_is_asked_again_with_the_reason_and_then_replaced(folder: Path) -> None:
    def reply(request: Request) -> Said:
        told = [m["content"] for m in request["messages"] if m["role"] == "user"]
        if len(told) > 1 and "lacks [B]" in told[-1] and len(model.requests) % 4:
            return write(request)
        return write(request).replace("with [B]", "with somewhere")

    with Model(reply) as model:
        run(config(model, writer="llm", concurrency=1), Options(run=folder))
    written = read_json(folder / "questions" / "meta.json")["written"]
    assert written["model, retried"]
    assert written["offline, in its place"]
    by_rules = [row for row in rows(folder) if row.writer == "offline"]
    assert all(row.checked and len(row.checked.refused) == 2 for row in by_rules)


def test_refusals_are_counted_by_reason_also_where_rules_fail_as_well(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def reply(request: Request) -> Said:
        return write(request).replace("with [B]", "with somewhere")

    with Model(reply) as model:
        argv = ["questions", "--writer", "llm", "--base-url", model.url, "--model", "scripted"]
        argv += ["--count", "12", "--hops", "4", "--max-mention-share", "0.08", "--rung", "json"]
        assert main([*argv, "--max-copied", "0.5", "--run", str(folder)]) == 0
    meta = read_json(folder / "questions" / "meta.json")
    dropped = rejected(folder)
    assert dropped, "the rules refuse some of these walks"
    assert meta["refused"] == {"a clue lacks [B]": 2 * (len(rows(folder)) + len(dropped))}
    assert all(len(row["checked"]["refused"]) == 2 for row in dropped)
    assert "a clue lacks [B]" in capsys.readouterr().out


def test_a_model_chooses_the_steps(folder: Path) -> None:
    def last(request: Request) -> Said:
        numbers = request["response_format"]["schema"]["properties"]["page"]["enum"]
        return json.dumps({"page": numbers[-1]})

    with Model(last) as model:
        run(config(model, select="llm"), Options(run=folder))
        assert len(model.requests) > 4
    chosen = [row.hops for row in rows(folder)]
    run(Config(count=4, hops=2, max_mention_share=0.08), Options(run=folder, fresh=True))
    assert chosen != [row.hops for row in rows(folder)]


def reader(knows: Callable[[int], bool]) -> Callable[[Request], Said]:
    """A reader that gives the right answer when `knows(number of documents shown)`."""

    def reply(request: Request) -> Said:
        text = request["messages"][-1]["content"]
        blank = re.search(r"says: \"([^\"]*)____([^\"]*)\"", text)
        shown = len(re.findall(r"^\[\d\] ", text, re.MULTILINE))
        if not knows(shown) or blank is None:
            return '{"answer": "UNKNOWN"}'
        return json.dumps({"answer": found[text.partition("Question: ")[2][:200]]})

    found: dict[str, str] = {}
    reply.found = found  # type: ignore[attr-defined]
    return reply


@pytest.mark.parametrize(
    ("knows", "reason"),
    [
        (lambda shown: True, CLOSED_BOOK),
        (lambda shown: False, GOLD_ONLY),
        (lambda shown: shown >= 2, NEEDLESS),
        (lambda shown: shown == 3, None),
    ],
)
def test_model_checks_drop_what_fails_and_keep_the_matrix(
    folder: Path, knows: Callable[[int], bool], reason: str | None
) -> None:
    plain = Config(count=4, hops=2, max_mention_share=0.08)
    run(plain, Options(run=folder))
    reply = reader(knows)
    for row in rows(folder):
        reply.found[row.text[:200]] = row.answer  # type: ignore[attr-defined]
    checks = ("closed-book", "gold-only", "necessity")
    with Model(reply) as model:
        told = config(model, checks=checks, max_walks=4)
        if reason is None:
            run(told, Options(run=folder, fresh=True))
        else:
            with pytest.raises(Exception, match=r"no question .*; use another model or fewer"):
                run(told, Options(run=folder, fresh=True))
    if reason is None:
        for row in rows(folder):
            assert row.checked
            assert row.checked.gold_only is True
            assert row.checked.without == (False, False, False)
        return
    dropped = [row for row in rejected(folder) if row["reason"] == reason]
    assert dropped
    if reason == NEEDLESS:
        assert dropped[0]["checked"]["without"] == [True, True, True]


def test_an_outage_in_a_check_is_unknown_and_counted_never_a_reason(folder: Path) -> None:
    with Model(lambda _: failure(500)) as model:
        run(config(model, checks=("gold-only", "necessity")), Options(run=folder))
    meta = read_json(folder / "questions" / "meta.json")
    assert meta["count"] == 4
    assert meta["unknown"] == {"gold-only": 4, "necessity": 4}
    assert all(row.checked and row.checked.without == (None,) * 3 for row in rows(folder))


def test_a_reply_to_a_check_that_cannot_be_read_is_unknown(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Model(lambda _: "I would rather not say.") as model:
        argv = ["questions", "--checks", "gold-only,necessity", "--base-url", model.url]
        argv += ["--model", "scripted", "--count", "2", "--hops", "2", "--rung", "json"]
        assert main([*argv, "--max-mention-share", "0.08", "--run", str(folder)]) == 0
    assert all(row.checked and row.checked.gold_only is None for row in rows(folder))
    assert all(row.checked and row.checked.without == (None,) * 3 for row in rows(folder))
    assert "unknown      2  necessity" in capsys.readouterr().out


def test_an_outage_while_writing_stops_and_the_same_command_continues(folder: Path) -> None:
    def reply(request: Request) -> Said:
        return write(request) if len(model.requests) <= 3 or fixed else failure(500)

    fixed: list[bool] = []
    with Model(reply) as model:
        told = config(model, writer="llm", concurrency=1)
        with pytest.raises(LLMError):
            run(told, Options(run=folder))
        assert 0 < len(rows(folder)) < 4
        fixed.append(True)
        run(told, Options(run=folder))
    assert len(rows(folder)) == 4


def test_what_is_shown_of_a_long_document_holds_the_evidence() -> None:
    text = " ".join(f"Sentence number {n} stands here." for n in range(2000))
    shown = around(text, ("Sentence number 1500 stands here.",), 600)
    assert len(shown) == 600
    assert "number 1500 stands" in shown


@pytest.mark.slow
def test_killed_at_random_moments_questions_are_the_same_and_paid_once(
    factbook_run: Path, tmp_path: Path
) -> None:
    def slowly(request: Request) -> Said:
        message = {"role": "assistant", "content": write(request)}
        return Raw(body=json.dumps({"choices": [{"message": message}]}), delay_s=0.3)

    folders = [tmp_path / "quiet", tmp_path / "killed"]
    for folder in folders:
        folder.mkdir()
        (folder / "corpus").symlink_to(factbook_run / "corpus")
    rng = random.Random(3)
    with Model(slowly) as model:
        argv = [sys.executable, "-m", "longtrace.cli", "questions", "--writer", "llm"]
        argv += ["--base-url", model.url, "--model", "scripted", "--count", "12", "--hops", "2"]
        argv += ["--max-mention-share", "0.08", "--concurrency", "1", "--rung", "json"]
        started = time.monotonic()
        subprocess.run([*argv, "--run", str(folders[0])], check=True, capture_output=True)
        took, once = time.monotonic() - started, len(model.requests)
        model.requests.clear()
        for _ in range(4):
            process = subprocess.Popen([*argv, "--run", str(folders[1])])
            time.sleep(rng.uniform(0.5, 0.9) * took)
            process.send_signal(signal.SIGKILL)
            process.wait()
        subprocess.run([*argv, "--run", str(folders[1])], check=True, capture_output=True)
    assert once <= len(model.requests) <= once + 4, "only the one under way is asked again"
    one, other = ((f / "questions" / "data.jsonl").read_bytes() for f in folders)
    assert one == other
