"""From what stands for data to a data set that fits the model."""

import logging
from pathlib import Path

from natonnx.data.arrays import Arrays, Part, partition
from natonnx.data.dataset import Dataset, Preprocessing, Split
from natonnx.data.folder import read_folder
from natonnx.data.function import call_function, is_function
from natonnx.data.layout import Shape, fit
from natonnx.data.memory import Data, Held, data_name, hold
from natonnx.data.npz import read_npz
from natonnx.data.preprocess import preprocess
from natonnx.data.ready import check_ready
from natonnx.data.shipped import BUILTIN, read_builtin
from natonnx.errors import InputError

__all__ = ["load"]

_log = logging.getLogger(__name__)

PLAIN = Preprocessing()


def load(
    data: Data,
    *,
    input_shape: Shape,
    classes: int,
    preprocessing: Preprocessing = PLAIN,
    seed: int = 0,
    limit: int | None = None,
) -> Dataset:
    """Loads labelled data in the shape, layout and scale that a model takes.

    A spec is, in this order of precedence: an existing ``.npz`` file or folder of class folders; a name in `BUILTIN`;
    ``package.module:function``, which is imported and called (the current directory is importable).

    Args:
        data: A spec, or data in memory: see `natonnx.data.Data`.
        input_shape: The model's input shape without the batch axis; None where it is dynamic.
        classes: Size of the model's output axis. Arrays may use fewer labels; a folder or a built-in set must agree.
        preprocessing: How raw values become inputs. A `Dataset` is taken as it is.
        seed: Of the division into parts, where the source does not fix it.
        limit: The most samples of each part, in the classes' shares; None is all of them. Not for a finished `Dataset`.

    Returns:
        The data set; its test part is None if the source has none.

    Raises:
        InputError: The spec, the data or the preprocessing is bad, or does not fit the model.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit {limit} must be at least 1 sample")
    held = hold(data)
    spec = data_name(held)
    raw = _read(held, input_shape, classes, preprocessing) if isinstance(held, str) else held
    if isinstance(raw, Held):
        raw = raw.arrays
    if isinstance(raw, Dataset):
        return _told(check_ready(raw, shape=input_shape, classes=classes, where=spec))
    parts = partition(raw, classes=classes, seed=seed, limit=limit, where=spec)

    def split(part: Part) -> Split:
        images = fit(part.images, input_shape, preprocessing.layout, spec)
        return Split(preprocess(images, preprocessing, spec), part.labels)

    made = Dataset(
        name=spec,
        train=split(parts["train"]),
        validation=split(parts["validation"]),
        test=split(parts["test"]) if "test" in parts else None,
        classes=classes,
        augment=preprocessing.augment,
    )
    return _told(made)


def _told(made: Dataset) -> Dataset:
    splits = (("training", made.train), ("validation", made.validation), ("test", made.test))
    sizes = ", ".join(f"{len(split):,} {name}" for name, split in splits if split is not None)
    shape = list(made.train.inputs.shape[1:])
    _log.info("data %s: %s samples of %s, %d classes, augment %s", made.name, sizes, shape, made.classes, made.augment)
    return made


def _read(spec: str, shape: Shape, classes: int, preprocessing: Preprocessing) -> Arrays | Dataset:
    path = Path(spec)
    try:
        if spec and path.is_dir():
            return read_folder(path, shape=shape, classes=classes, layout=preprocessing.layout)
        if spec and path.exists():
            return read_npz(path)
    except OSError as error:
        raise InputError(
            f"{spec}: cannot be read ({error.strerror or error}): give a file or folder that can be"
        ) from error
    if spec in BUILTIN:
        return read_builtin(spec, classes)
    if is_function(spec):
        return call_function(spec)
    raise InputError(
        f"{spec or 'data'}: no such data: give an existing .npz file, an existing folder of class folders, a built-in "
        f"set ({', '.join(BUILTIN)}), or package.module:function"
    )
