"""What is said to a chat endpoint and what comes back: requests, replies and JSON, no network.

Servers differ in what they understand. A request with tools or a schema is written for one of three
rungs: `tools` (native tool calls), `json` (`response_format` json_object with a schema) and `plain`
(the schema in words; the JSON is dug out of the text). Callers see the same reply on every rung.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import orjson
from pydantic import Field

from longtrace.records import Message, Record, Usage

Rung: TypeAlias = Literal["tools", "json", "plain"]
RUNGS: tuple[Rung, ...] = ("tools", "json", "plain")
"""The ladder, best first."""
Schema: TypeAlias = Mapping[str, Any]
"""A JSON schema of an object."""
Chat: TypeAlias = Message | Mapping[str, Any]
"""A message, or the wire form of one where a conversation holds tool calls and their results."""

_REPLY = "reply"
_DECODER = json.JSONDecoder()
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")
_JSON_ONLY = "Reply with one JSON object and nothing else. It must match this JSON schema:\n"


class Tool(Record):
    """A function the model may call."""

    name: str
    description: str
    parameters: dict[str, Any]
    """JSON schema of the arguments, an object."""


class ToolCall(Record):
    """A call the model asks for."""

    id: str = ""
    name: str
    arguments: dict[str, Any] | None
    """None if the model wrote no readable arguments."""


class Reply(Record):
    """What the model said."""

    text: str = ""
    """The content; thinking that the server split off is not in it."""
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    data: dict[str, Any] | None = None
    """Where a schema was asked for: the object, or None if no such object could be read."""
    stop: str = "stop"
    """The server's finish reason; `length` if the reply was cut."""
    usage: Usage = Field(default_factory=Usage)
    """What this call cost; all 0 where the reply came from the cache."""
    paid: Usage = Field(default_factory=Usage)
    """What this call cost when it was asked first: the same from the cache, so that a replayed run
    counts what the first one did."""
    cached: bool = False


class Ask(NamedTuple):
    """One request, before it is written for a rung."""

    messages: Sequence[Chat]
    tools: Sequence[Tool] = ()
    schema: Schema | None = None
    temperature: float = 0.0
    max_tokens: int = 1024


def payload(ask: Ask, model: str, rung: Rung) -> dict[str, Any]:
    """The body of a chat completion request that says `ask` to a server of this rung."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [_wire(message) for message in ask.messages],
        "temperature": ask.temperature,
        "max_tokens": ask.max_tokens,
    }
    schema = _wanted(ask, rung)
    if rung == "tools":
        tools = list(ask.tools)
        if schema is not None:
            tools = [Tool(name=_REPLY, description="Give the reply.", parameters=dict(schema))]
            body["tool_choice"] = {"type": "function", "function": {"name": _REPLY}}
        elif tools:
            body["tool_choice"] = "auto"
        if tools:
            body["tools"] = [{"type": "function", "function": dict(tool)} for tool in tools]
        return body
    body["messages"] = [_as_text(message) for message in body["messages"]]
    if schema is not None:
        body["messages"] = _with_schema(body["messages"], ask.tools, schema)
        if rung == "json":
            body["response_format"] = {"type": "json_object", "schema": dict(schema)}
    return body


def read_reply(body: Mapping[str, Any], ask: Ask, rung: Rung) -> Reply:
    """The reply in a chat completion response.

    Raises:
        ValueError: the body is not a chat completion.
    """
    try:
        choice = body["choices"][0]
        message = choice["message"]
        text = message.get("content") or ""
        called = message.get("tool_calls") or ()
        calls = tuple(_call(call) for call in called)
    except (KeyError, IndexError, TypeError, AttributeError):
        raise ValueError("the response is not a chat completion") from None
    thinking = message.get("reasoning_content") or message.get("reasoning") or ""
    stop = choice.get("finish_reason") or "stop"
    if not isinstance(text, str) or not isinstance(thinking, str):
        raise ValueError("the content of the response is not text")
    data = None
    schema = _wanted(ask, rung)
    if schema is not None:
        data = calls[0].arguments if calls else read_json(text)
        data = data if data is not None and fits(data, schema) else None
        calls = ()
        if ask.tools and data is not None:
            calls = (ToolCall(id="call", name=data["tool"], arguments=data["arguments"]),)
            data = None
    return Reply(text=text, thinking=thinking, tool_calls=calls, data=data, stop=str(stop))


def read_json(text: str) -> dict[str, Any] | None:
    """The last JSON object in `text` that lies in no other; thinking and stray commas removed."""
    text = text.rpartition("</think>")[2]
    found: dict[str, Any] | None = None
    try:
        whole = orjson.loads(text)
        return whole if isinstance(whole, dict) else None
    except orjson.JSONDecodeError:
        text = _TRAILING_COMMA.sub(r"\1", text)
    place = text.find("{")
    while place >= 0:
        try:
            found, end = _DECODER.raw_decode(text, place)
        except (json.JSONDecodeError, RecursionError):
            end = place + 1
        place = text.find("{", end)
    return found


def fits(value: Mapping[str, Any], schema: Schema) -> bool:
    """Whether `value` has the required keys, types and choices of the schema's top level."""
    if any(key not in value for key in schema.get("required", ())):
        return False
    properties = schema.get("properties", {})
    return all(_is(value[key], properties[key]) for key in value if key in properties)


