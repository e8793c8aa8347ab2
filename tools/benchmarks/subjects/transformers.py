"""Encoder models: a BERT-like classifier, a MiniLM-like sentence encoder and a vision transformer."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

__all__ = ["Bert", "MiniLM", "ViT"]


class Attention(nn.Module):
    """Multi-head self-attention, as the encoders that users export spell it out."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.output = nn.Linear(width, width)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], self.heads, self.size).transpose(1, 2)

    def forward(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """Map ``[N, T, width]`` to the same; the bias ``[N, 1, 1, T]`` is added to the scores."""
        query, key, value = self._split(self.query(x)), self._split(self.key(x)), self._split(self.value(x))
        scores = query @ key.transpose(-2, -1) / self.size**0.5
        weights = torch.softmax(scores if bias is None else scores + bias, -1)
        mixed = (weights @ value).transpose(1, 2).reshape(x.shape[0], x.shape[1], self.heads * self.size)
        result: Tensor = self.output(mixed)
        return result


class Block(nn.Module):
    """Attention and a perceptron, each with a shortcut; normalised before each (ViT) or behind (BERT)."""

    def __init__(self, width: int, heads: int, *, before: bool) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.before = before

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Map ``[N, T, width]`` to the same."""
        y: Tensor
        if self.before:
            x = x + self.attention(self.first(x), bias)
            y = x + self.mlp(self.second(x))
        else:
            x = self.first(x + self.attention(x, bias))
            y = self.second(x + self.mlp(x))
        return y


class Encoder(nn.Module):
    """Token and position embeddings, and blocks under a mask; token types where there are any."""

    def __init__(self, vocabulary: int, length: int, width: int, depth: int, types: int = 0) -> None:
        super().__init__()
        self.words, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.types = nn.Embedding(types, width) if types else None
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(Block(width, 4, before=False) for _ in range(depth))

    def forward(self, tokens: Tensor, mask: Tensor, types: Tensor | None = None) -> Tensor:
        """Map tokens ``[N, T]`` under a mask of ones and zeros to ``[N, T, width]``."""
        x = self.words(tokens) + self.positions(torch.arange(tokens.shape[1], device=tokens.device))
        if self.types is not None and types is not None:
            x = x + self.types(types)
        x = self.norm(x)
        bias = (1.0 - mask[:, None, None, :].to(x.dtype)) * -1e4
        for block in self.blocks:
            x = block(x, bias)
        hidden: Tensor = x
        return hidden


class Bert(nn.Module):
    """Encoder with a classifier over its first token."""

    def __init__(self, vocabulary: int, length: int, classes: int, width: int = 48, depth: int = 4) -> None:
        super().__init__()
        self.encoder = Encoder(vocabulary, length, width, depth)
        self.pooler, self.classifier = nn.Linear(width, width), nn.Linear(width, classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Map tokens and their mask ``[N, T]`` to scores ``[N, classes]``."""
        hidden = self.encoder(input_ids, attention_mask)
        scores: Tensor = self.classifier(torch.tanh(self.pooler(hidden[:, 0])))
        return scores


class MiniLM(nn.Module):
    """Encoder whose tokens' mean is a sentence's embedding, of length 1."""

    def __init__(self, vocabulary: int, length: int, width: int = 48, depth: int = 4) -> None:
        super().__init__()
        self.encoder = Encoder(vocabulary, length, width, depth, types=2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Map tokens, their mask and types ``[N, T]`` to embeddings ``[N, width]``."""
        hidden = self.encoder(input_ids, attention_mask, token_type_ids)
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        return F.normalize(mean, p=2.0, dim=1)


class ViT(nn.Module):
    """Vision transformer over patches of 7×7 of a grey image of 28×28, with a class token."""

    def __init__(self, classes: int, width: int = 48, depth: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, 7, 7)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(0.02 * torch.randn(1, 17, width))
        self.blocks = nn.ModuleList(Block(width, 4, before=True) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Map images ``[N, 1, 28, 28]`` to scores ``[N, classes]``."""
        x = self.patches(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        for block in self.blocks:
            x = block(x)
        scores: Tensor = self.head(self.norm(x)[:, 0])
        return scores
