"""An install by a Python that is too old or too new ends in one line."""

import platform
import tomllib

import pytest

from tests.cli import tiny
from tools.upkeep.pythons import Pythons

PROJECT = tomllib.loads((tiny.ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def update(requires: str) -> dict[str, str]:
    metadata = {"requires-python": requires}
    Pythons(str(tiny.ROOT), {}).update(metadata)
    return metadata


@pytest.mark.parametrize("requires", [">=99", "<3.11"])
def test_another_python_is_asked_for_in_one_line(requires: str) -> None:
    with pytest.raises(SystemExit) as ended:
        update(requires)
    assert str(ended.value) == (
        f"natonnx needs Python {requires}, and this is {platform.python_version()}: "
        "make the environment with another one, such as python3.12 -m venv --clear .venv"
    )


def test_this_python_passes_and_nothing_is_changed() -> None:
    requires = PROJECT["project"]["requires-python"]
    assert update(requires) == {"requires-python": requires}


def test_what_builds_natonnx_asks_it() -> None:
    assert (tiny.ROOT / PROJECT["tool"]["hatch"]["metadata"]["hooks"]["custom"]["path"]).samefile(
        tiny.ROOT / "tools/upkeep/pythons.py"
    )
