"""What fits: memory of a GPU, tokens and time of a step, from a model's shape and a layout.

Everything is arithmetic on the formulas below, for one GRPO step with full recomputation of
activations and fused attention. Real engines need more for buffers, fragments and communication, so
a tenth of the memory is kept free. Times use an efficiency that has to be assumed; they say hours
or minutes, not seconds.

Sources: weights, gradients and Adam, ZeRO (arXiv 1910.02054, section 3.1) and Megatron's
distributed optimizer; activations, Korthikanti et al. (arXiv 2205.05198, equations 2 to 4 without
the attention term, which fused attention does not store, and section 5 for full recomputation);
arithmetic, Kaplan et al. (arXiv 2001.08361, section 2.1) with the causal half of attention counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

GIB = 2**30
_FREE = 0.9
"""Share of a GPU's memory that may be planned with."""
_BF16, _FP32 = 2, 4
_ADAM = 12
"""Bytes of optimizer state for a weight: a 32-bit copy and two moments."""
_LAYER_BYTES = 34
"""Bytes of activations for a token and hidden value inside one layer, without attention scores."""


class Architecture(BaseModel):
    """Shape of a decoder with grouped attention and a gated MLP, dense or a mixture of experts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: int
    hidden: int
    ffn: int
    """Inner width of the MLP; of one expert where there are experts."""
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool = False
    experts: int = 1
    experts_active: int = 1

    @property
    def weights(self) -> int:
        """Number of weights, norms left out."""
        return self._embeddings + self.layers * (self._attention + self._mlp(self.experts))

    @property
    def active(self) -> int:
        """Weights that a token is multiplied with; the input embedding is looked up, not used."""
        per_layer = self._attention + self._mlp(self.experts_active)
        return self.vocab * self.hidden + self.layers * per_layer

    @property
    def kv_bytes(self) -> int:
        """Bytes of key and value cache for a token, in 16 bits."""
        return 2 * self.layers * self.kv_heads * self.head_dim * _BF16

    @property
    def _embeddings(self) -> int:
        return self.vocab * self.hidden * (1 if self.tied else 2)

    @property
    def _attention(self) -> int:
        return self.hidden * self.head_dim * 2 * (self.heads + self.kv_heads)

    def _mlp(self, experts: int) -> int:
        router = self.hidden * self.experts if self.experts > 1 else 0
        return 3 * self.hidden * self.ffn * experts + router

    @classmethod
    def of_config(cls, config: dict[str, object]) -> Architecture:
        """From a `config.json` in the way of transformers; KeyError if a size is missing."""

        def number(*names: str) -> int:
            for name in names:
                value = config.get(name)
                if isinstance(value, int):
                    return value
            raise KeyError(names[0])

        heads = number("num_attention_heads")
        experts = config.get("num_experts") or config.get("num_local_experts") or 1
        moe = isinstance(experts, int) and experts > 1
        dim = config.get("head_dim")
        return cls(
            layers=number("num_hidden_layers"),
            hidden=number("hidden_size"),
            ffn=number("moe_intermediate_size", "intermediate_size") if moe else _ffn(config),
            heads=heads,
            kv_heads=number("num_key_value_heads", "num_attention_heads"),
            head_dim=dim if isinstance(dim, int) else number("hidden_size") // heads,
            vocab=number("vocab_size"),
            tied=bool(config.get("tie_word_embeddings", False)),
            experts=experts if isinstance(experts, int) else 1,
            experts_active=number("num_experts_per_tok") if moe else 1,
        )


class Gpu(NamedTuple):
    """A kind of GPU, from its maker's data sheet."""

    memory_gib: float
    flops: float
    """Dense 16-bit operations a second."""
    bandwidth: float
    """Bytes of memory a second."""


GPUS = {
    "a100-80": Gpu(80, 312e12, 2.04e12),
    "h100": Gpu(80, 989e12, 3.35e12),
    "h200": Gpu(141, 989e12, 4.8e12),
}


