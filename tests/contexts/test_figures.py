from longtrace.contexts import figures
from longtrace.records import Context, Passage, Proof, Tier


def context(tokens: int, tiers: str, *, exhausted: bool = False) -> Context:
    each = tokens // len(tiers)
    names = {"g": Tier.GOLD, "r": Tier.READ}
    return Context(
        id="c",
        question_id="q",
        passages=tuple(
            Passage(doc=str(n), tier=names[tier], tokens=each) for n, tier in enumerate(tiers)
        ),
        tokens=tokens,
        budget_tokens=1_000,
        tokenizer="t",
        strategy="tiered",
        seed=0,
        exhausted=exhausted,
        certificate=(Proof(doc="1", rule="answer", form="x", action="noted"),),
        answered_without_gold=False,
    )


def test_fill_and_shortage_are_told_apart() -> None:
    made = [context(tokens, "gr") for tokens in (1_000, 990, 989)]
    short = context(700, "gr", exhausted=True)
    rows = [*made, context(400, "g" * 8), short]
    assert figures.figures(rows)["without_gold"] == {}
    found = figures.figures(rows, asked=True)
    assert found["fill"] == {"0-50 %": 1, "50-90 %": 1, "98-99 %": 1, "99-100 %": 2}
    assert found["short_of_documents"] == 1
    assert found["proofs"] == {"answer: noted": 5}
    assert found["without_gold"] == {"not answered": 5}
    first = figures.lines(found)[0]
    assert first.startswith("fill: 2 of 5 contexts within 1 % of the budget, 1 short of documents")


def test_gold_positions_are_where_gold_begins() -> None:
    assert figures.gold_places(context(1_000, "rrgrrrrrrg")) == [0.2, 0.9]
    assert figures.figures([context(1_000, "rrgrrrrrrg")])["gold_positions"] == [
        *(0, 0, 1, 0, 0, 0, 0, 0, 0, 1)
    ]


def test_histograms_hold_every_value_in_at_most_ten_bins() -> None:
    values = [3, 999, 1_000, 1_001, 128_000, 127_000, 64_000]
    found = figures.histogram(values)
    assert sum(found.values()) == len(values)
    assert len(found) <= 10
    assert figures.histogram([128_000, 127_999]) == {"126,000-127,999": 1, "128,000-129,999": 1}
    assert figures.histogram([]) == {}
