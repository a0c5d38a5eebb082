"""The `longtrace` command: reads the command line, runs a verb, and is the one place that prints.

Results go to stdout, progress and messages to stderr, so that `--json` can be piped. Exit codes: 0
done, 1 our failure, 2 the caller's input.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import orjson
from rich.console import Console
from rich.markup import escape

import longtrace
from longtrace.config import Result, nearest, parse
from longtrace.errors import InputError, LongtraceError
from longtrace.verbs import VERBS, load


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the process's) and return the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    errors = Console(stderr=True, soft_wrap=True)
    try:
        return _main(argv)
    except LongtraceError as error:
        errors.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False)
        return error.exit_code
    except KeyboardInterrupt:
        errors.print("interrupted; the same command continues where it stopped", highlight=False)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


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


def show(result: Result, out: Console) -> None:
    """Print a verb's result for people: its lines, what was written, and what to type next."""
    for item in result.text:
        out.print(item)
    if result.wrote is not None:
        out.print(f"[bold]wrote[/] {escape(str(result.wrote))}")
    if result.next:
        out.print(f"[bold]next[/]  {escape(result.next)}")


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
