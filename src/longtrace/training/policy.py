"""The tiny policy: an LFM2 of 178 thousand parameters and a tokenizer with one token a word.

LFM2 mixes short convolutions with attention. The convolutions are what makes reading a fact out of
a context easy to learn at this size; a Llama of the same size does not learn it in the same time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from longtrace.errors import InputError, MissingExtraError
from longtrace.training.facts import HOP_RELATIONS, LEAF_RELATIONS
from longtrace.training.tasks import NAMES

PAD, END, UNKNOWN, USER, ASSISTANT = "<|pad|>", "<|end|>", "<|unk|>", "<|user|>", "<|assistant|>"
ANSWER = "answer:"

_TEMPLATE = (
    "{% for m in messages %}"
    "{{ '<|user|> ' if m['role'] == 'user' else '<|assistant|> ' }}"
    "{{ m['content'] + ' <|end|> \n ' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
_HIDDEN = 64
_LAYERS = ("conv", "full_attention", "conv", "full_attention")
_HEADS = 2
_INIT_STD = 0.03
_CONV_STD = 0.5


def vocabulary() -> dict[str, int]:
    """Every word the policy knows -> its token; the padding token is 0."""
    words = [PAD, END, UNKNOWN, USER, ASSISTANT, "question:", ANSWER, "?", ".", "\n"]
    words += [*HOP_RELATIONS, *LEAF_RELATIONS, *(f"@e{n}" for n in range(NAMES))]
    return {word: token for token, word in enumerate(words)}


def build_tokenizer() -> Any:
    """A `PreTrainedTokenizerFast` whose tokens are the words between spaces; it pads on the left.

    Only padding and end are special tokens. Everything a response consists of is an ordinary word,
    because trainers decode responses without special tokens before they reach the reward.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel(vocabulary(), unk_token=UNKNOWN))
    inner.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = _TEMPLATE
    return tokenizer


def build_model(seed: int) -> Any:
    """A freshly drawn `Lfm2ForCausalLM`; the global random state is left as it was."""
    import torch
    from transformers import Lfm2Config, Lfm2ForCausalLM

    words = vocabulary()
    config = Lfm2Config(
        vocab_size=len(words),
        hidden_size=_HIDDEN,
        intermediate_size=2 * _HIDDEN,
        num_hidden_layers=len(_LAYERS),
        num_attention_heads=_HEADS,
        num_key_value_heads=_HEADS,
        max_position_embeddings=1024,
        initializer_range=_INIT_STD,
        tie_word_embeddings=False,
        pad_token_id=words[PAD],
        bos_token_id=None,
        eos_token_id=words[END],
        block_auto_adjust_ff_dim=False,
        conv_L_cache=3,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        layer_types=list(_LAYERS),
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = Lfm2ForCausalLM(config)
        for name, weights in model.named_parameters():
            if name.endswith("conv.conv.weight"):
                weights.normal_(0.0, _CONV_STD)
        model.get_input_embeddings().weight.normal_(0.0, _INIT_STD)
    model.generation_config.pad_token_id = words[PAD]
    model.generation_config.eos_token_id = words[END]
    return model.eval()


def load(name: str, *, half: bool = False) -> tuple[Any, Any]:
    """Model and tokenizer of a folder or a hub name, ready for batches padded on the left.

    Args:
        name: a folder or a hub name.
        half: weights in bfloat16 instead of 32 bits: for the frozen weights below LoRA on a GPU.

    Raises:
        InputError: no causal language model can be had there, or it has no chat template.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    dtype = torch.bfloat16 if half else torch.float32
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, padding_side="left")
        model = AutoModelForCausalLM.from_pretrained(name, dtype=dtype)
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(
            f"--model {name}: no causal language model can be loaded ({reason}); "
            "give a folder with config.json and weights, or a hub name with network access"
        ) from None
    if tokenizer.chat_template is None:
        raise InputError(
            f"--model {name}: its tokenizer has no chat template; use an instruction-tuned model"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model.eval(), tokenizer


def has_gpu() -> bool:
    """Whether there is a GPU that PyTorch can use."""
    import torch

    return bool(torch.cuda.is_available())


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write model and tokenizer into `folder`, made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def require_extra() -> None:
    """Check that the training packages are there.

    Raises:
        MissingExtraError: one of them is not.
    """
    import importlib.util

    for package in ("torch", "transformers", "trl", "peft", "datasets", "accelerate"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, "train")


@contextmanager
def quiet(threads: int) -> Iterator[None]:
    """Run the training libraries with a fixed number of threads, without warnings and bars."""
    import logging
    import warnings

    import datasets
    import torch
    import transformers

    before = torch.get_num_threads()
    verbosity = transformers.logging.get_verbosity()
    bars = datasets.are_progress_bars_disabled()
    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads(before)
        transformers.logging.set_verbosity(verbosity)
        transformers.logging.enable_progress_bar()
        if not bars:
            datasets.enable_progress_bars()
