"""Reads folders of images, one sub-folder a class."""

from pathlib import Path

import numpy as np

from natonnx.data.arrays import Array, Arrays
from natonnx.data.dataset import Layout
from natonnx.data.layout import Shape, layout_of, text
from natonnx.errors import InputError

__all__ = ["read_folder"]

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
PARTS = {"train": "train", "val": "val", "validation": "val", "test": "test"}
MODES = {1: "L", 3: "RGB", None: "RGB"}


def read_folder(folder: Path, *, shape: Shape, classes: int, layout: Layout | None) -> Arrays:
    """Reads ``folder/CLASS/IMAGE`` or ``folder/{train,val,test}/CLASS/IMAGE``; classes are numbered in name order.

    Images become grey or RGB as the model has one channel or three, and are resized (bilinear) where their size is not
    the model's.

    Args:
        folder: An existing folder. Hidden entries and files that are not images by their suffix are passed over.
        shape: The model's input shape without the batch axis.
        classes: Width of the model's output: the number of class folders.
        layout: Of the model's input, where its shape does not tell.

    Returns:
        ``images`` and ``labels``, or ``x_train``, ``y_train`` and so on, uint8 ``[n, H, W]`` or ``[n, H, W, 3]``.

    Raises:
        InputError: No images, the wrong classes, an unreadable image, or a model that takes no images.
    """
    mode, size = _format(shape, layout, str(folder))
    if not (folder / "train").is_dir():
        return dict(
            zip(("images", "labels"), _read_classes(folder, _class_names(folder, classes), mode, size), strict=True)
        )
    names = _class_names(folder / "train", classes)
    arrays: dict[str, Array] = {}
    for sub, key in PARTS.items():
        if (folder / sub).is_dir():
            if _class_names(folder / sub, classes) != names:
                raise InputError(
                    f"{folder / sub}: its class folders are not those of {folder / 'train'}: name them alike"
                )
            arrays[f"x_{key}"], arrays[f"y_{key}"] = _read_classes(folder / sub, names, mode, size)
    return arrays


def _format(shape: Shape, layout: Layout | None, where: str) -> tuple[str, tuple[int, int] | None]:
    """The Pillow mode and the size (H, W) that the model wants; no size if it takes any."""
    if len(shape) == 2:
        channels: int | None = 1
        height, width = shape
    elif len(shape) == 3:
        channels_first = (layout or layout_of(shape, where)) == "NCHW"
        channels, height, width = shape if channels_first else (shape[2], *shape[:2])
    else:
        raise InputError(f"{where}: a folder of images needs an image model, but this model's input is {text(shape)}")
    if channels not in MODES:
        raise InputError(f"{where}: images have 1 or 3 channels, but the model's input {text(shape)} has {channels}")
    return MODES[channels], None if height is None or width is None else (height, width)


def _class_names(folder: Path, classes: int) -> list[str]:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise InputError(f"{folder}: has no class folders: put the images of every class in a folder of its own")
    if len(names) != classes:
        raise InputError(f"{folder}: has {len(names)} class folders, but the model's output has {classes} classes")
    return names


def _read_classes(folder: Path, names: list[str], mode: str, size: tuple[int, int] | None) -> tuple[Array, Array]:
    images, labels = [], []
    for label, name in enumerate(names):
        for path in sorted((folder / name).iterdir()):
            if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
                images.append(_read_image(path, mode, size))
                labels.append(label)
    if not images:
        raise InputError(f"{folder}: its class folders hold no images: natonnx reads {', '.join(sorted(SUFFIXES))}")
    shapes = sorted({image.shape[:2] for image in images})
    if len(shapes) > 1:
        raise InputError(
            f"{folder}: images run from {text(shapes[0])} to {text(shapes[-1])} and the model takes any size: resize "
            "them to one"
        )
    return np.stack(images), np.array(labels)


def _read_image(path: Path, mode: str, size: tuple[int, int] | None) -> Array:
    from PIL import Image

    try:
        with Image.open(path) as opened:
            image = opened.convert(mode)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be read as an image: mend or remove it") from error
    if size is not None and (image.height, image.width) != size:
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image)
