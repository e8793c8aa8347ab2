"""Hatchling's hook: says in one line that this Python is too old or too new, before pip downloads gigabytes.

A pip older than 24 looks at requires-python last, after all that natonnx depends on.
"""

from __future__ import annotations

import platform
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface
from packaging.specifiers import SpecifierSet

__all__ = ["Pythons"]


class Pythons(MetadataHookInterface):
    """Changes nothing."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Compare the Python that builds, which is the one that installs, with the `project` table of pyproject.toml.

        Raises:
            SystemExit: If `requires-python` does not hold it.
        """
        wanted, there = metadata["requires-python"], platform.python_version()
        if not SpecifierSet(wanted).contains(there, prereleases=True):
            raise SystemExit(
                f"natonnx needs Python {wanted}, and this is {there}: make the environment with another one, "
                "such as python3.12 -m venv --clear .venv"
            )
