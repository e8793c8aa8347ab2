"""A classifier and a data set so small that a whole `natonnx optimize` takes seconds, and the command to start."""

import functools
import hashlib
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional

__all__ = [
    "CLASSES",
    "ENVIRONMENT",
    "INPUT",
    "ROOT",
    "arrays",
    "data_bytes",
    "fill",
    "heed_signals",
    "model",
    "model_bytes",
    "snapshot",
    "start",
]

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "COLUMNS": "200",
    "PYTHONPATH": str(ROOT),
    "PYTHONDONTWRITEBYTECODE": "1",
}
INPUT = "image"
CLASSES = 3
_CHANNELS = 8
_SIZE = 8
_CONVOLUTIONS = {"stem": 1, "one": _CHANNELS, "two": _CHANNELS}


@functools.cache
def arrays() -> dict[str, npt.NDArray[Any]]:
    """500 + 60 images of stripes: lying, standing, or both; with noise, and at random offsets."""
    generator = np.random.default_rng(0)

    def images(count: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        labels = np.arange(count) % CLASSES
        offsets = generator.integers(0, 4, (count, 2))
        rows = ((np.arange(_SIZE)[None, :] + offsets[:, :1]) // 2 % 2)[:, :, None]
        columns = ((np.arange(_SIZE)[None, :] + offsets[:, 1:]) // 2 % 2)[:, None, :]
        kinds = np.stack(np.broadcast_arrays(rows, columns, rows ^ columns))
        clean = kinds[labels, np.arange(count)]
        noisy = 2.0 * clean - 1.0 + generator.normal(0, 0.3, clean.shape)
        return noisy[:, None].astype(np.float32), labels.astype(np.int64)

    x_train, y_train = images(500)
    x_test, y_test = images(60)
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


@functools.cache
def data_bytes() -> bytes:
    """The data set as .npz."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays())
    return buffer.getvalue()


def model(
    *, batch: int | str = "batch", dtype: int = TensorProto.FLOAT, opset: int = 17, ir_version: int = 8, **metadata: str
) -> onnx.ModelProto:
    """Stem → relu → (one → relu → two) + shortcut → relu → mean → classes: a trained residual network."""
    weights = _train()
    nodes = [helper.make_node("Cast", [INPUT], ["float"], "cast", to=TensorProto.FLOAT)] if dtype != 1 else []
    conv = functools.partial(helper.make_node, "Conv", pads=[1, 1, 1, 1], kernel_shape=[3, 3])
    nodes += [
        conv([nodes[0].output[0] if nodes else INPUT, "stem.weight", "stem.bias"], ["stem"], "stem"),
        helper.make_node("Relu", ["stem"], ["x"], "stem.relu"),
        conv(["x", "one.weight", "one.bias"], ["one"], "one"),
        helper.make_node("Relu", ["one"], ["y"], "one.relu"),
        conv(["y", "two.weight", "two.bias"], ["two"], "two"),
        helper.make_node("Add", ["x", "two"], ["sum"], "add"),
        helper.make_node("Relu", ["sum"], ["z"], "add.relu"),
        helper.make_node("ReduceMean", ["z"], ["pooled"], "pool", axes=[2, 3], keepdims=0),
        helper.make_node("Gemm", ["pooled", "head.weight", "head.bias"], ["scores"], "head", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(INPUT, dtype, [batch, 1, _SIZE, _SIZE])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, CLASSES])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
    for key, value in {"author": "the tests", **metadata}.items():
        made.metadata_props.add(key=key.replace("_", "."), value=value)
    return made


@functools.cache
def model_bytes() -> bytes:
    """The model as a file."""
    made = model()
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString()


@functools.cache
def _train() -> dict[str, npt.NDArray[np.float32]]:
    generator = torch.Generator().manual_seed(0)

    def start(*shape: int) -> torch.Tensor:
        fan_in = int(np.prod(shape[1:]))
        made: torch.Tensor = torch.randn(*shape, generator=generator) * (2 / fan_in) ** 0.5
        return made.requires_grad_()

    weights = {f"{name}.weight": start(_CHANNELS, channels, 3, 3) for name, channels in _CONVOLUTIONS.items()}
    weights["head.weight"] = start(CLASSES, _CHANNELS)
    for name in (*_CONVOLUTIONS, "head"):
        weights[f"{name}.bias"] = torch.zeros(len(weights[f"{name}.weight"]), requires_grad=True)

    def conv(x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)

    images, labels = torch.from_numpy(arrays()["x_train"]), torch.from_numpy(arrays()["y_train"])
    optimizer = torch.optim.Adam(list(weights.values()), 0.01)
    for _ in range(120):
        index = torch.randint(0, len(labels), (64,), generator=generator)
        x = torch.relu(conv(images[index], "stem"))
        x = torch.relu(x + conv(torch.relu(conv(x, "one")), "two"))
        logits = functional.linear(x.mean((2, 3)), weights["head.weight"], weights["head.bias"])
        loss = functional.cross_entropy(logits, labels[index])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return {name: value.detach().numpy() for name, value in weights.items()}


def fill(folder: Path) -> Path:
    """Put model.onnx and data.npz into a folder."""
    (folder / "model.onnx").write_bytes(model_bytes())
    (folder / "data.npz").write_bytes(data_bytes())
    return folder


def heed_signals() -> None:
    """In a child: no signal is ignored, though what a shell's background job or nohup starts inherits that."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def start(*arguments: str, cwd: Path, stdout: int = subprocess.PIPE) -> "subprocess.Popen[str]":
    """A command that goes on in the background, and heeds signals."""
    return subprocess.Popen(
        [sys.executable, "-m", "natonnx", *arguments],
        cwd=cwd,
        env=ENVIRONMENT,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_signals,  # noqa: PLW1509
    )


def snapshot(folder: Path) -> dict[str, str]:
    """Hash of every file below a folder, by its relative path; other things by their kind."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "other"
        for path in folder.rglob("*")
    }
