"""One run: a method's model as a file, tested and timed by onnxruntime."""

import subprocess
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch

from natonnx.architecture import edits_between
from natonnx.bench import Timings, ratio_interval
from natonnx.contract.edits import edit_rows
from natonnx.data import Batches
from natonnx.rewrite import build
from natonnx.session import run, session
from natonnx.supernet import fold
from natonnx.verbs.optimize.prepare import Prepared, torch_settings
from tools.benchmarks.bench_search.methods import METHODS, UNEDITED
from tools.benchmarks.bench_search.networks import Network
from tools.benchmarks.bench_search.row import Key, Row, pack
from tools.benchmarks.bench_search.task import Found, Task

__all__ = ["key_of", "make_file", "measure", "right_answers"]

_BATCH = 250
_CONFIDENCE = 0.95


def key_of(network: Network, method: str, target: float, seed: int, budget: float) -> Key:
    """Return what tells a run from others; one that edits nothing is the same at every target."""
    return Key(network.name, method, 1.0 if method in UNEDITED else target, seed, budget)


def measure(key: Key, data: str, prepared: Prepared, seconds: float) -> Row:
    """Run a method, and measure what it made.

    Args:
        key: Which run.
        data: What the accuracy is of.
        prepared: Network and data.
        seconds: For the latency; 0 to leave it out.
    """
    task = Task(prepared, key.target, key.seed, key.budget)
    with torch_settings(1):
        torch.manual_seed(key.seed)
        begun = time.process_time()
        found = METHODS[key.method](task)
        spent = time.process_time() - begun
    model, source = make_file(prepared, found), prepared.source.network
    assert prepared.parts.test is not None
    right = right_answers(model, prepared.parts.test)
    alpha = source.architecture.with_states(found.architecture.states)
    images = found.images
    return Row(
        *key,
        data=data,
        share=task.price.cost(alpha) / task.price.full,
        accuracy=float(right.mean()),
        samples=len(right),
        correct=pack(right),
        images={**asdict(images), "own": found.own},
        cpu_seconds=spent,
        latency=_latency(prepared, model, seconds) if seconds else None,
        edits=[{k: str(v) for k, v in row.items()} for row in edit_rows(edits_between(source.architecture, alpha))],
        commit=_commit(),
    )


def make_file(prepared: Prepared, found: Found) -> onnx.ModelProto:
    """Make the model file of what a method found, as `natonnx optimize` does."""
    network = prepared.source.network
    weights = fold(prepared.unfolded, found.weights) if prepared.unfolded and found.weights else dict(found.weights)
    return build(network, network.architecture.with_states(found.architecture.states), weights)


def right_answers(model: onnx.ModelProto, split: Batches) -> npt.NDArray[np.bool_]:
    """Return which samples of a split a model file tells right [n], on one thread of onnxruntime."""
    runtime = session(model, 1)
    name = model.graph.output[0].name
    pieces = []
    for batch in split.batches(_BATCH):
        assert batch.targets is not None
        scores = run(runtime, dict(batch.inputs))[name]
        pieces.append(scores.reshape(batch.size, -1).argmax(1) == batch.targets)
    return np.concatenate(pieces)


def _latency(prepared: Prepared, model: onnx.ModelProto, seconds: float) -> tuple[float, float, float]:
    models = (prepared.source.network.model, model)
    inputs = prepared.parts.validation.sample(1).inputs
    timings = Timings([partial(session, each, 1) for each in models], inputs)
    timings.extend(seconds)
    found = ratio_interval(timings.blocks, 1, confidence=_CONFIDENCE)
    return found.value, found.low, found.high


def _commit() -> str:
    """Return the commit of the checkout, with a plus where it has changes."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.strip()
