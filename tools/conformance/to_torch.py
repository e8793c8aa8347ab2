"""What `to_torch` converts, beside onnx2torch: ONNX's official cases, and models of our own subjects.

`python -m tools.conformance.to_torch` prints a table; `--other PYTHON` names an interpreter that has onnx2torch, which
pulls in torchvision. A case counts where the module gives the case's outputs; a model where it gives onnxruntime's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from natonnx.frontend import parse
from natonnx.module import convert
from natonnx.supernet.ops.operands import as_tensor
from tools.conformance.onnx_cases import Case, as_array

if TYPE_CHECKING:
    from collections.abc import Sequence


_BFLOAT16_RTOL = 2**-6
_TOLERANCE = 1e-4


def problem(case: Case) -> str | None:
    """Run a case by `to_torch`; return what is wrong, in one line, or None."""
    try:
        module = convert(parse(case.model)).eval()
        pairs = zip(case.model.graph.input, case.inputs, strict=False)
        given = {info.name: as_tensor(np.array(array)) for info, array in pairs if info.name in module.input_names}
        made = module(**given)
        compare(case, made if isinstance(made, tuple) else (made,))
    except Exception as error:  # a case may fail in any way, and the report names it
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return None


def compare(case: Case, made: Sequence[Any]) -> None:
    """Compare outputs with those of a case.

    Raises:
        AssertionError: If they differ.
    """
    for result, expected in zip(made, case.outputs, strict=True):
        assert str(result.dtype).removeprefix("torch.") == expected.dtype.name, f"{result.dtype}"
        short = expected.dtype.name == "bfloat16"
        wide = expected.astype(np.float32) if short else expected
        rtol = max(case.rtol, _BFLOAT16_RTOL) if short else case.rtol
        np.testing.assert_allclose(as_array(result), wide, rtol=rtol, atol=case.atol, strict=True)
