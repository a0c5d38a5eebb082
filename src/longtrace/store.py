"""Run folders: how a stage writes its rows so that nothing is lost, mixed or done twice.

A stage owns one folder of the run. It declares what its rows depend on (`stage.json`, written
first), appends one line per unit of work to `data.jsonl` or `rejected.jsonl`, and writes
`meta.json` last: its presence means complete. Units are done in order and every unit leaves
exactly one line, so the number of whole lines is the number of units done. A killed stage
continues from there, a torn last line is cut, and the result has the same bytes as an undisturbed
run. Nothing that differs between two equal runs (times, process ids, worker counts) is ever
written to these files.

What is read back is checked: a stage that another process works on, a complete one whose rows were
cut since, and rows made from an input that has been replaced are refused, with the command to type.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

import longtrace
from longtrace.errors import InputError, RowError, RunFolderError, command
from longtrace.lock import Lock
from longtrace.records import content_id

RecordT = TypeVar("RecordT", bound=BaseModel)
_JSON = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
_VERBS = {name: name for name in ("corpus", "questions", "trajectories", "contexts")} | {
    "training": "train"
}
"""Folder of a run -> the verb that makes it."""


class Identity(BaseModel):
    """What the rows of a stage depend on: `stage.json`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    config: dict[str, Any]
    inputs: dict[str, str]
    """Stage -> fingerprint it had."""
    version: str


class _Meta(BaseModel):
    """What every `meta.json` holds; stages add their own figures."""

    model_config = ConfigDict(extra="allow", strict=True)

    config: dict[str, Any] = {}
    inputs: dict[str, str] = {}
    version: str = ""
    count: int
    rejected: dict[str, int] = {}


def write_json(path: Path, value: object) -> None:
    """Write `value` to `path` in one step: a reader never sees half a file."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(orjson.dumps(value, option=_JSON))
    partial.replace(path)


def read_json(path: Path, remedy: str = "delete it and run the stage again") -> Any:
    """The JSON value in `path`.

    Args:
        path: of the file.
        remedy: what to do where it is not JSON; a file that a user gave is theirs to keep.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    try:
        return orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except orjson.JSONDecodeError as error:
        raise InputError(f"{path}: not valid JSON ({error}); {remedy}") from None


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
                remedy = f"expected a {record.__name__} row"
                if path.name == "data.jsonl" and (path.parent / "stage.json").is_file():
                    remedy += f"; run `{_command(path.parent, '--fresh')}`"
                raise RowError(path, number, _first(error), remedy) from None


def read_identity(folder: Path) -> Identity:
    """What the rows in a stage's folder depend on.

    Raises:
        RunFolderError: `stage.json` is missing or is not what a stage writes.
    """
    return _read(folder / "stage.json", Identity)


def read_meta(folder: Path) -> dict[str, Any]:
    """The `meta.json` of a complete stage: `config`, `inputs`, `count`, `rejected` and its own.

    Raises:
        RunFolderError: the file is missing or is not what a stage writes.
    """
    return _read(folder / "meta.json", _Meta).model_dump()


def fingerprint(folder: Path) -> str:
    """Hash of a complete stage: what a later stage records as its input.

    Raises:
        RunFolderError: the stage has not been completed, or its rows were cut since.
    """
    if not (folder / "meta.json").is_file():
        raise RunFolderError(
            f"{folder}: this stage is not complete; run `{_command(folder)}` first"
        )
    meta = read_meta(folder)
    _check_rows(folder, meta)
    return content_id(meta)


def check_inputs(folder: Path, sources: Mapping[str, Path]) -> None:
    """Check that a stage was made from what stands in `sources` now.

    Args:
        folder: the stage's folder.
        sources: input -> the folder it was read from; inputs the stage does not record pass.

    Raises:
        RunFolderError: an input was made anew since, or is not complete.
    """
    recorded = read_identity(folder).inputs
    for name, source in sources.items():
        if name in recorded and recorded[name] != fingerprint(source):
            raise RunFolderError(
                f"{folder}: made from another {name} stage than the one now in {source}; "
                f"run `{_command(folder, '--fresh')}` with the options it was made with"
            )


def is_made(folder: Path, config: Mapping[str, Any], inputs: Mapping[str, str]) -> bool:
    """Whether a stage is complete and was made with this configuration from these inputs.

    Raises:
        RunFolderError: it is complete, and a file of it is not what a stage writes.
    """
    if not (folder / "meta.json").is_file():
        return False
    made = read_identity(folder) == _identity(config, inputs)
    if made:
        _check_rows(folder, read_meta(folder))
    return made


