"""Refuse models that take too long, or too much memory, before torch or onnxruntime run them in this process."""

import math

from natonnx.errors import InputError, naming
from natonnx.frontend import Source
from natonnx.frontend.symbols import evaluate
from natonnx.harmless import is_harmless
from natonnx.limits import LimitError, remedy, scale
from natonnx.rewrite.outputs import sample_inputs
from natonnx.session import run, session
from natonnx.tensors import MOST_AXES

__all__ = ["check_runnable", "check_sizes"]

_MOST = 1 << 27
"""Numbers of a tensor in a model of no size."""

_EXPANSION = 64
"""Further ones for each byte of the model."""


def check_runnable(source: Source) -> None:
    """Refuse a model of which a tensor is out of all proportion to its file, or that cannot be run within limits.

    Most models are told by their shapes alone. Others are run once, on a made-up sample, in the worker process.

    Raises:
        InputError: Naming the file.
    """
    network = source.network
    check_sizes(source)
    if is_harmless(network.model):
        return
    with naming(source.path):
        try:
            for inputs in sample_inputs(network, (1,)):
                run(session(network.model, folder=network.folder), inputs)
        except LimitError:
            raise
        except InputError:  # whoever needs it to run says so
            return


def check_sizes(source: Source) -> None:
    """Refuse a model of which a tensor is out of all proportion to its file, as its shapes tell.

    Raises:
        InputError: Naming the file.
    """
    network = source.network
    most = scale() * (_MOST + _EXPANSION * source.size_bytes)
    batch = dict.fromkeys(network.batch_axes.symbols(network.shapes), 1)
    for name, shape in network.shapes.items():
        if len(shape) > MOST_AXES:
            raise InputError(f"{source.path}: tensor {name!r} has {len(shape)} axes, and numpy takes {MOST_AXES}")
        sizes = [evaluate(size, batch) for size in shape]
        if (count := math.prod(size for size in sizes if size is not None)) > most:
            raise InputError(
                f"{source.path}: tensor {name!r} would have {count:,} numbers for a sample: too many to try it out; "
                f"{remedy()}"
            )
