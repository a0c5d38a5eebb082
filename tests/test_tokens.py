import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from longtrace.errors import InputError
from longtrace.tokens import Tokens, load, train

TEXTS = [
    "The river Danube flows through ten countries.\n\nIt is 2,850 km long. " * 20,
    "Łódź 東京 🌍",
]
SCRIPT = "import sys, longtrace.tokens as t; print(t.train(eval(sys.argv[1]), 400).fingerprint)"


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return train(TEXTS, 400)


def test_training_gives_the_same_tokenizer_in_every_process(tokens: Tokens) -> None:
    made = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT, repr(TEXTS)],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert made == {tokens.fingerprint}


def test_a_saved_tokenizer_loads_with_the_same_fingerprint_and_counts(
    tokens: Tokens, tmp_path: Path
) -> None:
    tokens.save(tmp_path / "tokenizer.json")
    assert [p.name for p in tmp_path.iterdir()] == ["tokenizer.json"]
    for source in (tmp_path / "tokenizer.json", tmp_path):
        again = load(str(source))
        assert again.fingerprint == tokens.fingerprint
        assert again.count(TEXTS[0]) == tokens.count(TEXTS[0])


def test_starts_are_characters_and_one_for_each_token(tokens: Tokens) -> None:
    for text in (*TEXTS, "", "🌍🌍"):
        starts = tokens.starts(text)
        assert len(starts) == tokens.count(text)
        assert np.all(np.diff(starts) >= 0)
        assert len(text) == 0 or 0 <= starts[0] <= starts[-1] < len(text)


def test_a_truncating_tokenizer_file_still_counts_everything(
    tokens: Tokens, tmp_path: Path
) -> None:
    from tokenizers import Tokenizer

    path = tmp_path / "cut.json"
    tokens.save(path)
    raw = Tokenizer.from_file(str(path))
    raw.enable_truncation(5)
    raw.enable_padding(length=512)
    raw.save(str(path))
    assert load(str(path)).count(TEXTS[0]) == tokens.count(TEXTS[0])


def test_a_missing_or_broken_file_is_one_line_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json: no such tokenizer file"):
        load(str(tmp_path / "none.json"))
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    with pytest.raises(InputError, match=r"broken\.json: no tokenizer could be loaded") as caught:
        load(str(broken))
    assert "\n" not in str(caught.value)