class Stage:
    """One stage's folder, open for work. Use as a context manager.

    Args:
        folder: the stage's folder; made if missing.
        config: everything the rows depend on, JSON-serialisable.
        inputs: fingerprints of the stages the rows are made from.
        fresh: delete what is there and start over.
        rows: False for a stage that keeps its units elsewhere and only needs the identity.

    Unless the stage is complete, the folder is locked until the `with` block or this object ends.

    Raises: RunFolderError: the folder holds rows of another configuration, other inputs or another
    version; a file in it is damaged; another process is at work on it.
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
        self.identity = _identity(config, inputs)
        self._data, self._rejects = folder / "data.jsonl", folder / "rejected.jsonl"
        self._rows = rows
        self._lock = Lock(folder) if fresh or not self.complete else None
        if fresh and folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._claim()
        self.rejected = Counter[str]()
        self.accepted = 0
        if self.complete:
            meta = self.meta
            self.accepted, self.rejected = meta["count"], Counter(meta["rejected"])
            if rows:
                _check_rows(folder, meta)
        elif rows:
            self._recover()

    def _claim(self) -> None:
        path = self.folder / "stage.json"
        if not any(file.stat().st_size for file in self.folder.iterdir() if file != path):
            write_json(path, self.identity.model_dump())  # a failed first try binds nobody
            return
        was = read_identity(self.folder)
        if was != self.identity:
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
            for number, line in enumerate(lines, 1):
                self.rejected[self._reason(number, line)] += 1

    def _reason(self, number: int, line: bytes) -> str:
        try:
            return str(orjson.loads(line)["reason"])
        except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
            remedy = f"run `{_command(self.folder, '--fresh')}`"
            raise RowError(self._rejects, number, "not a unit and a reason", remedy) from None

    @property
    def complete(self) -> bool:
        """Whether `meta.json` is there."""
        return (self.folder / "meta.json").is_file()

    @property
    def meta(self) -> dict[str, Any]:
        """The complete stage's `meta.json`."""
        return read_meta(self.folder)

    @property
    def done(self) -> int:
        """Units of work that have left their line."""
        return self.accepted + self.rejected.total()

    def __enter__(self) -> Self:
        self._files = ExitStack()
        if not self.complete:
            self._out = self._files.enter_context(self._data.open("ab", buffering=0))
            self._reject_out = self._files.enter_context(self._rejects.open("ab", buffering=0))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._files.close()
        if self._lock is not None:
            self._lock.release()

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
        made: dict[str, Any] = self.identity.model_dump()
        made |= {"count": self.accepted, "rejected": dict(sorted(self.rejected.items()))}
        if self._rows:
            made["content"] = _hash(self._data)  # so that equal counts of other rows are told apart
        write_json(self.folder / "meta.json", {**made, **extra})
        return self.meta


def _identity(config: Mapping[str, Any], inputs: Mapping[str, str]) -> Identity:
    """The identity as it will be read back: tuples are lists in JSON."""
    made = {"config": dict(config), "inputs": dict(inputs), "version": longtrace.__version__}
    return Identity.model_validate_json(orjson.dumps(made))


def _command(folder: Path, *flags: str) -> str:
    """What to type to make the stage in `folder`, which may be a part of one."""
    if folder.name in _VERBS:
        return command(_VERBS[folder.name], folder.parent, *flags)
    if folder.parent.name == "contexts":
        return command("contexts", folder.parent.parent, "--strategy", folder.name, *flags)
    if folder.parent.name == "dataset":
        return command("export", folder.parent.parent, "--to", folder.name, *flags)
    return command(folder.name, folder.parent, *flags)


def _read(path: Path, model: type[RecordT]) -> RecordT:
    try:
        return model.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        what = "no such file"
    except ValidationError as error:
        what = _first(error)
    raise RunFolderError(f"{path}: {what}; run `{_command(path.parent, '--fresh')}`")


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, in words."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]


def _check_rows(folder: Path, meta: Mapping[str, Any]) -> None:
    """Check that a complete stage still has the lines its `meta.json` counts.

    Raises:
        RunFolderError: it has not.
    """
    counted = {"data.jsonl": meta["count"], "rejected.jsonl": sum(meta["rejected"].values())}
    if not any((folder / name).exists() for name in counted):
        return  # its units are kept elsewhere
    for name, lines in counted.items():
        found = _whole_lines(folder / name)
        if found != lines:
            raise RunFolderError(
                f"{folder / name}: {found:,} whole lines, where meta.json counts {lines:,}; "
                f"run `{_command(folder, '--fresh')}`"
            )


def _whole_lines(path: Path) -> int:
    """Lines that end in a newline; none of a file that is missing."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(partial(file.read, 1 << 20), b""))


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


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


def _difference(was: Identity, now: Identity) -> str:
    """The first value in which two identities differ, in words."""
    for key in sorted({*was.config, *now.config}):
        old, new = was.config.get(key), now.config.get(key)
        if old != new:
            return f"{key} = {_short(old)}, now {key} = {_short(new)}"
    for key in sorted({*was.inputs, *now.inputs}):
        if was.inputs.get(key) != now.inputs.get(key):
            return f"another {key} stage than the one now in this run"
    return f"longtrace {was.version}, now {now.version}"


def _short(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 60 else text[:57] + "..."
