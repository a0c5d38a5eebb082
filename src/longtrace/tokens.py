"""Tokenizers: exact counts, and a fingerprint that says which tokenizer a count belongs to.

Any `tokenizer.json` or hub name will do. Where no model has been chosen yet, a byte-level BPE
trained on the corpus itself serves: counts are then exact for a real tokenizer, with no download.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from longtrace.errors import InputError
from longtrace.records import content_id

VOCABULARY = 16_384


class Tokens:
    """A tokenizer seen as a measure of length. Special tokens are never added."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits that depend on the serialised tokenizer alone."""
        return content_id(self._tokenizer.to_str())

    def count(self, text: str) -> int:
        """Tokens of `text`."""
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def starts(self, text: str) -> npt.NDArray[np.int64]:
        """[tokens] character of `text` at which each token begins, ascending."""
        encoded = self._tokenizer.encode(text, add_special_tokens=False)
        if not len(encoded):
            return np.zeros(0, np.int64)
        return np.array(encoded.offsets, np.int64)[:, 0]

    def save(self, path: Path) -> None:
        """Write the tokenizer to `path` in one step."""
        partial = path.with_name(path.name + ".partial")
        partial.write_text(self._tokenizer.to_str(pretty=True), encoding="utf-8")
        partial.replace(path)


def load(name_or_file: str) -> Tokens:
    """The tokenizer in a `tokenizer.json` (or the folder that holds one), or with that hub name.

    Raises:
        InputError: the file is missing or is no tokenizer, or the name cannot be had.
    """
    path = Path(name_or_file)
    if path.is_dir():
        path = path / "tokenizer.json"
    if path.is_file():
        return _load(path, lambda: Tokenizer.from_file(str(path)))
    if path.suffix == ".json" or path.is_absolute() or name_or_file.startswith("."):
        raise InputError(f"{path}: no such tokenizer file; check --tokenizer")
    return _load(name_or_file, lambda: Tokenizer.from_pretrained(name_or_file))


def train(texts: Iterable[str], vocabulary: int = VOCABULARY) -> Tokens:
    """A byte-level BPE with at most `vocabulary` tokens; the same texts give the same tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(list(texts), trainer)  # it would iterate in another thread
    return Tokens(tokenizer)


def _load(where: Path | str, read: Callable[[], Tokenizer]) -> Tokens:
    """Read a tokenizer; the library raises bare `Exception` for whatever goes wrong."""
    try:
        return Tokens(read())
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{where}: no tokenizer could be loaded ({first}); give --tokenizer a tokenizer.json "
            "file, or `corpus` to train one on the corpus"
        ) from None
