"""`inspect`: a model as NAT sees it."""

from pathlib import Path

from natonnx.contract.inspect import Inspection, inspection
from natonnx.frontend import ParseOptions, load

__all__ = ["inspect"]


def inspect(path: Path | str, reading: ParseOptions | None = None) -> Inspection:
    """Describe a model as NAT sees it: the payload of `natonnx inspect --json`.

    Raises:
        InputError: See `load`.

    Example:
        >>> found = inspect("model.onnx")
        >>> {edge["name"]: edge["legal"] for edge in found["edges"] if edge["state"] == "O"}
        {'stem': ['S'], 'one': ['S', 'N'], 'two': ['S', 'N'], 'head': []}
    """
    source = load(path, reading)
    return inspection(source.network, str(source.path))
