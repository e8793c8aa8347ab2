"""Fewer samples than a file takes at once: each part is filled up, and scored on its own samples alone."""

from pathlib import Path

import numpy as np
import onnx
import pytest

import natonnx
from natonnx import Settings
from natonnx.session import run, session
from tests.cli import tiny

BATCH = 4


@pytest.mark.parametrize(("train", "validation"), [(3, 6), (9, 1)])
def test_parts_smaller_than_the_batch(tmp_path: Path, train: int, validation: int) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(tiny.model(batch=BATCH), path)
    images, labels = tiny.arrays()["x_train"], tiny.arrays()["y_train"]
    held_out = slice(train, train + validation)
    data = ((images[:train], labels[:train]), (images[held_out], labels[held_out]))
    settings = Settings(lookups=3, finetune_epochs=1, target_madds=0.9)
    result = natonnx.optimize(path, data, settings=settings, force=True)
    batches = np.resize(np.arange(train, train + validation), -(-validation // BATCH) * BATCH).reshape(-1, BATCH)
    runtime = session(onnx.load(path))
    scores = np.concatenate([run(runtime, {tiny.INPUT: images[index]})["scores"] for index in batches])[:validation]
    right = np.mean(scores.argmax(1) == labels[held_out])
    assert result.report["input"]["score"]["validation"] == pytest.approx(right)
    assert result.report["input"]["latency_ms"] is not None
