"""onnxruntime's execution providers: which one is asked for, and which one is really used."""

from typing import TYPE_CHECKING

from natonnx.errors import InputError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["find_provider", "provider_used"]

_SUFFIX = "ExecutionProvider"


def find_provider(name: str) -> str:
    """Find onnxruntime's own name of a provider: `cuda` is CUDAExecutionProvider.

    That this build of onnxruntime has it does not say that it works here; `provider_used` does.

    Args:
        name: In any case, with or without "ExecutionProvider".

    Raises:
        InputError: If this build of onnxruntime has no such provider.
    """
    import onnxruntime

    built = onnxruntime.get_available_providers()
    wanted = name.lower().removesuffix(_SUFFIX.lower())
    for provider in built:
        if provider.removesuffix(_SUFFIX).lower() == wanted:
            return str(provider)
    known = ", ".join(provider.removesuffix(_SUFFIX).lower() for provider in built)
    raise InputError(f"--provider {name}: this build of onnxruntime has {known}; choose one, or install another build")


def provider_used(runtime: "InferenceSession") -> str:
    """The provider that a session prefers, of those that could be loaded; nodes that it lacks run on the CPU."""
    return str(runtime.get_providers()[0])