_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}


def _is(value: object, schema: Schema) -> bool:
    if "enum" in schema and value not in schema["enum"]:
        return False
    kinds = schema.get("type", ())
    kinds = (kinds,) if isinstance(kinds, str) else kinds
    if isinstance(value, bool) and kinds:
        return "boolean" in kinds
    return not kinds or any(isinstance(value, _TYPES.get(kind, object)) for kind in kinds)


def _wanted(ask: Ask, rung: Rung) -> Schema | None:
    """The schema the reply must have; a choice of tool is one where tools are not native."""
    if ask.tools and rung != "tools":
        return {
            "type": "object",
            "properties": {
                "tool": {"type": "string", "enum": [tool.name for tool in ask.tools]},
                "arguments": {"type": "object"},
            },
            "required": ["tool", "arguments"],
        }
    return ask.schema


def _with_schema(
    messages: Sequence[dict[str, Any]], tools: Sequence[Tool], schema: Schema
) -> list[dict[str, Any]]:
    described = "".join(
        f"\n{tool.name}: {tool.description} Arguments: {orjson.dumps(tool.parameters).decode()}"
        for tool in tools
    )
    intro = f"Choose one of these tools:{described}\n\n" if tools else ""
    asked = intro + _JSON_ONLY + orjson.dumps(schema).decode()
    if messages and messages[-1]["role"] == "user":
        *before, last = messages
        return [*before, {**last, "content": f"{last['content']}\n\n{asked}"}]
    return [*messages, {"role": "user", "content": asked}]


def _wire(message: Chat) -> dict[str, Any]:
    return dict(message)  # a record is dumped field by field: its fields are text


def _as_text(message: dict[str, Any]) -> dict[str, Any]:
    """A message without tool calls, for servers that know none."""
    if message["role"] == "tool":
        return {"role": "user", "content": f"Result:\n{message['content']}"}
    calls = message.get("tool_calls")
    if not calls:
        return message
    said = "\n".join(
        orjson.dumps({"tool": call.name, "arguments": call.arguments}).decode()
        for call in map(_call, calls)
    )
    return {"role": message["role"], "content": said}


def assistant(reply: Reply) -> dict[str, Any]:
    """The wire form of a reply with tool calls, to be put back into the conversation."""
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {
                "name": call.name,
                "arguments": orjson.dumps(call.arguments or {}).decode(),
            },
        }
        for call in reply.tool_calls
    ]
    message: dict[str, Any] = {"role": "assistant", "content": reply.text}
    return {**message, "tool_calls": calls} if calls else message


def tool_result(call: ToolCall, text: str) -> dict[str, Any]:
    """The wire form of what a tool gave back for `call`."""
    return {"role": "tool", "tool_call_id": call.id, "content": text}


def _call(call: Mapping[str, Any]) -> ToolCall:
    function = call["function"]
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        arguments = read_json(arguments) if arguments.strip() else {}
    return ToolCall(
        id=str(call.get("id") or "call"),
        name=str(function["name"]),
        arguments=arguments if isinstance(arguments, dict) else None,
    )
