"""natonnx optimizes the architecture of ONNX models by the Neural Architecture Transformer (NAT).

The names load lazily: importing the package imports neither onnx nor torch. What is done is logged to
loggers named after the modules (`natonnx.search.run`, ...); the package configures no logging.
"""

import logging
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from natonnx.architecture import Edit, State
    from natonnx.errors import InputError, NatonnxError, VerificationError
    from natonnx.frontend import Granularity, ParseOptions, load
    from natonnx.search import RunnableModel, Settings, Step
    from natonnx.verbs.apply import apply
    from natonnx.verbs.bench import benchmark
    from natonnx.verbs.check import Thresholds, check
    from natonnx.verbs.diff.diff import diff
    from natonnx.verbs.inspect import inspect
    from natonnx.verbs.model_comparison import Conditions
    from natonnx.verbs.optimize.dry_run import plan
    from natonnx.verbs.optimize.optimize import optimize
    from natonnx.verbs.optimize.result import Result
    from natonnx.verbs.torch_module import from_torch, to_torch

__all__ = [
    "Conditions",
    "Edit",
    "Granularity",
    "InputError",
    "NatonnxError",
    "ParseOptions",
    "Result",
    "RunnableModel",
    "Settings",
    "State",
    "Step",
    "Thresholds",
    "VerificationError",
    "apply",
    "benchmark",
    "check",
    "diff",
    "from_torch",
    "inspect",
    "load",
    "optimize",
    "plan",
    "to_torch",
]

_MODULES = {
    "Conditions": "verbs.model_comparison",
    "Edit": "architecture",
    "Granularity": "frontend",
    "InputError": "errors",
    "NatonnxError": "errors",
    "ParseOptions": "frontend",
    "Result": "verbs.optimize.result",
    "RunnableModel": "search",
    "Settings": "search",
    "State": "architecture",
    "Step": "search",
    "Thresholds": "verbs.check",
    "VerificationError": "errors",
    "apply": "verbs.apply",
    "benchmark": "verbs.bench",
    "check": "verbs.check",
    "diff": "verbs.diff.diff",
    "from_torch": "verbs.torch_module",
    "inspect": "verbs.inspect",
    "load": "frontend",
    "optimize": "verbs.optimize.optimize",
    "plan": "verbs.optimize.dry_run",
    "to_torch": "verbs.torch_module",
}


logging.getLogger(__name__).addHandler(logging.NullHandler())

if not TYPE_CHECKING:  # a type checker takes the names above, and knows of no others

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first asked for (PEP 562)."""
        if name not in _MODULES:
            raise AttributeError(f"module 'natonnx' has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(f"natonnx.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
