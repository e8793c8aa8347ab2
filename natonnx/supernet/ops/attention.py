"""Attention over queries, keys and values, and the rotation of queries and keys by their positions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from natonnx.supernet.ops.operands import dtype_of
from natonnx.supernet.ops.registry import register

if TYPE_CHECKING:
    from torch import Tensor

    from natonnx.supernet.ops.registry import Kernel, OpSpec


@register("Attention")
def attention(spec: OpSpec) -> Kernel:
    """Average values by the softmax of the scaled products of queries and keys.

    Queries, keys and values are [batch, heads, length, size] or, with the number of heads as attributes, [batch,
    length, heads * size]. Where only the result is wanted and nothing intervenes, torch's fused kernel runs. A query
    that may attend to nothing gives zeros. Further outputs are the keys and values with those of the past in front,
    and the products at a stage that the node chooses.
    """
    heads = spec.integer("q_num_heads"), spec.integer("kv_num_heads"), spec.integer("kv_num_heads")
    fixed_scale = spec.attributes.get("scale")
    softcap = spec.number("softcap", 0.0)
    stage = spec.integer("qk_matmul_output_mode")
    wide = dtype_of(spec, spec.integer("softmax_precision")) if spec.integer("softmax_precision") else None
    wants_products = len(spec.outputs) > 3 and spec.outputs[3]
    mask_of = _Mask(spec)

    def kernel(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None = None,
        past_key: Tensor | None = None,
        past_value: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, ...]:
        flat = query.ndim == 3
        if flat:
            query, key, value = map(_split_heads, (query, key, value), heads)
        past = 0 if past_key is None else past_key.shape[2]
        if past_key is not None and past_value is not None:
            key, value = torch.cat((past_key, key), 2), torch.cat((past_value, value), 2)
        present = key, value
        repeats = query.shape[1] // key.shape[1]
        key, value = (key, value) if repeats == 1 else (t.repeat_interleave(repeats, 1) for t in present)
        bias = mask_of(query, key, mask, past, lengths)
        scale = 1 / math.sqrt(query.shape[-1]) if fixed_scale is None else float(fixed_scale)
        if not (softcap or wants_products or wide):
            y = functional.scaled_dot_product_attention(query, key, value, bias, scale=scale)
            products = None
        else:
            y, products = _attend(query * scale, key, value, bias, softcap, wide, stage)
        y = y.transpose(1, 2).flatten(2) if flat else y
        outputs = (y, *present, products)[: spec.n_outputs]
        return outputs if len(outputs) > 1 else y  # type: ignore[return-value]  # products are there where asked for

    return kernel


@register("RotaryEmbedding")
def rotary_embedding(spec: OpSpec) -> Kernel:
    """Rotate pairs of features by angles that depend on the position; the rest of each head stays.

    The input is [batch, heads, length, size] or, with the number of heads as an attribute, [batch, length, heads *
    size]; the caches hold cosines and sines, [positions, pairs], or [batch, length, pairs] without position numbers.
    """
    interleaved, heads = bool(spec.integer("interleaved")), spec.integer("num_heads")
    rotated = spec.integer("rotary_embedding_dim")

    def kernel(x: Tensor, cosines: Tensor, sines: Tensor, positions: Tensor | None = None) -> Tensor:
        if positions is not None:
            cosines, sines = cosines[positions], sines[positions]
        cosines, sines = cosines.unsqueeze(1), sines.unsqueeze(1)
        split = _split_heads(x, heads) if x.ndim == 3 else x
        size = rotated or split.shape[-1]
        turned, kept = split[..., :size], split[..., size:]
        first, second = (turned[..., ::2], turned[..., 1::2]) if interleaved else turned.chunk(2, -1)
        real, imaginary = cosines * first - sines * second, sines * first + cosines * second
        turned = torch.stack((real, imaginary), -1).flatten(-2) if interleaved else torch.cat((real, imaginary), -1)
        y = torch.cat((turned, kept), -1)
        return y.transpose(1, 2).flatten(2) if x.ndim == 3 else y

    return kernel


def _split_heads(x: Tensor, heads: int) -> Tensor:
    """Turn [batch, length, heads * size] into [batch, heads, length, size]."""
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    softcap: float,
    wide: torch.dtype | None,
    stage: int,
) -> tuple[Tensor, Tensor]:
    """Attend step by step.

    Args:
        query: The scaled queries, [batch, heads, length, size].
        key: The keys, likewise.
        value: The values, likewise.
        bias: What to add to the products, or which of them count; None for nothing.
        softcap: Where the products level off; 0 for nowhere.
        wide: The type to compute the softmax in; None for the queries' own.
        stage: Which products to return: 0 raw, 1 levelled off, 2 with the bias, 3 after the softmax.

    Returns:
        The result and the products.
    """
    raw = query @ key.mT
    capped = softcap * torch.tanh(raw / softcap) if softcap else raw
    if bias is None:
        biased = capped
    else:
        biased = torch.where(bias, capped, -math.inf) if bias.dtype == torch.bool else capped + bias
    top = biased.detach().amax(-1, keepdim=True)
    shares = (biased if wide is None else biased.to(wide)).softmax(-1).masked_fill(top == -math.inf, 0).to(value.dtype)
    return shares @ value, (raw, capped, biased, shares)[stage]


class _Mask:
    """Which keys a query may attend to, as the attributes and the inputs of a node say together."""

    def __init__(self, spec: OpSpec) -> None:
        self._behind = spec.integer("left_window_size", -1)
        self._ahead = spec.integer("right_window_size", -1)
        self._causal = bool(spec.integer("is_causal"))

    def __call__(
        self, query: Tensor, key: Tensor, mask: Tensor | None, past: int, lengths: Tensor | None
    ) -> Tensor | None:
        """Return the bias of the products.

        Args:
            query: The queries, [batch, heads, length, size].
            key: The keys, those of the past included.
            mask: The node's own mask, boolean or to be added; what it lacks at its end is masked.
            past: How many keys come before the first query's.
            lengths: How many keys of each sample count, the last of them being the last query's; or None.

        Returns:
            What to add to the products, or in boolean which of them count; None where all do, unchanged.
        """
        n_queries, n_keys = query.shape[2], key.shape[2]
        allowed = None
        keys = torch.arange(n_keys, device=query.device)
        first: Tensor | int = past
        if lengths is not None:
            lengths = lengths.view(-1, 1, 1, 1)
            allowed = keys < lengths
            first = lengths - n_queries
        if self._causal or self._behind >= 0 or self._ahead >= 0:
            distance = torch.arange(n_queries, device=query.device).unsqueeze(1) + first - keys
            for limit, towards in ((self._behind, distance), (0 if self._causal else self._ahead, -distance)):
                if limit >= 0:
                    allowed = towards <= limit if allowed is None else allowed & (towards <= limit)
        if mask is None:
            return allowed
        return _combined(mask, allowed, n_keys)


def _combined(mask: Tensor, allowed: Tensor | None, n_keys: int) -> Tensor:
    """Return a node's own mask, filled up to all keys, together with what else is allowed."""
    if mask.dtype == torch.bool:
        mask = functional.pad(mask, (0, n_keys - mask.shape[-1]), value=False)
        return mask if allowed is None else mask & allowed
    mask = functional.pad(mask, (0, n_keys - mask.shape[-1]), value=-math.inf)
    return mask if allowed is None else torch.where(allowed, mask, -math.inf)
