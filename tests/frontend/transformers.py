"""Small transformers in torch, each block of which can be taken out, and their exports."""

from __future__ import annotations

import copy
import functools
import math
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from natonnx.architecture import State
from tools.upkeep.export import Exporter, export

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["SUBJECTS", "Builtin", "Subject", "blocks_of", "example", "exported", "replaced"]

WIDTH, HEADS, TOKENS, WORDS = 16, 2, 6, 20


class SpeltNorm(nn.Module):
    """Layer normalisation by means and a square root."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.rand(width) + 0.5), nn.Parameter(torch.randn(width))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return centred / torch.sqrt(centred.pow(2).mean(-1, keepdim=True) + 1e-5) * self.scale + self.shift


class SpeltGelu(nn.Module):
    """Gelu by its formula."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))


class Attention(nn.Module):
    """Multi-head attention of `x` on `y`, of three projections or one, its products spelled out or torch's own."""

    def __init__(self, *, packed: bool = False, fused: bool = False) -> None:
        super().__init__()
        self.packed, self.fused = packed, fused
        self.projections = nn.ModuleList([nn.Linear(WIDTH, 3 * WIDTH)] if packed else [_square() for _ in range(3)])
        self.output = _square()

    def forward(self, x: Tensor, y: Tensor, bias: Tensor | None) -> Tensor:
        if self.packed:
            parts = self.projections[0](x).reshape(*x.shape[:2], 3, HEADS, -1).permute(2, 0, 3, 1, 4)
            query, key, value = parts.unbind(0)
        else:
            pairs = zip(self.projections, (x, y, y), strict=True)
            query, key, value = (part(z).reshape(*z.shape[:2], HEADS, -1).transpose(1, 2) for part, z in pairs)
        if self.fused:
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        else:
            scores = query @ key.transpose(-2, -1) / math.sqrt(WIDTH // HEADS)
            mixed = F.softmax(scores if bias is None else scores + bias, -1) @ value
        result: Tensor = self.output(mixed.transpose(1, 2).reshape(x.shape))
        return result


class TorchAttention(nn.Module):
    """nn.MultiheadAttention."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)

    def forward(self, x: Tensor, y: Tensor, bias: Tensor | None) -> Tensor:
        assert bias is None
        result: Tensor = self.attention(x, y, y, need_weights=False)[0]
        return result


class Block(nn.Module):
    """x + body(norm(x)), or norm(x + body(x)); `state` S has x in place of the body, N nothing."""

    def __init__(self, body: nn.Module, norm: nn.Module, *, before: bool) -> None:
        super().__init__()
        self.body, self.norm, self.before, self.state = body, norm, before, State.O

    def forward(self, x: Tensor, *further: Tensor | None) -> Tensor:
        y = self.norm(x) if self.before else x
        added = x
        if self.state != State.N:
            added = x + (x if self.state == State.S else self.body(y, *further))
        result: Tensor = added if self.before else self.norm(added)
        return result


class SelfAttention(nn.Module):
    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        result: Tensor = self.attention(x, x, bias)
        return result


class CrossAttention(nn.Module):
    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        result: Tensor = self.attention(x, memory, None)
        return result


def layer(
    attention: Callable[[], nn.Module],
    *,
    before: bool,
    norm: Callable[[int], nn.Module] = nn.LayerNorm,
    gelu: Callable[[], nn.Module] = nn.GELU,
    decoder: bool = False,
) -> list[Block]:
    """The blocks of a layer: attention, in a decoder attention on the memory, two linear layers."""
    bodies: list[nn.Module] = [SelfAttention(attention())]
    bodies += [CrossAttention(attention())] if decoder else []
    bodies.append(nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), gelu(), nn.Linear(2 * WIDTH, WIDTH)))
    return [Block(body, norm(WIDTH), before=before) for body in bodies]


class Encoder(nn.Module):
    """Over sequences [n, T, 5]."""

    def __init__(self, blocks: list[Block]) -> None:
        super().__init__()
        self.embed, self.blocks, self.head = nn.Linear(5, WIDTH), nn.ModuleList(blocks), nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        scores: Tensor = self.head(x.mean(1))
        return scores


class ViT(nn.Module):
    """Over images [n, 3, 8, 8], with a class token and positions."""

    def __init__(self, blocks: list[Block]) -> None:
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, WIDTH, 4, 4), nn.Parameter(torch.randn(1, 1, WIDTH))
        self.position, self.blocks = nn.Parameter(torch.randn(1, 5, WIDTH)), nn.ModuleList(blocks)
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patches(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        for block in self.blocks:
            x = block(x)
        scores: Tensor = self.head(self.norm(x)[:, 0])
        return scores


class Bert(nn.Module):
    """Over words [n, T], their types and a mask of ones and zeros."""

    def __init__(self, blocks: list[Block]) -> None:
        super().__init__()
        self.words, self.types = nn.Embedding(WORDS, WIDTH), nn.Embedding(2, WIDTH)
        self.position, self.norm = nn.Embedding(TOKENS, WIDTH), nn.LayerNorm(WIDTH)
        self.blocks, self.head = nn.ModuleList(blocks), nn.Linear(WIDTH, 3)

    def forward(self, words: Tensor, mask: Tensor, types: Tensor) -> Tensor:
        bias = (1.0 - mask[:, None, None, :].float()) * -1e4
        x = self.norm(self.words(words) + self.types(types) + self.position(torch.arange(words.shape[1])))
        for block in self.blocks:
            x = block(x, *([bias] if isinstance(block.body, SelfAttention) else []))
        scores: Tensor = self.head(x[:, 0])
        return scores


class Translator(nn.Module):
    """An encoder's output is the memory that a decoder's layers attend to; both over sequences [n, T, 5]."""

    def __init__(self, encoder: list[Block], decoder: list[Block]) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(5, WIDTH), nn.Linear(WIDTH, 3)
        self.encoder, self.blocks = nn.ModuleList(encoder), nn.ModuleList([*encoder, *decoder])
        self.decoder = nn.ModuleList(decoder)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        memory, x = self.embed(source), self.embed(target)
        for block in self.encoder:
            memory = block(memory)
        for block in self.decoder:
            x = block(x, *([memory] if isinstance(block.body, CrossAttention) else []))
        scores: Tensor = self.head(x)
        return scores


class Builtin(nn.Module):
    """nn.TransformerEncoder."""

    def __init__(self, layers: int, *, before: bool) -> None:
        super().__init__()
        own = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 2 * WIDTH, 0.0, activation="gelu", batch_first=True, norm_first=before
        )
        self.embed, self.head = nn.Linear(5, WIDTH), nn.Linear(WIDTH, 3)
        self.layers = nn.TransformerEncoder(own, layers, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.layers(self.embed(x)).mean(1))
        return scores


def _square() -> nn.Linear:
    return nn.Linear(WIDTH, WIDTH)


def _sequence() -> tuple[Tensor, ...]:
    return (torch.randn(2, TOKENS, 5),)


def _words() -> tuple[Tensor, ...]:
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 0]])
    return torch.randint(WORDS, (2, TOKENS)), mask, torch.randint(2, (2, TOKENS))


def _images() -> tuple[Tensor, ...]:
    return (torch.randn(2, 3, 8, 8),)


def _two_sequences() -> tuple[Tensor, ...]:
    return torch.randn(2, TOKENS, 5), torch.randn(2, 4, 5)


class Subject(NamedTuple):
    """A model, its inputs, and by which exporter and opset it goes to ONNX; `is_open` leaves the length T open too."""

    make: Callable[[], nn.Module]
    inputs: Callable[[], tuple[Tensor, ...]]
    exporter: Exporter
    opset: int
    is_open: bool = False


def _encoder(attention: Callable[[], nn.Module], layers: int = 1, *, before: bool) -> Callable[[], nn.Module]:
    return lambda: Encoder([block for _ in range(layers) for block in layer(attention, before=before)])


def _spelt_out(*, before: bool) -> Callable[[], nn.Module]:
    return lambda: Encoder(layer(Attention, before=before, norm=SpeltNorm, gelu=SpeltGelu))


def _vit(attention: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: ViT(layer(attention, before=True))


def _bert(attention: Callable[[], nn.Module], layers: int = 2, *, before: bool) -> Callable[[], nn.Module]:
    return lambda: Bert([block for _ in range(layers) for block in layer(attention, before=before)])


def _translator(*, before: bool) -> Callable[[], nn.Module]:
    return lambda: Translator(layer(Attention, before=before), layer(Attention, before=before, decoder=True))


def _brief_translator(*, before: bool) -> Callable[[], nn.Module]:
    """Of two linear layers that make the memory, and attention on it."""
    return lambda: Translator(layer(Attention, before=before)[1:], layer(Attention, before=before, decoder=True)[1:2])


def _builtin(layers: int = 2, *, before: bool) -> Callable[[], nn.Module]:
    return lambda: Builtin(layers, before=before)


_fused = functools.partial(Attention, fused=True)
_packed = functools.partial(Attention, packed=True)
_packed_fused = functools.partial(Attention, packed=True, fused=True)

SUBJECTS: Mapping[str, Subject] = {
    "spelt-before-13": Subject(_spelt_out(before=True), _sequence, "script", 13),
    "spelt-after-dynamo": Subject(_spelt_out(before=False), _sequence, "dynamo", 18),
    "packed-before-20": Subject(_encoder(_packed, 2, before=True), _sequence, "script", 20),
    "packed-fused-after-15": Subject(_encoder(_packed_fused, before=False), _sequence, "script", 15),
    "fused-before-dynamo": Subject(_encoder(_fused, before=True), _sequence, "dynamo", 18),
    "torch-before-17": Subject(_encoder(TorchAttention, before=True), _sequence, "script", 17),
    "torch-after-dynamo-open": Subject(_encoder(TorchAttention, before=False), _sequence, "dynamo", 18, is_open=True),
    "builtin-before-dynamo": Subject(_builtin(1, before=True), _sequence, "dynamo", 18),
    "builtin-after-14": Subject(_builtin(before=False), _sequence, "script", 14),
    "vit-13": Subject(_vit(_packed), _images, "script", 13),
    "vit-fused-dynamo": Subject(_vit(_packed_fused), _images, "dynamo", 18),
    "bert-after-13": Subject(_bert(Attention, before=False), _words, "script", 13),
    "bert-after-17-open": Subject(_bert(_fused, before=False), _words, "script", 17, is_open=True),
    "bert-after-dynamo-open": Subject(_bert(Attention, 1, before=False), _words, "dynamo", 18, is_open=True),
    "bert-fused-before-dynamo": Subject(_bert(_fused, 1, before=True), _words, "dynamo", 18),
    "translator-before-17": Subject(_translator(before=True), _two_sequences, "script", 17),
    "translator-after-dynamo-open": Subject(
        _brief_translator(before=False), _two_sequences, "dynamo", 18, is_open=True
    ),
}
"""By name: the attention, where the normalisation stands, and the exporter or TorchScript's opset.

The dynamo exporter takes seconds a layer: models of several layers go by the other one.
"""


@functools.cache
def example(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The model of a subject, with random weights, and its inputs; inputs are named x0, x1 …"""
    subject = SUBJECTS[name]
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        model = subject.make().eval()
        for parameter in model.parameters():
            parameter.data = parameter.data + 0.1 * torch.randn_like(parameter)
        return model, subject.inputs()


@functools.cache
def exported(name: str) -> onnx.ModelProto:
    """The ONNX model of a subject; shared, never to be changed."""
    subject = SUBJECTS[name]
    model, inputs = example(name)
    if not subject.is_open:
        return export(model, inputs, subject.exporter, subject.opset)
    names = [f"x{i}" for i in range(len(inputs))]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "model.onnx"
        if subject.exporter == "script":
            axes = {name: {0: "batch", 1: "length"} for name in names}
            torch.onnx.export(
                model, inputs, path, dynamo=False, opset_version=subject.opset, input_names=names,
                output_names=["y"], dynamic_axes={**axes, "y": {0: "batch"}},
            )  # fmt: skip
        else:
            batch, length = torch.export.Dim("batch"), torch.export.Dim("length", min=2, max=TOKENS)
            lengths = [length, length, length] if len(inputs) != 2 else [length, torch.export.Dim("other", min=2)]
            torch.onnx.export(
                model, inputs, path, dynamo=True, input_names=names, output_names=["y"], external_data=False,
                dynamic_shapes=tuple({0: batch, 1: lengths[i]} for i in range(len(inputs))), verbose=False,
            )  # fmt: skip
        return onnx.load(path)


def blocks_of(model: nn.Module) -> list[Block]:
    """Its blocks, in the order of the forward pass; none where they are torch's own."""
    return [module for module in model.modules() if isinstance(module, Block)]


def replaced(name: str, *states: tuple[int, State]) -> Tensor:
    """What the model computes with some of its blocks, by their place in the forward pass, in other states."""
    model, inputs = example(name)
    model = copy.deepcopy(model)
    for block, state in states:
        if isinstance(model, Builtin):
            assert state == State.N
            own, part = model.layers.layers[block // 2], ("_sa_block", "_ff_block")[block % 2]
            setattr(own, part, lambda x, *_args, **_options: torch.zeros_like(x))
        else:
            blocks_of(model)[block].state = state
    result: Tensor = model(*inputs)  # with gradients on, or torch would take a fast path of its own
    return result.detach()
