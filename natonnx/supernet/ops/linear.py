"""Matrix products."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from natonnx.supernet.ops.registry import register, register_kernels

if TYPE_CHECKING:
    from torch import Tensor

    from natonnx.supernet.ops.registry import Kernel, OpSpec


@register("Gemm")
def gemm(spec: OpSpec) -> Kernel:
    """Return alpha A B + beta C with A and B transposed on demand, as views, and C broadcast to the product."""
    transpose_a, transpose_b = bool(spec.integer("transA")), bool(spec.integer("transB"))
    alpha, beta = spec.number("alpha", 1.0), spec.number("beta", 1.0)

    def kernel(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        a = a.t() if transpose_a else a
        b = b.t() if transpose_b else b
        if c is not None:
            return torch.addmm(c, a, b, beta=beta, alpha=alpha)
        product = a @ b
        return product if alpha == 1 else product * alpha

    return kernel


@register("Einsum")
def einsum(spec: OpSpec) -> Kernel:
    """Contract operands by Einstein's convention."""
    equation = spec.text("equation", "")
    return lambda *operands: torch.einsum(equation, *operands)


register_kernels({"MatMul": torch.matmul})
register_kernels({"Det": torch.linalg.det}, single=True)
