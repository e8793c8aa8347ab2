"""Run models by onnx2torch: `python onnx2torch_worker.py FOLDER`, in an environment that has it and may lack natonnx.

For each N.onnx with inputs in N.pt it writes the outputs and the number of parameters to N.out.pt; nothing where
onnx2torch fails.
"""

import importlib
import logging
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch

_MOST = 30
"""Operators of torchvision's own."""


def onnx2torch() -> Any:
    """Import it, and torchvision, which it wants for two operators, without these where they do not load.

    torchvision's wheels on PyPI are made for CUDA; beside a torch without CUDA they find their own operators missing.
    """
    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for _ in range(_MOST):
        try:
            return importlib.import_module("onnx2torch")
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None:
                raise
            library.define(f"{missing[1]}(Tensor x) -> Tensor")
            for name in [name for name in sys.modules if name.partition(".")[0] in {"torchvision", "onnx2torch"}]:
                del sys.modules[name]
    raise RuntimeError("torchvision cannot be imported")


def main(folder: Path) -> None:
    """Run all models of a folder."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    convert = onnx2torch().convert
    for path in sorted(folder.glob("*.onnx")):
        try:
            module = convert(onnx.load(path)).eval()
            given = torch.load(path.with_suffix(".pt"), weights_only=True)
            with torch.no_grad():
                made = module(*given)
            made = list(made) if isinstance(made, (tuple, list)) else [made]
            count = sum(parameter.numel() for parameter in module.parameters())
            torch.save((count, made), path.with_suffix(".out.pt"))
        except Exception as error:  # a model may fail in any way
            print(f"{path.name}: {type(error).__name__}: {' '.join(str(error).split())[:200]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
