"""The encoders of tokens: one that follows functions, one that embeds stretches of Python's own library."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from tools.benchmarks.subjects import hops
from tools.benchmarks.subjects.exporting import export
from tools.benchmarks.subjects.parts import Arrays, Effort, make_parts, save_parts
from tools.benchmarks.subjects.source_text import sentences
from tools.benchmarks.subjects.training import one_thread, train
from tools.benchmarks.subjects.transformers import Bert, MiniLM
from tools.upkeep.export import save

__all__ = ["bert", "minilm"]

_VOCABULARY, _LENGTH = 1024, 24


def bert(folder: Path, _cache: Path, effort: Effort) -> None:
    """Encoder that answers `hops.questions`; two int64 inputs, batch and length open."""

    def asked(generator: np.random.Generator, count: int, _part: str) -> Arrays:
        tokens, mask, labels = hops.questions(generator, count)
        return {"input_ids": tokens, "attention_mask": mask, "labels": labels}

    with one_thread(5):
        model = Bert(hops.VOCABULARY, hops.LENGTH, hops.NAMES)

        def loss(step: int) -> Tensor:
            tokens, mask, labels = map(torch.from_numpy, hops.questions(np.random.default_rng([5, 9, step]), 128))
            return F.cross_entropy(model(tokens, mask), labels)

        train(model, loss, effort.of(1600))
    names = ("input_ids", "attention_mask")
    example = {name: torch.ones(2, hops.LENGTH, dtype=torch.int64) for name in names}
    axes = {**{name: {0: "batch", 1: "sequence"} for name in names}, "logits": {0: "batch"}}
    save(export(model, example, ["logits"], axes, "script", 17), folder / "model.onnx")
    save_parts(make_parts(asked, 5, effort), folder / "data.npz")


def minilm(folder: Path, _cache: Path, effort: Effort) -> None:
    """Sentence encoder for which neighbouring stretches are alike; three int64 inputs, a normalised embedding."""

    def stretches(generator: np.random.Generator, count: int, part: str) -> Arrays:
        (tokens, mask), _ = sentences(generator, count, part, _LENGTH, _VOCABULARY)
        return {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)}

    with one_thread(7):
        model = MiniLM(_VOCABULARY, _LENGTH)

        def loss(step: int) -> Tensor:
            pair = sentences(np.random.default_rng([7, 9, step]), 48, "train", _LENGTH, _VOCABULARY)
            first, second = (
                model(torch.from_numpy(one.tokens), torch.from_numpy(one.mask), torch.zeros(one.tokens.shape).long())
                for one in pair
            )
            return F.cross_entropy(20 * first @ second.T, torch.arange(len(first)))  # in-batch negatives

        train(model, loss, effort.of(400))
    names = ("input_ids", "attention_mask", "token_type_ids")
    example = {name: torch.ones(2, _LENGTH, dtype=torch.int64) for name in names}
    example["token_type_ids"] = torch.zeros(2, _LENGTH, dtype=torch.int64)
    axes = {**{name: {0: "batch", 1: "sequence"} for name in names}, "sentence_embedding": {0: "batch"}}
    save(export(model, example, ["sentence_embedding"], axes, "script", 14), folder / "model.onnx")
    save_parts(make_parts(stretches, 7, effort), folder / "data.npz")