class Setup(NamedTuple):
    """One way to train."""

    gpus: int
    tensor: int = 1
    pipeline: int = 1
    context: int = 1
    expert: int = 1
    zero3: bool = False
    """Weights, gradients and optimizer are spread over all GPUs (ZeRO-3, FSDP)."""
    lora_rank: int = 0
    """0 trains every weight."""
    offload_optimizer: bool = False
    """Optimizer state lies in the host's memory."""
    chunk_tokens: int = 1024
    """Positions whose logits are there at a time; 0: all of a response."""
    at_once: int = 1
    """Sequences on a GPU at a time, in training and in its own generation."""
    prompt_logits: bool = False
    """The logits of all positions are there at once, those of the prompt too, as Megatron's output
    layer gives them to slime and verl, whatever part of them a later chunk looks at."""

    @property
    def text(self) -> str:
        """The layout in words."""
        parts = [f"{self.gpus} GPUs", f"TP {self.tensor}", f"PP {self.pipeline}"]
        parts += [f"CP {self.context}"] + ([f"EP {self.expert}"] if self.expert > 1 else [])
        parts += ["ZeRO-3"] if self.zero3 else []
        parts += [f"LoRA {self.lora_rank}"] if self.lora_rank else []
        parts += ["optimizer on the host"] if self.offload_optimizer else []
        if self.prompt_logits or not self.chunk_tokens:
            what = "sequence" if self.prompt_logits else "response"
            parts.append(f"logits of a whole {what} at once")
        return ", ".join(parts)


class Load(NamedTuple):
    """What a step works on."""

    prompt_tokens: int
    response_tokens: int
    prompts: int
    group_size: int

    @property
    def sequence(self) -> int:
        """Longest sequence in tokens."""
        return self.prompt_tokens + self.response_tokens

    @property
    def tokens(self) -> int:
        """Tokens of a step at most; each response is trained with its prompt."""
        return self.prompts * self.group_size * self.sequence


class Memory(NamedTuple):
    """Bytes on each GPU while training; generation is beside it, since engines take turns."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float
    generation: float
    """Weights of the rollout engine and the caches of the sequences at a time."""

    @property
    def training(self) -> float:
        """All of training together."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits

    @property
    def peak(self) -> float:
        """The larger of the two phases."""
        return max(self.training, self.generation)


class Time(NamedTuple):
    """Seconds of the parts of a step."""

    generate_s: float
    train_s: float


def lora_weights(model: Architecture, rank: int) -> int:
    """Weights of LoRA adapters on every linear layer, the output layer and experts left out."""
    q, kv = model.heads * model.head_dim, model.kv_heads * model.head_dim
    attention = (model.hidden + q) * 2 + (model.hidden + kv) * 2
    mlp = 3 * (model.hidden + model.ffn) if model.experts == 1 else 0
    return rank * model.layers * (attention + mlp)


def memory(model: Architecture, setup: Setup, load: Load) -> Memory:
    """Bytes on the fullest GPU.

    Weights are 2 bytes, gradients 4 (accumulated in 32 bits), Adam 12; with LoRA only the adapters
    have the last two, and their weights have 4 bytes. The optimizer is spread over all replicas and
    context ranks, as Megatron's distributed optimizer does.

    Activations: one hidden state a layer is kept for recomputation, and one layer's inside is there
    at a time; both are split by TP x CP. Pipeline stages keep as many micro-batches as there are
    stages, so PP does not help them.
    """
    model_split = setup.tensor * setup.pipeline
    expert_part = _expert_share(model)
    split = 1 / model_split
    if setup.expert > 1:
        split = (1 - expert_part) / model_split + expert_part / (setup.pipeline * setup.expert)
    split = 1 / setup.gpus if setup.zero3 else split
    trained = lora_weights(model, setup.lora_rank) if setup.lora_rank else model.weights
    tokens = setup.at_once * load.sequence / (setup.tensor * setup.context)
    states = tokens * model.hidden * _BF16 * model.layers
    inside = tokens * model.hidden * _LAYER_BYTES
    shown = load.sequence if setup.prompt_logits else load.response_tokens
    whole = setup.at_once * shown / setup.context
    positions = whole if setup.prompt_logits else setup.chunk_tokens or whole
    rollout = min(setup.gpus, 8) if setup.tensor > 1 else 1
    return Memory(
        weights=model.weights * _BF16 * split + (trained * _FP32 if setup.lora_rank else 0),
        gradients=trained * _FP32 * (1 if setup.lora_rank else split),
        optimizer=0 if setup.offload_optimizer else trained * _ADAM / setup.gpus,
        activations=states + inside,
        logits=positions * model.vocab * (_BF16 + 2 * _FP32) / setup.tensor,
        generation=(model.weights * _BF16 + setup.at_once * load.sequence * model.kv_bytes)
        / rollout,
    )


