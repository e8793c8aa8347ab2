"""natonnx optimizes the architecture of ONNX models by the Neural Architecture Transformer (NAT).

The functions load lazily: importing the package imports neither onnx nor torch. What they do is logged to
loggers named after the modules (`natonnx.search.run`, ...); the package configures no logging.
"""

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from natonnx.api import apply, inspect, load
    from natonnx.benchmarking import benchmark
    from natonnx.gates import check
    from natonnx.optimization import optimize

__all__ = ["apply", "benchmark", "check", "inspect", "load", "optimize"]

_MODULES = {
    "apply": "natonnx.api",
    "benchmark": "natonnx.benchmarking",
    "check": "natonnx.gates",
    "inspect": "natonnx.api",
    "load": "natonnx.api",
    "optimize": "natonnx.optimization",
}


logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    """Import a public function when it is first asked for (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module 'natonnx' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)
