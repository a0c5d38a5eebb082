"""Attempts of a model at questions, many at once on one event loop.

An endpoint that fails leaves an attempt whose correctness is unknown, never a wrong one. When
several attempts in a row fail, the endpoint is out: they are not kept, the stage stops, and the
same command takes them up again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from longtrace.corpus.corpus import Corpus
from longtrace.llm import BudgetError, LLMError
from longtrace.questions.clues import Weights, page_cache
from longtrace.records import Question, Trajectory
from longtrace.trajectories.attempt import Asked, LimitReached, Talk
from longtrace.trajectories.config import Config
from longtrace.trajectories.converse import Conversation
from longtrace.trajectories.grade import grade
from longtrace.trajectories.scaffold import Scaffold
from longtrace.trajectories.tools import Tools

OUT = 8
"""Failed attempts in a row after which an endpoint is taken to be out."""


class ModelRunner:
    """Makes attempts at questions over one corpus with a model.

    Args:
        corpus: an open corpus.
        config: mode and limits.
        llm: client of the agent's endpoint.
        judge: client of the judge's; None for none.
    """

    def __init__(
        self, corpus: Corpus, config: Config, llm: Asked, judge: Asked | None = None
    ) -> None:
        self._corpus, self._config, self._llm, self._judge = corpus, config, llm, judge
        self._weight = Weights(corpus.document_frequency, len(corpus))
        self._pages = page_cache()
        self.problem = ""
        """What the endpoint failed with last."""

    async def attempt(self, unit: tuple[Question, int]) -> Trajectory:
        """One attempt at a question; `correct` is None and `stop` is error if the endpoint failed.

        Raises:
            BudgetError: the budget is used up; nothing is lost.
        """
        question, number = unit
        config = self._config
        tools = Tools(self._corpus, k=config.k, weight=self._weight, pages=self._pages)
        talk = Talk(self._llm, config.limits, temperature=config.temperature, attempt=number)
        played = (
            Scaffold(talk, tools, self._weight, self._pages)
            if config.mode == "scaffold"
            else Conversation(talk, tools)
        )
        stop: str | None = None
        try:
            await played.run(question.text)
        except LimitReached as reached:
            stop = reached.limit
        except BudgetError:
            raise
        except LLMError as error:
            stop, self.problem = "error", str(error)
        made = tools.trajectory(question.id, number, model=config.model, correct=None)
        correct = None if stop == "error" else await grade(made.answer, question, self._judge)
        told = {"stop": stop or made.stop, "usage": talk.usage, "correct": correct}
        return made.model_copy(update=told)


async def until_out(
    made: AsyncIterator[Trajectory], problem: Callable[[], str] = lambda: "no reply"
) -> AsyncIterator[Trajectory]:
    """`made`, with failed attempts held back until another one shows that the endpoint works.

    Args:
        made: attempts.
        problem: says what failed.

    Raises:
        LLMError: `OUT` attempts in a row failed, or every one did.
    """
    held: list[Trajectory] = []
    works = False
    async for one in made:
        if one.stop == "error":
            held.append(one)
            if len(held) >= OUT:
                break
            continue
        works = True
        for failed in held:
            yield failed
        held.clear()
        yield one
    if held and (len(held) >= OUT or not works):
        raise LLMError(f"the last {len(held)} attempts failed at the endpoint: {problem()}")
    for failed in held:
        yield failed
