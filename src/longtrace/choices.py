"""Closed choices, checked where a caller's value comes in: a wrong word is never a default.

Type checkers see `Literal`s, but scripts and notebooks run without one. Both spellings are taken,
`positive_only` and the command line's `positive-only`.
"""

from __future__ import annotations

from typing import TypeVar, get_args

from pydantic import BeforeValidator

from longtrace.errors import InputError

ChoiceT = TypeVar("ChoiceT", bound=str)


def underscored(value: object) -> object:
    """`value` with underscores for hyphens, if it is a string."""
    return value.replace("-", "_") if isinstance(value, str) else value


either_spelling = BeforeValidator(underscored)
"""For a field of a configuration whose choices are written with underscores."""


def chosen(value: ChoiceT, choices: object, name: str) -> ChoiceT:
    """`value` as `choices` spells it.

    Args:
        value: what the caller gave.
        choices: a `Literal` type of strings, with underscores where they have several words.
        name: the parameter, for the message.

    Raises:
        InputError: `value` is none of the choices.
    """
    known: dict[object, ChoiceT] = {choice: choice for choice in get_args(choices)}
    spelled = underscored(value)
    if not isinstance(spelled, str) or spelled not in known:
        raise InputError(
            f"{name} = {value!r}: no such choice; choose from {', '.join(known.values())}"
        )
    return known[spelled]
