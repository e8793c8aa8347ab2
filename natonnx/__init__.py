"""natonnx optimizes the architecture of ONNX models by the Neural Architecture Transformer (NAT).

The functions load lazily: importing the package imports neither onnx nor torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from natonnx.api import apply, inspect, load
    from natonnx.benchmarking import benchmark
    from natonnx.comparison import diff
    from natonnx.gates import check
    from natonnx.optimization import optimize

__all__ = ["apply", "benchmark", "check", "diff", "inspect", "load", "optimize"]

_MODULES = {
    "apply": "natonnx.api",
    "benchmark": "natonnx.benchmarking",
    "check": "natonnx.gates",
    "diff": "natonnx.comparison",
    "inspect": "natonnx.api",
    "load": "natonnx.api",
    "optimize": "natonnx.optimization",
}


def __getattr__(name: str) -> Any:
    """Import a public function when it is first asked for (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module 'natonnx' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)
