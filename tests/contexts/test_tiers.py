from hypothesis import given
from hypothesis import strategies as st

from longtrace import tiers
from longtrace.records import Answer, Open, Search, Step, Tier, Trajectory


def attempt(*steps: Step, correct: bool | None = True, number: int = 0) -> Trajectory:
    return Trajectory(
        question_id="q",
        attempt=number,
        steps=steps,
        stop="answered",
        model="offline",
        correct=correct,
    )


def listed(*docs: str) -> Search:
    return Search(query="?", results=docs)


docs = st.sampled_from("abcdefgh")
steps = st.lists(
    st.one_of(
        st.builds(listed, docs, docs, docs),
        st.builds(Open, doc=docs, found=st.booleans()),
        st.builds(Answer, text=st.just("x"), cited=st.tuples(docs)),
    ),
    max_size=8,
)
attempts = st.lists(
    st.builds(lambda s, c: attempt(*s, correct=c), steps, st.sampled_from([True, False, None])),
    max_size=4,
)


def test_opened_and_never_cited_is_read_and_only_listed_is_seen() -> None:
    one = attempt(
        listed("g", "a", "b", "c"), Open(doc="g"), Open(doc="a"), Answer(text="x", cited=("g", "c"))
    )
    assert tiers([one], ["g"]) == {"g": Tier.GOLD, "a": Tier.READ, "b": Tier.SEEN}


def test_a_document_that_a_correct_attempt_cites_is_no_distractor() -> None:
    right = attempt(listed("a"), Open(doc="a"), Answer(text="x", cited=("a",)))
    wrong = attempt(listed("a"), Answer(text="y", cited=("a",)), correct=False)
    assert tiers([right, wrong], []) == {}


def test_a_document_cited_by_wrong_attempts_only_is_a_near_miss() -> None:
    wrong = attempt(
        listed("a", "g"), Open(doc="a"), Answer(text="y", cited=("a", "g")), correct=False
    )
    assert tiers([attempt(), wrong], {"g"}) == {"g": Tier.GOLD, "a": Tier.NEAR_MISS}


def test_a_document_cited_by_an_unjudged_attempt_is_left_out() -> None:
    unjudged = attempt(listed("a"), Answer(text="y", cited=("a",)), correct=None)
    wrong = attempt(listed("a"), Answer(text="y", cited=("a",)), correct=False)
    assert tiers([unjudged], []) == {}
    assert tiers([wrong, unjudged], []) == {}


def test_over_several_attempts_opened_in_any_beats_listed_and_cited_in_any_excludes() -> None:
    first = attempt(listed("a", "b", "c"), Open(doc="c"))
    second = attempt(listed("a", "c"), Open(doc="a"), Answer(text="x", cited=("c",)))
    assert tiers([first, second], []) == {"a": Tier.READ, "b": Tier.SEEN}


def test_a_page_that_was_not_found_was_not_read() -> None:
    assert tiers([attempt(listed("a"), Open(doc="a", found=False))], []) == {"a": Tier.SEEN}
    assert tiers([attempt(Open(doc="a", found=False))], []) == {}


@given(attempts, st.sets(docs))
def test_gold_stays_gold_and_nothing_untouched_appears(
    runs: list[Trajectory], gold: set[str]
) -> None:
    result = tiers(runs, gold)
    assert {doc for doc, tier in result.items() if tier is Tier.GOLD} == gold
    touched = {doc for run in runs for doc in (*run.listed, *run.opened, *run.cited)}
    assert set(result) <= gold | touched
    for doc, tier in result.items():
        if tier in (Tier.READ, Tier.SEEN):
            assert not any(doc in run.cited for run in runs)
            assert any(doc in run.opened for run in runs) == (tier is Tier.READ)


@given(attempts, st.sets(docs))
def test_order_of_attempts_changes_no_tier(runs: list[Trajectory], gold: set[str]) -> None:
    assert tiers(runs, gold) == tiers(runs[::-1], gold)
