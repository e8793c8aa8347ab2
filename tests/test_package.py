"""The package's public face."""

import importlib
import pkgutil
import subprocess
import sys
from importlib.metadata import entry_points, metadata

import pytest

import natonnx
from natonnx import errors
from tests.cli import tiny

MODULES = sorted(module.name for module in pkgutil.walk_packages(natonnx.__path__, "natonnx."))


def test_public_functions() -> None:
    from natonnx.frontend.source import load
    from natonnx.verbs.apply import apply
    from natonnx.verbs.bench import benchmark
    from natonnx.verbs.check import check
    from natonnx.verbs.diff.diff import diff
    from natonnx.verbs.inspect import inspect
    from natonnx.verbs.optimize.optimize import optimize

    for name in natonnx.__all__:
        assert callable(getattr(natonnx, name))
    assert natonnx.apply is apply
    assert natonnx.benchmark is benchmark
    assert natonnx.check is check
    assert natonnx.diff is diff
    assert natonnx.inspect is inspect
    assert natonnx.load is load
    assert natonnx.optimize is optimize


def test_the_version_is_known_where_natonnx_is_not_installed() -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1]); import natonnx; print(natonnx.__version__, natonnx.__file__)"
    python = [sys.executable, "-I", "-S", "-c", code, str(tiny.ROOT)]  # -S: no site-packages, so no metadata
    done = subprocess.run(python, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"{natonnx.__version__} {tiny.ROOT}/natonnx/__init__.py\n"


def test_unknown_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'natonnx' has no attribute 'optimise'"):
        getattr(natonnx, "optimise")  # noqa: B009 - mypy knows that it is not there
    assert set(natonnx.__all__) <= set(dir(natonnx))
    assert not hasattr(natonnx, "optimise")
    with pytest.raises(ImportError):
        importlib.import_module("natonnx.optimise")


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_all_names_exist_and_are_documented(name: str) -> None:
    if name == "natonnx.policy.by_dgl":
        pytest.importorskip("dgl", reason="DGL has wheels for Python 3.11 alone")
    module = importlib.import_module(name)
    assert module.__doc__
    assert all(hasattr(module, public) for public in getattr(module, "__all__", ()))


def test_errors_carry_the_exit_codes() -> None:
    assert errors.InputError.exit_code == 2
    assert errors.VerificationError.exit_code == 3
    assert errors.NatonnxError.exit_code == 3
    assert issubclass(errors.InputError, errors.NatonnxError)
    assert issubclass(errors.VerificationError, errors.NatonnxError)


def test_the_command_is_installed() -> None:
    from natonnx.__main__ import main

    (script,) = entry_points(group="console_scripts", name="natonnx")
    assert script.load() is main
    assert metadata("natonnx")["Requires-Python"] == "<3.15,>=3.11"
