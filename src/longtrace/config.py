"""Options: declared once as pydantic fields; flags, TOML keys and help texts come from them.

A stage declares a `Config` with what its results depend on; how to run (`Options`) is the same for
every verb. Values come from the flag if given, else from `--config FILE.toml` (a table a verb,
keys of `Options` at the top), else from the default. Environment variables are never read. A key
nobody knows is an error that names the nearest one.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import os
import tomllib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    CliApp,
    CliSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)
from rich.console import RenderableType

from longtrace.errors import InputError


class Config(BaseModel):
    """Base of every stage's configuration: what its results depend on, nothing else."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def identity(self) -> dict[str, Any]:
        """The resolved values as JSON, for the run folder."""
        return self.model_dump(mode="json")


class Options(BaseModel):
    """How to run a verb; the results do not depend on these, except for `limit`."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    run: Path = Path("runs/demo")
    """Folder of the run; every stage has its own folder in it."""
    config: Path | None = None
    """TOML file with a table for each verb; flags win over it."""
    limit: int | None = Field(default=None, ge=1)
    """Work on at most this many input rows, for a quick look."""
    dry_run: bool = False
    """Say what would be done and stop."""
    fresh: bool = False
    """Delete what this stage left in the run folder and redo it."""
    json_output: bool = Field(default=False, alias="json")
    """Print one JSON object on stdout instead of text."""
    workers: int = Field(default=os.cpu_count() or 1, ge=1)
    """Processes to use; the results do not depend on it."""


ConfigT = TypeVar("ConfigT", bound=Config)


@dataclass(frozen=True)
class Result:
    """What a verb reports."""

    json: dict[str, Any]
    """For machines: what `--json` prints."""
    text: Sequence[RenderableType] = ()
    """For people: lines and tables. Text from documents must be `rich.text.Text`, never markup."""
    wrote: Path | None = None
    """The file or folder made; None if nothing was written."""
    next: str = ""
    """The command to type next; empty if there is none."""


def parse(
    verb: str, config: type[ConfigT], argv: Sequence[str], *, verbs: Collection[str]
) -> tuple[ConfigT, Options]:
    """The configuration and options that `argv`, without program and verb, asks for.

    Raises: InputError: an unknown key or flag (with the nearest valid one), a value out of range,
    an unreadable file.
    """
    settings = _settings(verb, config)
    source: CliSettingsSource[Any] = CliSettingsSource(
        settings, formatter_class=_HelpFormatter, cli_exit_on_error=False
    )
    keys = {f.alias or name for name, f in settings.model_fields.items()}
    toml = _toml(_config_path(argv), verb, keys, verbs)
    try:
        value = CliApp.run(settings, cli_args=list(argv), cli_settings_source=source, **toml)
    except SettingsError as error:
        raise InputError(_cli_message(verb, str(error), keys)) from None
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]).replace("_", "-")
        raise InputError(
            f"--{name}: {first['msg']} (got {first['input']!r}); see `longtrace {verb} --help`"
        ) from None
    given = value.model_dump(by_alias=True)
    options = {k: v for k, v in given.items() if k in _option_keys()}
    return config(**{k: v for k, v in given.items() if k not in options}), Options(**options)


def table(path: Path, verb: str, config: type[ConfigT], *, verbs: Collection[str]) -> ConfigT:
    """The configuration in the table `verb` of a TOML file; defaults where there is none."""
    return parse(verb, config, ["--config", str(path)], verbs=verbs)[0]


def nearest(word: str, known: Collection[str]) -> str:
    """A hint that names the known word that begins with `word` or is close, else all of them."""
    begun = [one for one in sorted(known) if word and one.startswith(word)]
    close = begun or difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(sorted(known))}"


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Help whose first line names what has no flag, and does not repeat every option."""

    def add_usage(
        self, usage: str | None, actions: Iterable[argparse.Action], *rest: Any, **more: Any
    ) -> None:
        del usage
        given = (f"[{action.metavar}] " for action in actions if not action.option_strings)
        super().add_usage(f"%(prog)s {''.join(given)}[options]", actions, *rest, **more)


def _settings(verb: str, config: type[Config]) -> type[BaseSettings]:
    """`config` and `Options` in one settings class that reads flags only."""

    class _Settings(BaseSettings):
        model_config = SettingsConfigDict(
            extra="forbid",
            cli_prog_name=f"longtrace {verb}",
            cli_kebab_case=True,
            cli_implicit_flags=True,
            cli_avoid_json=True,
            cli_hide_none_type=True,
            cli_enforce_required=False,
            use_attribute_docstrings=True,
        )

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (init_settings,)

    parts = (config, Options, _Settings)
    made: type[BaseSettings] = type(
        "Settings", parts, {"__module__": __name__, "__doc__": inspect.getdoc(config)}
    )
    own = [name for name in config.__annotations__ if name in made.model_fields]
    fields = made.__pydantic_fields__
    for name in dict.fromkeys([*own, *config.model_fields, *Options.model_fields]):
        fields[name] = fields.pop(name)  # help shows a verb's own options first
    return made


def _option_keys() -> set[str]:
    return {f.alias or name for name, f in Options.model_fields.items()}


def _config_path(argv: Sequence[str]) -> Path | None:
    """The value of `--config`, which must be known before the other flags are read."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", type=Path)
    path: Path | None = parser.parse_known_args(list(argv))[0].config
    return path


def _toml(path: Path | None, verb: str, keys: set[str], verbs: Collection[str]) -> dict[str, Any]:
    """The values for `verb` in a TOML file, every key checked."""
    if path is None:
        return {}
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); check --config") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML: {error}") from None
    for key in verbs:
        if not isinstance(tables.get(key, {}), dict):
            raise InputError(f"{path}: {key} is a table; write [{key}] with its keys below it")
    shared = {k: v for k, v in tables.items() if not isinstance(v, dict)}
    _check_keys(path, "", shared, _option_keys() - {"config"})
    _check_keys(path, "", [k for k in tables if k not in shared], {*verbs})
    own = tables.get(verb, {})
    _check_keys(path, f"[{verb}] ", own, keys)
    return {**shared, **own}


def _check_keys(path: Path, where: str, given: Collection[str], known: set[str]) -> None:
    for key in given:
        if key not in known:
            raise InputError(f"{path}: {where}unknown key {key!r}; {nearest(key, known)}")


def _cli_message(verb: str, message: str, keys: set[str]) -> str:
    message = message.removeprefix("error parsing CLI: ")
    unknown = [word for word in message.split() if word.startswith("--")]
    if "unrecognized arguments" in message and unknown:
        flags = {f"--{key.replace('_', '-')}" if len(key) > 1 else f"-{key}" for key in keys}
        flag = unknown[0].split("=")[0]
        return f"{flag}: no such option of `longtrace {verb}`; {nearest(flag, flags)}"
    return f"{message}; see `longtrace {verb} --help`"
