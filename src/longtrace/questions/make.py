"""From a walk's number to a question: with rules on several processes, or with a model.

Each walk depends on (seed, number) alone, so both makers give the same rows whatever runs at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from longtrace.corpus.corpus import Corpus
from longtrace.llm import LLM
from longtrace.prompting import fill, prompt
from longtrace.questions.clues import Weights, page_cache
from longtrace.questions.config import Config
from longtrace.questions.contamination import Guard
from longtrace.questions.draft import ModelWriter
from longtrace.questions.model_check import Checker
from longtrace.questions.rubric import Facts, refusal, with_aliases
from longtrace.questions.walk import CorpusWalkable, Jumps, Step, choices, record, walk
from longtrace.questions.write import Writer
from longtrace.records import Checked, Message, Question, Walk

DEAD_WALK = "dead walk"
CANDIDATE_CHARS = 200


class Made(NamedTuple):
    """What became of one walk number."""

    question: Question | None
    reason: str = ""
    docs: tuple[str, ...] = ()
    """Keys of the walk's documents; empty for a dead walk."""
    detail: str = ""
    """Where a rule says what it found: the entity, the benchmark's row."""
    checked: Checked | None = None
    """What a model's drafts and checks came to where there is no question."""


class Maker:
    """Makes walk number `index` of a run into a question, without a model."""

    def __init__(self, corpus: Corpus, config: Config) -> None:
        pages = page_cache()
        self._corpus, self._config, self._pages = corpus, config, pages
        self._graph = CorpusWalkable(corpus, pages, config.max_mention_share, config.min_chars)
        named = CorpusWalkable(
            corpus, pages, config.max_mention_share, config.min_chars, jumps=True
        )
        self._jumps = Jumps(named, config.jump) if config.jump else None
        self._writer = Writer(corpus, pages, Weights(corpus.document_frequency, len(corpus)))
        self._guard = Guard.read(config.benchmarks) if config.benchmarks else None
        self._facts = facts(corpus)

    def walk(self, index: int) -> Walk | None:
        """Walk number `index` as a record; None if it is dead."""
        steps = self._steps(_rng(self._config.seed, index))
        if steps is None:
            return None
        return record(self._corpus, steps, seed=self._config.seed, index=index)

    def make(self, index: int) -> Made:
        """The question of walk number `index`, or why there is none."""
        rng = _rng(self._config.seed, index)
        steps = self._steps(rng)
        return Made(None, DEAD_WALK) if steps is None else self.screen(self._write(steps, rng))

    def screen(self, made: Made) -> Made:
        """`made` after the rules that look at one question alone, as far as they are wanted."""
        question = made.question
        if question is None:
            return made
        if self._config.lint:
            refused = refusal(question, self._facts, self._config.max_mention_share)
            if refused:
                return Made(None, refused[0], made.docs, refused[1])
            question = with_aliases(question, self._facts)
        if self._guard is not None:
            overlap = self._guard.overlap(question)
            if overlap:
                return Made(None, overlap[0], made.docs, overlap[1])
        return made._replace(question=question)

    def _steps(self, rng: Random) -> list[Step] | None:
        return walk(self._graph, hops=self._config.hops, rng=rng, jumps=self._jumps)

    def _write(self, steps: Sequence[Step], rng: Random) -> Made:
        written = self._writer.write(steps, rng)
        docs = self._docs(steps)
        return Made(None, written, docs) if isinstance(written, str) else Made(written, "", docs)

    def _docs(self, steps: Sequence[Step]) -> tuple[str, ...]:
        return tuple(self._corpus.key(step.node) for step in steps)


class ModelMaker(Maker):
    """The same with a model that chooses the steps, writes the question, or both."""

    def __init__(self, corpus: Corpus, config: Config, llm: LLM) -> None:
        super().__init__(corpus, config)
        self._llm = llm
        self._model_writer = ModelWriter(
            llm, corpus, self._pages, max_tokens=config.max_tokens, max_copied=config.max_copied
        )
        self._checker = Checker(
            llm, lambda key: corpus.text(corpus.id(key)), config.checks, config.check_chars
        )

    async def make_async(self, index: int) -> Made:
        """The question of walk number `index`, or why there is none.

        Raises:
            LLMError: the endpoint failed or the budget is used up.
        """
        return await self.finish(await self.drafted(index))

    async def finish(self, made: Made) -> Made:
        """`made` after the rules and the model's checks, as far as they are wanted.

        Raises:
            BudgetError: the budget is used up.
        """
        made = self.screen(made)
        if made.question is None or not self._config.checks:
            return made
        question, reason = await self._checker.check(made.question)
        if reason is None:
            return made._replace(question=question)
        return Made(None, reason, made.docs, question.text, question.checked)

    async def drafted(self, index: int) -> Made:
        """What walk number `index` gives before rules and checks.

        Raises:
            LLMError: the endpoint failed or the budget is used up.
        """
        rng = _rng(self._config.seed, index)
        by_model = self._config.select == "llm"
        steps = await self._chosen(rng) if by_model else self._steps(rng)
        if steps is None:
            return Made(None, DEAD_WALK)
        if self._config.writer != "llm":
            return self._write(steps, rng)
        drafted = await self._model_writer.write(steps)
        if drafted.question is not None:
            return Made(drafted.question, "", self._docs(steps))
        made = self._write(steps, rng)
        checked = Checked(refused=drafted.refused)
        if made.question is None:
            return made._replace(checked=checked)
        return made._replace(question=made.question.model_copy(update={"checked": checked}))

    async def _chosen(self, rng: Random) -> list[Step] | None:
        choosing = choices(self._graph, hops=self._config.hops, rng=rng, jumps=self._jumps)
        try:
            drawn = next(choosing)
            while True:
                drawn = choosing.send(await self._choose(drawn))
        except StopIteration as done:
            found: list[Step] | None = done.value
            return found

    async def _choose(self, drawn: Sequence[int]) -> int:
        """The candidate a model names; the first if it names none."""
        if len(drawn) == 1:
            return drawn[0]
        numbers = [str(number) for number in range(1, len(drawn) + 1)]
        shown = "\n".join(
            f"{number}. {self._corpus.title(doc)}: {self._corpus.text(doc)[:CANDIDATE_CHARS]}"
            for number, doc in zip(numbers, drawn, strict=True)
        )
        asked = fill(prompt("select"), candidates=shown)
        schema = {
            "type": "object",
            "properties": {"page": {"type": "string", "enum": numbers}},
            "required": ["page"],
        }
        reply = await self._llm.complete(
            [Message(role="user", content=asked)], schema=schema, max_tokens=64
        )
        return drawn[int(reply.data["page"]) - 1] if reply.data else drawn[0]


def _rng(seed: int, index: int) -> Random:
    return Random(f"{seed}-{index}")


def facts(corpus: Corpus) -> Facts:
    """What the rubric linter must know of a corpus."""

    def known_names(key: str) -> tuple[str, ...]:
        doc = corpus.id(key)
        return (corpus.title(doc), *corpus.aliases(doc))

    return Facts(
        documents=len(corpus),
        frequency=corpus.document_frequency,
        mentions=lambda key: int(corpus.mention_counts[corpus.id(key)]),
        names=known_names,
    )
