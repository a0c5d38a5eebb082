"""Every record that crosses a stage or a file. Read this file first.

Data flows down the list: Document -> Walk -> Question -> Trajectory -> Context -> Example ->
Completion -> Score. Records are frozen, refuse unknown keys, and are written one per line as JSON.
Where the source gives no id, the id is a hash of the content (`content_id`), so the same work done
twice gives the same bytes.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Annotated, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field


class Record(BaseModel):
    """Base of all records: immutable, closed, compared by value."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def content_id(*parts: object) -> str:
    """Sixteen hex digits that depend on `parts` alone; `parts` must be JSON-serialisable."""
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


# ------------------------------------------------------------------------------------------ corpus


class Link(Record):
    """A reference from one document to another."""

    target: str
    """Key of the document pointed to."""
    start: int | None = None
    """First character of the anchor in the source's text; None where the source gives no offset."""
    end: int | None = None
    """One past the last character of the anchor."""


class Document(Record):
    """One document of a corpus: an article, a page, an entry."""

    key: str
    """Unique in the corpus, stable between builds."""
    title: str
    text: str
    """Plain text; paragraphs are separated by a blank line."""
    links: tuple[Link, ...] | None = None
    """Hyperlinks of the source; None where it has none, so that mentions of names stand in."""
    aliases: tuple[str, ...] = ()
    """Other names of the document's subject (redirects, short forms)."""
    source: str = ""
    """Where it came from: a file, a URL or a dump; empty if unknown."""


# --------------------------------------------------------------------------------------- questions


class Hop(Record):
    """One document on a walk, with the sentence that leads to the next one."""

    doc: str
    """Key of the document."""
    entity: str
    """Name of the document's subject: its title without a trailing parenthesis."""
    aliases: tuple[str, ...] = ()
    """Other names under which the entity may be matched."""
    evidence: tuple[str, ...] = ()
    """Sentences that name the next hop's entity; for the last hop, sentences with the answer."""


class Walk(Record):
    """A self-avoiding path of K links, hence K + 1 documents, over the link graph."""

    id: str
    hops: tuple[Hop, ...]
    index: int
    """The walk's number in its run. Its random stream depends on (seed, index) alone."""
    seed: int


class Checked(Record):
    """What writing and checking a question with a model has shown; None is unknown."""

    refused: tuple[str, ...] = ()
    """Why earlier drafts of the model were refused, in order."""
    closed_book: bool | None = None
    """Whether a model without documents answered it, which it should not."""
    gold_only: bool | None = None
    """Whether a model with the walk's documents alone answered it, as it should."""
    without: tuple[bool | None, ...] = ()
    """For each hop, whether a model answered without that document: one row of the matrix."""


class Question(Record):
    """A multi-hop question whose answer is a fact of the walk's last document."""

    id: str
    text: str
    answer: str
    answer_aliases: tuple[str, ...] = ()
    hops: tuple[Hop, ...]
    """The walk's documents in order; `evidence` holds the one sentence each clue was made from."""
    clues: tuple[str, ...]
    """One clue a hop, aligned with `hops`, in the words the question uses."""
    writer: str
    """`offline`, `llm:<model>` or the name of the source the question was imported from."""
    checked: Checked | None = None
    """None if no model had a part in it."""


# ------------------------------------------------------------------------------------ trajectories


class Search(Record):
    """The agent searched; `results` are what it was shown, best first."""

    kind: Literal["search"] = "search"
    query: str
    results: tuple[str, ...]
    """Keys of the documents listed."""


class Open(Record):
    """The agent opened a document to read it."""

    kind: Literal["open"] = "open"
    doc: str
    found: bool = True
    """False if nothing readable came back; such a document was not read."""


class Answer(Record):
    """The agent answered and ended."""

    kind: Literal["answer"] = "answer"
    text: str
    cited: tuple[str, ...] = ()
    """Keys of the documents given as sources."""


Step = Annotated[Search | Open | Answer, Field(discriminator="kind")]


