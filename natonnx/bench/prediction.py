"""What a classifier says of data, in onnxruntime."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from natonnx.session import run

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["accuracy", "predict"]

_BATCH = 250


def predict(runtime: "InferenceSession", inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """The class of the highest score of each sample [n].

    Args:
        runtime: A session with one input, and scores as its first output. Where its batch size is fixed, the last
            batch is filled up.
        inputs: [n, ...].

    Raises:
        InputError: If onnxruntime cannot run them.
    """
    info = runtime.get_inputs()[0]
    fixed = info.shape[0] if info.shape and isinstance(info.shape[0], int) else None
    found = []
    for start in range(0, len(inputs), fixed or _BATCH):
        chunk = inputs[start : start + (fixed or _BATCH)]
        count = len(chunk)
        if fixed and count < fixed:
            chunk = np.concatenate([chunk, np.repeat(chunk[-1:], fixed - count, axis=0)])
        scores = next(iter(run(runtime, {info.name: chunk}).values()))
        found.append(scores.reshape(len(scores), -1).argmax(1)[:count])
    return np.concatenate(found)


def accuracy(predicted: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> float:
    """Share of samples whose class was found, 0 to 1."""
    return int(np.sum(predicted == labels)) / len(labels)
