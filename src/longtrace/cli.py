"""The `longtrace` command: reads the command line, runs a verb, and is the one place that prints.

Results go to stdout, progress and messages to stderr, so that `--json` can be piped. Exit codes: 0
done, 1 our failure, 2 the caller's input. Documents and model outputs are printed with their
control characters replaced, so that no text moves the cursor or hides behind another direction.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import sys
from collections.abc import Sequence

import orjson
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

import longtrace
from longtrace.config import Result, nearest, parse
from longtrace.errors import InputError, LongtraceError
from longtrace.verbs import VERBS, load

_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the process's) and return the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    log = logging.getLogger("longtrace")
    log.handlers, log.level = [_Lines()], logging.INFO
    try:
        return _main(argv)
    except LongtraceError as error:
        return _fail(str(error), error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _fail(f"{error.filename or 'system'}: {error.strerror or error}; check the path", 1)
    except sqlite3.DatabaseError as error:
        return _fail(f"a store of this run is damaged ({error}); redo its stage with --fresh", 1)
    except KeyboardInterrupt:
        return _fail("interrupted; the same command continues where it stopped", 1)


class _Lines(logging.Handler):
    """What a verb tells while it works, a line each on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        errors = Console(stderr=True, soft_wrap=True, highlight=False)
        errors.print(Printable(Text(" ".join(record.getMessage().split()))))


def _fail(message: str, exit_code: int) -> int:
    line = " ".join(message.split())
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    errors.print(Printable(Text.assemble(("error: ", "bold red"), line)))
    return exit_code


def _main(argv: list[str]) -> int:
    out = Console(soft_wrap=True, highlight=False)
    if not argv or argv[0] in ("-h", "--help"):
        out.print(_usage())
        return 0
    if argv[0] in ("-V", "--version"):
        out.print(f"longtrace {longtrace.__version__}")
        return 0
    verb = argv[0]
    if verb not in VERBS:
        raise InputError(f"{verb!r}: no such verb; {nearest(verb, VERBS)}")
    module = load(verb)
    try:
        config, options = parse(verb, module.Config, argv[1:], verbs=VERBS)
    except SystemExit:  # --help has printed
        return 0
    result: Result = module.run(config, options)
    if options.json_output:
        sys.stdout.write(orjson.dumps(result.json).decode() + "\n")
        return 0
    show(result, out)
    return 0


class Printable:
    """Anything rich can draw, with control characters in its text shown as a replacement mark."""

    def __init__(self, item: RenderableType) -> None:
        self._item = Text(item) if isinstance(item, str) else item

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._item, options):
            if segment.control:
                yield segment
            else:
                yield segment._replace(text=_UNPRINTABLE.sub("\ufffd", segment.text))


def show(result: Result, out: Console) -> None:
    """Print a verb's result for people: its lines, what was written, and what to type next."""
    for item in result.text:
        out.print(Printable(item))
    if result.wrote is not None:
        out.print(Printable(Text.assemble(("wrote ", "bold"), str(result.wrote))))
    if result.next:
        out.print(Printable(Text.assemble(("next  ", "bold"), result.next)))


def _usage() -> str:
    verbs = "\n".join(f"  [bold]{verb:13}[/] {text}" for verb, (_, text) in VERBS.items())
    return (
        "usage: [bold]longtrace[/] VERB \\[options]\n\n"
        "Long-context training data from what a search agent did.\n\n"
        f"{verbs}\n\n"
        "`longtrace VERB --help` shows a verb's options; `longtrace demo` is the place to start."
    )


if __name__ == "__main__":
    sys.exit(main())
