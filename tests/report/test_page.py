from __future__ import annotations

import json
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtrace.cli import main
from longtrace.config import Options
from longtrace.errors import RunFolderError, command
from longtrace.report.data import RunData, read_run
from longtrace.report.page import Config, page, run, script_json, within


class Outline(HTMLParser):
    """What a browser would build: elements with their attributes, and the text of the scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


@pytest.fixture(scope="module")
def html(full_run: Path) -> str:
    return page(read_run(full_run, 60))


@cache
def whole(run: Path) -> RunData:
    return read_run(run, 60)


def embedded(html: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(Outline(html).scripts[0])
    return value


def test_nothing_in_the_page_points_outside(html: str) -> None:
    for tag, attributes in Outline(html).elements:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base", "audio", "video"}
        assert not {"src", "action", "srcset", "background", "data", "ping"} & set(attributes), tag
        assert (attributes.get("href") or "#").startswith("#")
        assert not any(name.startswith("on") or name == "style" for name in attributes), tag
    assert "url(" not in html
    assert "@import" not in html


def test_hostile_text_makes_no_element(html: str) -> None:
    outline = Outline(html)
    assert [tag for tag, _ in outline.elements].count("script") == 2
    assert not [tag for tag, _ in outline.elements if tag in {"img", "b2"}]
    assert "<b>title</b>" in outline.text
    assert "alert(1)" not in re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)


def test_template_syntax_in_a_document_is_not_run(html: str, hostile: str) -> None:
    assert "{{ 7 * 7 }}" in embedded(html)["titles"][0]
    assert hostile.split("\u2028")[0] in embedded(html)["questions"][0]["text"]


def test_the_policy_names_the_hashes_of_what_is_there(html: str) -> None:
    metas = [attributes for tag, attributes in Outline(html).elements if tag == "meta"]
    policy = metas[1]["content"] or ""
    assert metas[1]["http-equiv"] == "Content-Security-Policy"
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "*" not in policy


@given(
    st.recursive(
        st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_embedded_json_cannot_leave_its_element_and_reads_back_the_same(value: Any) -> None:
    written = script_json({"value": value})
    assert not set("<>&\u2028\u2029") & set(written)
    assert json.loads(written) == {"value": value}


def test_the_same_run_gives_the_same_bytes(full_run: Path) -> None:
    assert page(read_run(full_run, 3)) == page(read_run(full_run, 3))


def test_every_question_has_its_walk_attempts_and_a_map_of_each_strategy(html: str) -> None:
    questions = {question["id"]: question for question in embedded(html)["questions"]}
    assert list(questions) == ["q0", "q1", "q2", "q3", "q4"]
    q1 = questions["q1"]
    assert len(q1["hops"]) == 3
    assert [attempt["correct"] for attempt in q1["attempts"]] == [True, False, False]
    assert [m["strategy"] for m in q1["maps"]] == [
        "tiered",
        "near-miss",
        "trajectory-random",
        "search",
        "random",
    ]
    assert questions["q3"]["maps"] == []


def test_a_map_adds_up_to_no_more_than_its_context(html: str) -> None:
    for question in embedded(html)["questions"]:
        for shown in question["maps"]:
            assert sum(block[2] for block in shown["blocks"]) <= shown["tokens"] <= shown["budget"]


def test_the_funnel_says_what_was_dropped_and_why(html: str) -> None:
    text = " ".join(Outline(html).text.split())
    assert "3 dead walk" in text
    assert "1 never solved" in text
    assert "4 of 5 questions solved at least once" in text


def test_accuracy_is_rounded_as_the_command_line_rounds_it(html: str) -> None:
    assert "0.42 \u2192 0.80" in html


def test_a_run_of_one_stage_names_the_commands_for_the_rest(corpus_run: Path) -> None:
    text = Outline(page(read_run(corpus_run, 60))).text
    for verb in ("questions", "trajectories", "contexts", "export", "train"):
        assert command(verb, corpus_run) in text


def test_an_empty_folder_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="longtrace corpus --run"):
        run(Config(), Options(run=tmp_path))


@pytest.mark.parametrize("spare", [0, 1, 3_000, 5_000, 9_000])
def test_the_page_keeps_to_its_size_and_shows_fewer_questions(full_run: Path, spare: int) -> None:
    data = whole(full_run)
    limit = len(page(data.model_copy(update={"questions": data.questions[:1]})).encode()) + spare
    small = within(data, limit)
    assert 1 <= len(small.questions) <= 5
    assert len(page(small).encode()) <= limit
    assert small.questions == data.questions[: len(small.questions)]
    assert within(data, limit + 1_000_000).questions == data.questions


def test_the_verb_writes_the_file_and_says_so(
    full_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--run", str(full_run), "--questions", "2", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["questions"] == 2
    assert said["missing"] == []
    assert (full_run / "report.html").stat().st_size == said["bytes"]


def test_a_dry_run_writes_nothing(corpus_run: Path) -> None:
    result = run(Config(), Options(run=corpus_run, dry_run=True))
    assert result.wrote is None
    assert not (corpus_run / "report.html").exists()


def test_a_damaged_overlap_table_is_an_error_that_names_the_file(
    full_run: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    for name in ("corpus", "contexts"):
        (copy / name).mkdir(parents=True)
        meta = (full_run / name / "meta.json").read_bytes()
        (copy / name / "meta.json").write_bytes(meta)
    (copy / "contexts" / "overlap.json").write_text('{"detail": 3}')
    assert main(["report", "--run", str(copy)]) == 2
