"""The published rows: read one by one, with bad lines named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from longtrace.errors import InputError, RowError
from longtrace.training.published import read_published


def row(**given: Any) -> dict[str, Any]:
    info = {"question": "Where?", "rubrics": ["Chad", 1984, "Chad"], "dataset_name": "x"}
    return {
        "source": "longqa",
        "input_messages": [{"role": "user", "content": "<section>…</section> Where?"}],
        "label": "Rome",
        "metadata": {"extra_reward_info": info},
        **given,
    }


def written(folder: Path, *rows: Any) -> Path:
    path = folder / "rows.jsonl"
    path.write_bytes(b"\n".join(orjson.dumps(one) for one in rows) + b"\n")
    return path


def test_a_row_becomes_an_example(tmp_path: Path) -> None:
    (made,) = read_published(written(tmp_path, row()))
    assert [entity.name for entity in made.entities] == ["Chad", "1984"]
    assert (made.question, made.answer) == ("Where?", "Rome")
    assert made.messages[0].content.startswith("<section>")


def test_rows_with_the_same_prompt_and_answer_have_the_same_id(tmp_path: Path) -> None:
    one, two, other = read_published(written(tmp_path, row(), row(), row(label=7)))
    assert one.id == two.id != other.id
    assert other.answer == "7"


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"label": "Rome"}, "input_messages"),
        (row(input_messages=[]), "input_messages"),
        (row(metadata={}), "extra_reward_info"),
        (row(label=" "), "label: empty"),
        (row(input_messages=[{"role": "user"}]), "content"),
        (
            row(metadata={"extra_reward_info": {"question": "?", "rubrics": ["!!"]}}),
            "no text could name|any text could name",
        ),
    ],
)
def test_a_line_that_is_no_such_row_is_named(tmp_path: Path, bad: Any, said: str) -> None:
    with pytest.raises(RowError, match=said) as raised:
        list(read_published(written(tmp_path, row(), bad)))
    assert "rows.jsonl:2" in str(raised.value)


def test_a_broken_line_and_a_missing_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"source": \n')
    with pytest.raises(RowError, match=r"rows\.jsonl:1"):
        list(read_published(path))
    with pytest.raises(InputError, match="no such file"):
        list(read_published(tmp_path / "none.jsonl"))
