"""Run folders: how a stage writes its rows so that nothing is lost, mixed or done twice.

A stage owns one folder of the run. It declares what its rows depend on (`stage.json`, written
first), appends one line per unit of work to `data.jsonl` or `rejected.jsonl`, and writes
`meta.json` last: its presence means complete. Units are done in order and every unit leaves
exactly one line, so the number of whole lines is the number of units done. A killed stage
continues from there, a torn last line is cut, and the result has the same bytes as an undisturbed
run. Nothing that differs between two equal runs (times, process ids, worker counts) is ever
written to these files.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

import longtrace
from longtrace.errors import InputError, RowError, RunFolderError
from longtrace.records import content_id

RecordT = TypeVar("RecordT", bound=BaseModel)
_JSON = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE


def write_json(path: Path, value: object) -> None:
    """Write `value` to `path` in one step: a reader never sees half a file."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(orjson.dumps(value, option=_JSON))
    partial.replace(path)


def read_json(path: Path) -> Any:
    """The JSON value in `path`.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    try:
        return orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except orjson.JSONDecodeError as error:
        raise InputError(
            f"{path}: not valid JSON ({error}); delete it and run the stage again"
        ) from None


def read_records(path: Path, record: type[RecordT]) -> Iterator[RecordT]:
    """Rows of a JSONL file as `record`, one at a time.

    Raises:
        InputError: the file is missing.
        RowError: a line is not JSON or not such a record; names the line.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield record.model_validate_json(line)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(map(str, first["loc"]))
                what = f"{where}: {first['msg']}" if where else first["msg"]
                raise RowError(path, number, what, f"expected a {record.__name__} row") from None


def fingerprint(folder: Path) -> str:
    """Hash of a complete stage: what a later stage records as its input.

    Raises:
        RunFolderError: the stage has not been completed.
    """
    meta = folder / "meta.json"
    if not meta.is_file():
        raise RunFolderError(
            f"{folder}: this stage is not complete; "
            f"run `longtrace {folder.name} --run {folder.parent}` first"
        )
    return content_id(read_json(meta))


class Stage:
    """One stage's folder, open for work. Use as a context manager.

    Args:
        folder: the stage's folder; made if missing.
        config: everything the rows depend on, JSON-serialisable.
        inputs: fingerprints of the stages the rows are made from.
        fresh: delete what is there and start over.
        rows: False for a stage that keeps its units elsewhere and only needs the identity.

    Raises: RunFolderError: the folder holds rows of another configuration, other inputs or another
    version.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        inputs: Mapping[str, str],
        *,
        fresh: bool = False,
        rows: bool = True,
    ) -> None:
        self.folder = folder
        self.identity = {
            "config": dict(config),
            "inputs": dict(inputs),
            "version": longtrace.__version__,
        }
        if fresh and folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._claim()
        self.rejected = Counter[str]()
        self.accepted = 0
        self._data, self._rejects = folder / "data.jsonl", folder / "rejected.jsonl"
        if rows:
            self._recover()

    def _claim(self) -> None:
        path = self.folder / "stage.json"
        if not any(file.stat().st_size for file in self.folder.iterdir() if file != path):
            write_json(path, self.identity)  # nothing was made yet: a failed first try binds nobody
            return
        was = read_json(path)
        if was != orjson.loads(orjson.dumps(self.identity)):
            raise RunFolderError(
                f"{self.folder}: made with {_difference(was, self.identity)}; "
                "use another --run, or --fresh to delete this stage and redo it"
            )

    def _recover(self) -> None:
        for path in (self._data, self._rejects):
            path.touch()
            _cut_torn_line(path)
        with self._data.open("rb") as lines:
            self.accepted = sum(1 for _ in lines)
        with self._rejects.open("rb") as lines:
            for line in lines:
                self.rejected[orjson.loads(line)["reason"]] += 1

    @property
    def complete(self) -> bool:
        """Whether `meta.json` is there."""
        return (self.folder / "meta.json").is_file()

    @property
    def meta(self) -> dict[str, Any]:
        """The complete stage's `meta.json`."""
        value: dict[str, Any] = read_json(self.folder / "meta.json")
        return value

    @property
    def done(self) -> int:
        """Units of work that have left their line."""
        return self.accepted + self.rejected.total()

    def __enter__(self) -> Self:
        self._out = self._data.open("ab", buffering=0)
        self._reject_out = self._rejects.open("ab", buffering=0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._out.close()
        self._reject_out.close()

    def accept(self, row: BaseModel) -> None:
        """Append a row to `data.jsonl`; one unit of work is done."""
        self._out.write(row.model_dump_json().encode() + b"\n")
        self.accepted += 1

    def reject(self, unit: str | int, reason: str, **detail: Any) -> None:
        """Append a dropped unit and the reason to `rejected.jsonl`; one unit of work is done."""
        self._reject_out.write(orjson.dumps({"unit": unit, "reason": reason, **detail}) + b"\n")
        self.rejected[reason] += 1

    def finish(self, **extra: Any) -> dict[str, Any]:
        """Write `meta.json` (count, rejections, identity and `extra`) and return it."""
        counts = {"count": self.accepted, "rejected": dict(sorted(self.rejected.items()))}
        write_json(self.folder / "meta.json", {**self.identity, **counts, **extra})
        return self.meta


def _cut_torn_line(path: Path) -> None:
    """Drop a last line that has no newline, which a killed process may leave."""
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        end = size
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            file.truncate(end)


def _difference(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first value in which two identities differ, in words."""
    for part in ("config", "inputs"):
        old, new = was.get(part, {}), now[part]
        for key in sorted({*old, *new}):
            if old.get(key) != new.get(key):
                if part == "inputs":
                    return f"another {key} stage than the one now in this run"
                return f"{key} = {_short(old.get(key))}, now {key} = {_short(new.get(key))}"
    return f"longtrace {was.get('version')}, now {now['version']}"


def _short(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 60 else text[:57] + "..."
