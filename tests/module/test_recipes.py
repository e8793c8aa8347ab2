"""The recipes of docs/torch.md, run as they stand on a few pictures."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch

from natonnx.data.shipped import read_builtin
from tests.cli.tiny import ROOT
from tests.rewrite.helpers import MODELS, runtime

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (ROOT / "docs" / "torch.md").read_text(encoding="utf-8")
RECIPES: dict[str, str] = dict(
    re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
)
SCRATCH, DISTIL, PRUNE = "Train α from scratch", "Distil β into α", "Prune channels on top"
MEAN, STD = 0.286, 0.353
BATCHES, SIZE = 8, 32


@pytest.fixture(scope="module")
def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    parts = read_builtin("fashion-mnist", None)
    x = torch.from_numpy(np.array(parts["x_train"][: (BATCHES + 4) * SIZE])).float().div(255)
    return x.sub(MEAN).div(STD)[:, None], torch.from_numpy(np.array(parts["y_train"][: len(x)])).long()


def follow(recipe: str, pictures: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run a recipe in a folder beside the models; return its variables."""
    (folder / "models").symlink_to(MODELS)
    monkeypatch.chdir(folder)
    torch.manual_seed(0)
    loader = list(zip(*(part[: BATCHES * SIZE].split(SIZE) for part in pictures), strict=True))
    names: dict[str, Any] = {"loader": loader, "epochs": 3 if recipe == SCRATCH else 1}
    exec(compile(RECIPES[recipe], recipe, "exec"), names)  # noqa: S102 - the page's own code
    return names


def accuracy(path: Path, pictures: Any) -> float:
    """Of a file, in onnxruntime, on pictures that nothing was trained on."""
    x, y = (part[BATCHES * SIZE :].numpy() for part in pictures)
    (scores,) = runtime(onnx.load(path), {"image": x}).values()
    return float((scores.argmax(1) == y).mean())


def test_the_page_has_these_recipes() -> None:
    assert RECIPES.keys() == {SCRATCH, DISTIL, PRUNE}


def test_from_scratch(pictures: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follow(SCRATCH, pictures, tmp_path, monkeypatch)
    assert accuracy(tmp_path / "scratch.onnx", pictures) > 0.3, "of ten classes"


def test_distillation(pictures: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = follow(DISTIL, pictures, tmp_path, monkeypatch)
    assert accuracy(tmp_path / "distilled.onnx", pictures) > 0.7
    before = names["natonnx"].to_torch("models/resnet20-fashion.onnx", names["edits"])
    names["natonnx"].from_torch(before, "untrained.onnx")
    assert accuracy(tmp_path / "distilled.onnx", pictures) > accuracy(tmp_path / "untrained.onnx", pictures)


def test_pruning(pictures: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch_pruning", reason="pip install torch-pruning")
    model = follow(PRUNE, pictures, tmp_path, monkeypatch)["model"]
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count < 0.6 * 235_194
    path = tmp_path / "pruned.onnx"
    x = pictures[0][:3]
    (made,) = runtime(onnx.load(path), {"image": x.numpy()}).values()
    torch.testing.assert_close(torch.from_numpy(made), model(x).detach(), rtol=1e-4, atol=1e-5)
