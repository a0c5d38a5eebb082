"""The free `llm` agent: a model with the three tools, in one growing conversation.

Results of tools go back into the conversation; when that outgrows the model's window the oldest
results are shortened first. At the last step only `answer` is offered.
"""

from __future__ import annotations

from typing import Any

from longtrace.llm import Tool
from longtrace.llm_wire import Chat, ToolCall, assistant, tool_result
from longtrace.prompting import fill, prompt
from longtrace.records import Message
from longtrace.trajectories.attempt import LimitReached, Talk
from longtrace.trajectories.tools import Tools

SNIPPET_CHARS = 300
SHORTENED = 200
"""Characters left of a result that is shortened."""
IDLE = 3
"""Replies without a call after which the attempt is given up."""
_TEXT = {"type": "string"}


def _tool(name: str, description: str, required: str, **arguments: Any) -> Tool:
    parameters = {"type": "object", "properties": arguments, "required": [required]}
    return Tool(name=name, description=description, parameters=parameters)


SEARCH = _tool("search", "Search the library; lists keys, titles, snippets.", "query", query=_TEXT)
OPEN = _tool(
    "open",
    "Read a document that a search has listed; long ones have several pages.",
    "key",
    key=_TEXT,
    page={"type": "integer", "description": "from 1"},
)
ANSWER = _tool(
    "answer",
    "Give the answer and end.",
    "text",
    text=_TEXT,
    cited={"type": "array", "items": _TEXT, "description": "keys of the documents that show it"},
)


class Conversation:
    """One attempt at one question.

    Args:
        talk: requests to the model.
        tools: fresh tools.
    """

    def __init__(self, talk: Talk, tools: Tools) -> None:
        self._talk, self._tools = talk, tools
        self._messages: list[Chat] = []

    async def run(self, question: str) -> None:
        """Work on a question; the tools hold the steps, and the answer if there is one.

        Raises:
            LimitReached: the attempt ended without an answer.
            LLMError: the endpoint failed.
        """
        told = fill(prompt("agent"), steps=str(self._talk.limits.steps))
        self._messages = [
            Message(role="system", content=told),
            Message(role="user", content=question),
        ]
        idle = 0
        while idle < IDLE:
            offered = (SEARCH, OPEN, ANSWER) if self._talk.steps_left > 1 else (ANSWER,)
            self._shorten()
            reply = await self._talk.ask(self._messages, tools=offered)
            self._messages.append(assistant(reply))
            if not reply.tool_calls:
                idle += 1
                self._messages.append(Message(role="user", content="Call one of the tools."))
                continue
            idle = 0
            for call in reply.tool_calls:
                if call.name == "answer" and call.arguments and call.arguments.get("text"):
                    self._tools.answer(str(call.arguments["text"]), _keys(call.arguments))
                    return
                self._messages.append(tool_result(call, self._do(call)))
        if self._talk.steps_left <= 0:
            raise LimitReached("step_limit")

    def _do(self, call: ToolCall) -> str:
        """What a call gives back, mistakes included: the model may do better next time."""
        given = call.arguments
        if given is None:
            return "The arguments are not readable JSON."
        if call.name == "search" and isinstance(given.get("query"), str):
            return self._search(given["query"])
        if call.name == "open" and isinstance(given.get("key"), str):
            page = given.get("page", 1)
            return self._open(given["key"], page if isinstance(page, int) else 1)
        return f"No tool {call.name!r} takes these arguments."

    def _search(self, query: str) -> str:
        found = self._tools.search(query)
        if found is None:
            return "No search is left."
        shown = "\n".join(f"[{r.key}] {r.title}: {r.snippet[:SNIPPET_CHARS]}" for r in found)
        return shown or "Nothing was found; try other words."

    def _open(self, key: str, page: int) -> str:
        text = self._tools.open(key)
        if text is None:
            return f"{key!r} cannot be opened: give the key of a search result."
        size = self._talk.limits.page_chars
        pages = max(1, -(-len(text) // size))
        page = min(max(page, 1), pages)
        return f"[{key}] page {page} of {pages}\n{text[(page - 1) * size : page * size]}"

    def _shorten(self) -> None:
        """Cut the oldest results while the conversation may be longer than the window."""
        sizes = [len(_content(message)) for message in self._messages]
        over = sum(sizes) / 4 - self._talk.limits.window_tokens
        for number, message in enumerate(self._messages[:-1]):
            if over <= 0:
                return
            if isinstance(message, dict) and message["role"] == "tool" and sizes[number] > 300:
                cut = f"{message['content'][:SHORTENED]} ... (left out; open it again if needed)"
                self._messages[number] = {**message, "content": cut}
                over -= (sizes[number] - len(cut)) / 4


def _content(message: Chat) -> str:
    content = message.content if isinstance(message, Message) else message.get("content")
    return content if isinstance(content, str) else ""


def _keys(arguments: dict[str, Any]) -> list[str]:
    cited = arguments.get("cited")
    return [key for key in cited if isinstance(key, str)] if isinstance(cited, list) else []