def time_of_step(
    model: Architecture, setup: Setup, load: Load, gpu: Gpu, *, efficiency: float = 0.35
) -> Time:
    """Seconds of a step; every response as long as it may be, so an upper estimate.

    Training is forward, backward, recomputation and one more forward for the old
    log-probabilities: 2 x (1 + 2 + 1 + 1) operations for a weight and token, and the same multiple
    of causal attention's 2 x layers x heads x head size x length^2 a sequence. Generation reads the
    weights and the caches once for each token of a batch, at six tenths of the bandwidth.
    """
    sequences = load.prompts * load.group_size
    attention = 2 * model.layers * model.heads * model.head_dim * load.sequence**2
    operations = 5 * (2 * model.active * load.tokens + sequences * attention)
    speed = gpu.flops * efficiency * setup.gpus
    rollout = min(setup.gpus, 8) if setup.tensor > 1 else 1
    engines = max(1, setup.gpus // rollout)
    room = _FREE * gpu.memory_gib * GIB * rollout - model.weights * _BF16
    cached = load.sequence * model.kv_bytes
    at_once = max(1, min(-(-sequences // engines), int(room / cached)))
    waves = -(-sequences // (engines * at_once))
    read = (model.weights * _BF16 + at_once * cached) / (0.6 * gpu.bandwidth * rollout)
    prefill = load.prompts * (2 * model.active * load.prompt_tokens + attention)
    return Time(
        generate_s=waves * load.response_tokens * read + prefill / speed,
        train_s=operations / speed,
    )


def fits(model: Architecture, setup: Setup, load: Load, gpu: Gpu) -> bool:
    """Whether the fuller phase stays within nine tenths of a GPU."""
    return memory(model, setup, load).peak <= _FREE * gpu.memory_gib * GIB


def remedies(model: Architecture, setup: Setup, load: Load, gpu: Gpu) -> list[str]:
    """Single changes that would make `setup` fit, mildest first; empty if none would."""
    return [words for words, s, n in _changes(setup, load) if fits(model, s, n, gpu)]


def _changes(setup: Setup, load: Load) -> Iterator[tuple[str, Setup, Load]]:
    if not setup.chunk_tokens and not setup.prompt_logits:
        yield "logits in chunks of 1,024", setup._replace(chunk_tokens=1024), load
    if not setup.offload_optimizer:
        yield "the optimizer on the host", setup._replace(offload_optimizer=True), load
    if setup.at_once > 1:
        yield "one sequence at a time", setup._replace(at_once=1), load
    if not setup.lora_rank:
        yield "LoRA of rank 16", setup._replace(lora_rank=16), load
    for times in (2, 4, 8):
        more = setup._replace(gpus=setup.gpus * times)
        if setup.zero3:
            yield f"{more.gpus} GPUs", more, load
        else:
            deeper = more._replace(context=setup.context * times)
            yield f"{more.gpus} GPUs with CP {deeper.context}", deeper, load
    for parts in (2, 4, 8):
        less = load._replace(prompt_tokens=load.prompt_tokens // parts)
        yield f"prompts of {less.prompt_tokens:,} tokens", setup, less


def _expert_share(model: Architecture) -> float:
    if model.experts == 1:
        return 0.0
    return 3 * model.hidden * model.ffn * model.experts * model.layers / model.weights


def _ffn(config: dict[str, object]) -> int:
    value = config.get("intermediate_size")
    if not isinstance(value, int):
        raise KeyError("intermediate_size")
    return value
