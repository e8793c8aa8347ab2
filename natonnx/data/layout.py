"""Fits arrays to the model's input: where the channels stand, never how large the images are."""

from collections.abc import Sequence

from natonnx.data.batches import Array
from natonnx.data.dataset import Layout
from natonnx.errors import InputError

__all__ = ["Shape", "fit", "layout_of", "matches", "text"]

Shape = Sequence[int | None]

CHANNELS = (1, 3)


def fit(images: Array, shape: Shape, layout: Layout | None, where: str) -> Array:
    """Move the channel axis, or add one of length 1, so that the samples have the model's input shape.

    Args:
        images: ``[n, H, W]``, ``[n, H, W, C]``, ``[n, C, H, W]`` or any other ``[n, ...]``.
        shape: The model's input shape without the batch axis; None where it is dynamic.
        layout: Of the model's input, where the shapes alone do not tell.
        where: The source, for messages.

    Returns:
        A view of the images, ``[n, *shape]``.

    Raises:
        InputError: No order of the axes fits, or more than one does and no layout was given.
    """
    views = {name: view for name, view in _views(images, layout).items() if matches(view.shape[1:], shape)}
    if not views:
        raise InputError(
            f"{where}: samples are {text(images.shape[1:])}, but the model's input is {text(shape)}"
            f"{f' in {layout}' if layout else ''}: give data of the model's size (arrays are never resized)"
        )
    if len(views) == 1:
        return next(iter(views.values()))
    if layout is None:
        raise InputError(
            f"{where}: samples of {text(images.shape[1:])} fit the model's input {text(shape)} in more than one way: "
            "say which axis of the model's input holds the channels with --layout NCHW or --layout NHWC"
        )
    channel = 1 if layout == "NCHW" else -1
    plausible = [view for view in views.values() if view.shape[channel] in CHANNELS]
    return plausible[0] if plausible else views["as it is"]


def layout_of(shape: Shape, where: str) -> Layout:
    """Find where an image model expects the channels, one or three.

    Args:
        shape: Three axes, None where dynamic.
        where: The source, for messages.

    Returns:
        The layout of the model's input.

    Raises:
        InputError: The shape does not tell.
    """
    first, last = shape[0] in CHANNELS, shape[-1] in CHANNELS
    if first == last:
        raise InputError(
            f"{where}: the model's input {text(shape)} does not tell which axis holds the channels: give --layout NCHW "
            "or --layout NHWC"
        )
    return "NCHW" if first else "NHWC"


def text(shape: Shape) -> str:
    """Write a shape for a message, a dynamic axis as ?."""
    return "×".join("?" if size is None else str(size) for size in shape) or "single numbers"


def _views(images: Array, layout: Layout | None) -> dict[str, Array]:
    """Return the ways to read an array as model input of this layout, the plainest first."""
    views = {"as it is": images}
    if images.ndim == 3:
        if layout != "NHWC":
            views["to NCHW"] = images[:, None]
        if layout != "NCHW":
            views["to NHWC"] = images[..., None]
    if images.ndim == 4:
        if layout != "NHWC":
            views["to NCHW"] = images.transpose(0, 3, 1, 2)
        if layout != "NCHW":
            views["to NHWC"] = images.transpose(0, 2, 3, 1)
    return views


def matches(sizes: Shape, shape: Shape) -> bool:
    """Return whether a sample of these sizes is a legal input of the model."""
    return len(sizes) == len(shape) and all(want in (None, have) for have, want in zip(sizes, shape, strict=True))
