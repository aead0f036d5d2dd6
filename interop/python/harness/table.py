"""Rows for the table of what was tested with what."""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path


def append_rows(file: Path, passed: Iterable[Mapping[str, str]]) -> None:
    """Appends a row for each component; `passed` says what passed by component, once for each test module."""
    components: dict[str, list[str]] = {}
    for module in passed:
        for component, what in module.items():
            components.setdefault(component, []).append(what)
    rows = [f"| {name} | {version(name)} | {'; '.join(what)} |\n" for name, what in sorted(components.items())]
    with file.open("a", encoding="utf-8") as out:
        out.writelines(rows)
