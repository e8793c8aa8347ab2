"""Every model of the check, by name, made or fetched into a cache folder on first use."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx
import torch

from natonnx.frontend import ParseOptions
from tools.conformance.wild.light import LIGHT, light_model
from tools.conformance.wild.ocr import OCR, OCR_SHAPES, UnavailableError, ocr_model
from tools.conformance.wild.torch_models import MODELS, Example, torch_model
from tools.research.networks.cell_network import CellNetwork
from tools.research.networks.cells import stack
from tools.research.networks.genotypes import GENOTYPES
from tools.upkeep.export import Exporter, export, save
from tools.upkeep.randomise import randomise

__all__ = ["OPSETS", "Wild", "catalog"]

OPSETS: Mapping[Exporter, tuple[int, ...]] = {"script": tuple(range(13, 21)), "dynamo": (13, 18, 19, 20)}
"""Opsets to ask each exporter for; dynamo writes 18 and newer, and gives 18 where it is asked for 13."""


@dataclass(frozen=True)
class Wild:
    """A model to check.

    Attributes:
        name: FAMILY/MODEL, and for exports /EXPORTER-OPSET, with -bn where BatchNormalization is kept.
        fetch: Gives the file's path, made or fetched into a cache folder.
        reading: How natonnx must parse it: sizes that the file leaves open, a batch that it bakes in.
        floor: See `tools.conformance.wild.check.check`.
    """

    name: str
    fetch: Callable[[Path], Path]
    reading: ParseOptions = field(default_factory=ParseOptions)
    floor: float = 0.0


def catalog() -> dict[str, Wild]:
    """All models by name: light/…, ocr/… and torch/…."""
    models = [Wild(f"light/{name}", _light(name), ParseOptions(free_batch=True)) for name in LIGHT]
    # The detector gives 1e-5 for noise, and onnxruntime's Sigmoid is an approximation with an absolute error of 1e-7.
    floors = {"detector": 1e-2}
    reading = {name: ParseOptions({"x": shape}) for name, shape in OCR_SHAPES.items()}
    models += [Wild(f"ocr/{name}", _ocr(name), reading[name], floors.get(name, 0.0)) for name in OCR]
    models.append(Wild("ocr/detector-logits", _detector_logits, reading["detector"]))
    for name in (*MODELS, "darts"):
        for exporter, opsets in OPSETS.items():
            models += [Wild(f"torch/{name}/{exporter}-{opset}", _torch(name, exporter, opset)) for opset in opsets]
            if name not in ("vit", "bert", "lstm"):
                opset = 17 if exporter == "script" else 18
                models.append(
                    Wild(f"torch/{name}/{exporter}-{opset}-bn", _torch(name, exporter, opset, keep_norm=True))
                )
    return {model.name: model for model in models}


def _light(name: str) -> Callable[[Path], Path]:
    def fetch(cache: Path) -> Path:
        path = cache / f"light_{name}.onnx"
        return path if path.exists() else save(light_model(name), path)

    return fetch


def _ocr(name: str) -> Callable[[Path], Path]:
    return lambda cache: ocr_model(name, cache)


def _detector_logits(cache: Path) -> Path:
    """The detector without its last Sigmoid, so that relative differences mean something."""
    path = cache / "detector-logits.onnx"
    if path.exists():
        return path
    model = onnx.load(ocr_model("detector", cache))
    last = next(node for node in model.graph.node if node.output[0] == model.graph.output[0].name)
    assert last.op_type == "Sigmoid"
    model.graph.output[0].name = last.input[0]
    model.graph.node.remove(last)
    return save(model, path)


def _torch(name: str, exporter: Exporter, opset: int, *, keep_norm: bool = False) -> Callable[[Path], Path]:
    def fetch(cache: Path) -> Path:
        path = cache / f"torch_{name}_{exporter}-{opset}{'-bn' * keep_norm}.onnx"
        if path.exists():
            return path
        model, inputs = darts_model() if name == "darts" else torch_model(name)
        try:
            return save(export(model, inputs, exporter, opset, keep_norm=keep_norm), path)
        except ImportError as error:  # the dynamo exporter needs onnxscript
            raise UnavailableError(str(error)) from None

    return fetch


def darts_model(cells: int = 4, channels: int = 8, seed: int = 0) -> Example:
    """A network of DARTS cells for images of 3×32×32."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model, inputs = CellNetwork(stack(GENOTYPES["DARTS"], cells), channels), (torch.randn(2, 3, 32, 32),)
        randomise(model, inputs)
    return Example(model, inputs)
