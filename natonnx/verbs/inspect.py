"""`inspect`: a model as NAT sees it."""

from pathlib import Path

from natonnx.contract.inspect import Inspection, inspection
from natonnx.frontend import ParseOptions, look

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
    return inspection(look(path, reading), str(Path(path)))