class Usage(Record):
    """What a trajectory cost."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    """In the currency of the configured prices; 0 where none are configured."""


class Trajectory(Record):
    """One attempt of a search agent at one question."""

    question_id: str
    attempt: int
    steps: tuple[Step, ...]
    stop: Literal["answered", "gave_up", "step_limit", "token_limit", "time_limit", "error"]
    model: str
    """`offline` or the name of the model that drove the agent."""
    source: str = "longtrace"
    """`longtrace`, or the log format the trajectory was imported from."""
    correct: bool | None = None
    """Whether the answer is right; None if it could not be judged."""
    usage: Usage = Usage()

    @property
    def searches(self) -> tuple[Search, ...]:
        """The search steps in order."""
        return tuple(step for step in self.steps if isinstance(step, Search))

    @property
    def opened(self) -> tuple[str, ...]:
        """Keys of the documents read, in order of first reading, without repeats."""
        docs = (step.doc for step in self.steps if isinstance(step, Open) and step.found)
        return tuple(dict.fromkeys(docs))

    @property
    def listed(self) -> tuple[str, ...]:
        """Keys of the documents shown by any search, in order of first showing, without repeats."""
        return tuple(dict.fromkeys(doc for step in self.searches for doc in step.results))

    @property
    def cited(self) -> tuple[str, ...]:
        """Keys of the documents the answer cites, without repeats; empty if there is no answer."""
        answers = (step for step in self.steps if isinstance(step, Answer))
        return tuple(dict.fromkeys(doc for step in answers for doc in step.cited))

    @property
    def answer(self) -> str | None:
        """The text of the last answer step; None if the agent never answered."""
        answers = [step.text for step in self.steps if isinstance(step, Answer)]
        return answers[-1] if answers else None


# ---------------------------------------------------------------------------------------- contexts


class Tier(StrEnum):
    """Why a document is in a context (in the paper Tier-1 is READ and Tier-2 is SEEN)."""

    GOLD = "gold"
    """On the walk: needed for the answer."""
    NEAR_MISS = "near_miss"
    """Cited by a wrong attempt."""
    READ = "read"
    """Opened and never cited."""
    SEEN = "seen"
    """Listed by a search, never opened, never cited."""
    FILLER = "filler"
    """Drawn from the corpus or from a one-shot search, not from a trajectory."""


class Passage(Record):
    """A document's, or a part of a document's, place in a context."""

    doc: str
    tier: Tier
    tokens: int
    """Tokens of the passage as rendered, its heading and separator included."""
    chars: int | None = None
    """Characters of the text that are kept; None for all. One passage of a context may be cut."""
    start: int | None = None
    """Character of the document's text at which the passage begins, where documents are packed in
    parts (`chars` is then always given); None where they are packed whole."""

    def part(self, text: str) -> str:
        """The part of the document's `text` that stands in the prompt."""
        start = self.start or 0
        return text[start : None if self.chars is None else start + self.chars]


class Proof(Record):
    """Where a distractor holds the question's answer, and what was done about it."""

    doc: str
    start: int | None = None
    """As in `Passage`."""
    rule: Literal["answer", "answer and last entity"]
    """Whether the subject of the question's last document is named as well."""
    form: str
    """The answer or alias that was found."""
    span: tuple[int, int] | None = None
    """First and one past the last character of it in the document's text; None if it stands in the
    title, or in letters that differ too much to be traced back."""
    entity: str = ""
    """The name of the last entity that was found; empty if none."""
    entity_span: tuple[int, int] | None = None
    action: Literal["dropped", "promoted", "noted"]
    """Left out; packed as gold; or kept as a distractor, because the answer alone proves little."""


class Context(Record):
    """A recipe for a prompt: which documents, in which order. Text is rendered at export."""

    id: str
    question_id: str
    passages: tuple[Passage, ...]
    """In prompt order."""
    tokens: int
    """Tokens of the whole rendered prompt, counted with `tokenizer`."""
    budget_tokens: int
    tokenizer: str
    """Fingerprint of the tokenizer the counts belong to."""
    strategy: str
    seed: int
    phrasing: str = "answer"
    """Name of the instruction: a file of `longtrace/prompts`, without suffix."""
    layout: str = "section"
    """How documents are set off from each other."""
    exhausted: bool = False
    """Whether there was no further document for the room that is left."""
    certificate: tuple[Proof, ...] = ()
    """Every distractor that holds the answer. One that is not named here was checked and does not;
    a document that was cut was checked as a whole."""
    answered_without_gold: bool | None = None
    """Whether a model found the answer with the gold documents taken out; None if none was asked,
    or none could tell."""

    @property
    def answer_bearing(self) -> tuple[str, ...]:
        """Keys of documents left out because they would themselves answer the question."""
        return tuple(dict.fromkeys(p.doc for p in self.certificate if p.action == "dropped"))


class Entity(Record):
    """A name the rubric looks for."""

    name: str
    aliases: tuple[str, ...] = ()


class Message(Record):
    """One chat message."""

    role: Literal["system", "user", "assistant"]
    content: str


class Example(Record):
    """A rendered training or evaluation row."""

    id: str
    context_id: str
    messages: tuple[Message, ...]
    question: str
    answer: str
    answer_aliases: tuple[str, ...] = ()
    entities: tuple[Entity, ...]


# ------------------------------------------------------------------------- completions and rewards


class Completion(Record):
    """What a policy wrote for one example."""

    example_id: str
    sample: int
    """Number of the sample in its group, from 0."""
    thinking: str = ""
    text: str
    """The final answer text, thinking removed."""
    stop: Literal["stop", "length", "error"] = "stop"


class Verdict(Record):
    """Whether a response answers the question, and who said so."""

    correct: bool | None
    """None if nobody could tell."""
    extracted: str | None = None
    judge: str
    prompt_hash: str = ""
    problem: str = ""
    """Why `correct` is None; empty otherwise."""


class Score(Record):
    """The two parts of a reward for one response, before the group is looked at."""

    outcome: float | None
    """1 if the answer is right, 0 if wrong, None if it could not be judged."""
    rubric: float
    """Share of the gold entities that the response names, in [0, 1]."""
    hit: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    problem: str = ""
    """`ill_formed`, `truncated`, or why the outcome is None; empty otherwise."""
