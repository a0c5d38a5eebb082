"""Prompts are files of the package; their fields are filled in without touching other braces."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources


@lru_cache
def prompt(name: str) -> str:
    """The text of prompts/NAME.md, without its last line break."""
    path = resources.files("longtrace") / f"prompts/{name}.md"
    return path.read_text(encoding="utf-8").rstrip("\n")


def fill(template: str, **values: str) -> str:
    """`template` with every `{field}` named in `values` replaced; values are not read again."""
    field = re.compile(r"\{(" + "|".join(map(re.escape, values)) + r")\}")
    return field.sub(lambda found: values[found.group(1)], template)
