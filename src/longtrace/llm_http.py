"""The one HTTP request that the client makes: POST /chat/completions, over pooled connections.

A plain connection pool takes a quarter of the processor time of the vendor's client library for
the same request, which is what bounds how many attempts one event loop can drive.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import orjson

from longtrace.errors import InputError, MissingExtraError

_MOST_CHARS = 300


class HttpError(Exception):
    """An endpoint answered with an error status."""

    def __init__(self, status: int, text: str, code: str, retry_after: str | None) -> None:
        super().__init__(f"error {status}: {text}")
        self.status, self.code, self.retry_after = status, code, retry_after

    @classmethod
    def read(cls, status: int, raw: bytes, retry_after: str | None) -> Self:
        """The error that a response says; its body need not be JSON."""
        text, code = raw.decode("utf-8", "replace"), ""
        try:
            said = orjson.loads(raw)
        except orjson.JSONDecodeError:
            said = None
        error = said.get("error", said) if isinstance(said, dict) else None
        if isinstance(error, dict):
            text = str(error.get("message") or text)
            code = str(error.get("code") or "")
        return cls(status, text[:_MOST_CHARS], code, retry_after)


class Http:
    """Connections to one endpoint.

    Args:
        base_url: address up to and including /v1.
        api_key_env: name of the environment variable that holds the key, read at every request.
        timeout_s: seconds for one request.
    """

    def __init__(self, base_url: str, api_key_env: str, timeout_s: float) -> None:
        try:
            import aiohttp
        except ImportError:
            raise MissingExtraError("aiohttp", "llm") from None
        if not base_url.startswith(("http://", "https://")):
            raise InputError(f"{base_url!r}: not an http address; check the endpoint's base URL")
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._api_key_env = api_key_env
        self._timeout_s = timeout_s
        self._session: Any = None
        self._make: Callable[[], Any] = lambda: aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            proxy=_proxy(base_url),
        )

    async def post(self, body: bytes) -> dict[str, Any]:
        """The object with which the endpoint answers the JSON in `body`.

        Raises:
            TimeoutError: the answer took longer than the timeout.
            HttpError: the status is not 2xx.
            ValueError: the response is no JSON object.
            Exception: whatever the network throws.
        """
        if self._session is None:
            self._session = self._make()
        key = os.environ.get(self._api_key_env) or "none"
        headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
        async with (
            asyncio.timeout(self._timeout_s),
            self._session.post(self._url, data=body, headers=headers) as response,
        ):
            raw: bytes = await response.read()
            if not 200 <= response.status < 300:
                raise HttpError.read(response.status, raw, response.headers.get("retry-after"))
        try:
            said = orjson.loads(raw)
        except orjson.JSONDecodeError:
            said = None
        if not isinstance(said, dict):
            raise ValueError("the response is not JSON")
        return said

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for an address; None for none.

    Asked once: the library would ask again, in a thread, at every request.
    """
    parts = urlsplit(url)
    if parts.hostname is None or proxy_bypass(parts.hostname):
        return None
    return getproxies().get(parts.scheme)
