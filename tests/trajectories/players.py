"""Scripted models that play the search agent in the tests."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tests.llm_server import Request, call

ANSWER = "as far as I can see"


def free(request: Request, answer: str = ANSWER) -> Mapping[str, Any]:
    """Searches, opens the first result, then answers, citing it."""
    if "note" in str(request.get("tools")):
        return call("note", word="tree")
    told = [m["content"] for m in request["messages"] if m["role"] == "tool"]
    question = request["messages"][1]["content"]
    if not told:
        return call("search", query=" ".join(re.findall(r"[a-z]{5,}", question)[:6]))
    key = told[0][1:].partition("]")[0]
    if len(told) == 1:
        return call("open", key=key)
    return call("answer", text=answer, cited=[key])


def weak(request: Request) -> str:
    """Plays the scaffold on the rung of JSON: any query, the first result, answers when it must."""
    schema = request["response_format"]["schema"]
    text = request["messages"][-1]["content"]
    if "word" in schema["properties"]:
        return '{"word": "tree"}'
    if "query" in schema["properties"]:
        return json.dumps({"query": ["harbour", "trade"]})
    if "open" in schema["properties"]:
        return json.dumps({"open": schema["properties"]["open"]["items"]["enum"][:1]})
    if "document" in schema["properties"]:
        return json.dumps(dict.fromkeys(schema["properties"], "UNKNOWN"))
    if "same" in schema["properties"]:
        return json.dumps({"same": "yes" in text})
    said = "UNKNOWN" if "UNKNOWN" in text else ANSWER
    return json.dumps({"sources": ["1"], "answer": said})
