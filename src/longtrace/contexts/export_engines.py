"""Rows for slime and verl: the same example in the columns each of them reads."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from longtrace.records import Context, Example

_MESSAGE = pa.struct([("role", pa.string()), ("content", pa.large_string())])
_ENTITY = pa.struct([("name", pa.string()), ("aliases", pa.list_(pa.string()))])
VERL_SCHEMA = pa.schema(
    [
        ("data_source", pa.string()),
        ("prompt", pa.list_(_MESSAGE)),
        ("ability", pa.string()),
        ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
        (
            "extra_info",
            pa.struct(
                [
                    ("index", pa.string()),
                    ("question", pa.string()),
                    ("answer_aliases", pa.list_(pa.string())),
                    ("entities", pa.list_(_ENTITY)),
                    ("context_id", pa.string()),
                    ("strategy", pa.string()),
                    ("budget_tokens", pa.int64()),
                    ("canary", pa.string()),
                ]
            ),
        ),
    ]
)


def slime_row(row: Example, context: Context, canary: str) -> dict[str, Any]:
    """Columns for slime: `--input-key prompt --label-key label --metadata-key metadata`."""
    return {
        "prompt": [message.model_dump() for message in row.messages],
        "label": row.answer,
        "metadata": {**_about(row, context, canary), "group_id": row.id},
    }


def verl_row(row: Example, context: Context, canary: str) -> dict[str, Any]:
    """Columns for verl; `extra_info` reaches the reward function as it is."""
    return {
        "data_source": "longtrace",
        "prompt": [message.model_dump() for message in row.messages],
        "ability": "long-context-qa",
        "reward_model": {"style": "rule", "ground_truth": row.answer},
        "extra_info": {**_about(row, context, canary), "index": row.id},
    }


def _about(row: Example, context: Context, canary: str) -> dict[str, Any]:
    """What the reward looks at, and where the row comes from."""
    return {
        "question": row.question,
        "answer_aliases": list(row.answer_aliases),
        "entities": [entity.model_dump(mode="json") for entity in row.entities],
        "context_id": row.context_id,
        "strategy": context.strategy,
        "budget_tokens": context.budget_tokens,
        "canary": canary,
    }
