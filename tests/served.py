"""A real `longtrace serve` process on a free port of this machine, for the tests and the soak."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

_URL = re.compile(r"running on (http://\S+)")


class Answered(NamedTuple):
    """A response of the server."""

    status: int
    body: Any
    headers: dict[str, str]


class Served:
    """A server process. Use as a context manager."""

    def __init__(self, run: Path, *argv: str, env: dict[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "longtrace.cli", "serve", "--port", "0", "--run", str(run)]
        self._command = [*command, *argv]
        self._env = {**os.environ, **(env or {})}
        self.url = ""
        self.log: list[str] = []

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self._command, env=self._env, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        ready = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(ready,), daemon=True)
        self._reader.start()
        ready.wait(60)
        assert self.url, "".join(self.log)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.stop()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self._reader.join(10)

    def stop(self) -> None:
        """Ask the server to finish."""
        self.process.send_signal(signal.SIGTERM)

    def memory_mb(self) -> float:
        """Resident memory of the process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found.group(1)) / 1024

    def post(self, path: str, value: Any, **headers: str) -> Answered:
        """POST a JSON value, or bytes as they are."""
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        named = {"content-type": "application/json", **headers}
        return self._ask(urllib.request.Request(self.url + path, data, named))

    def get(self, path: str, **headers: str) -> Answered:
        """GET a path."""
        return self._ask(urllib.request.Request(self.url + path, headers=headers))

    def _ask(self, request: urllib.request.Request) -> Answered:
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return _answered(response.status, response.read(), dict(response.headers))
        except urllib.error.HTTPError as error:
            return _answered(error.code, error.read(), dict(error.headers))

    def _read(self, ready: threading.Event) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            found = _URL.search(line)
            if found and not self.url:
                self.url = found.group(1)
                ready.set()
        ready.set()


def _answered(status: int, body: bytes, headers: dict[str, str]) -> Answered:
    try:
        value = json.loads(body)
    except ValueError:
        value = body.decode()
    return Answered(status, value, {key.lower(): text for key, text in headers.items()})
