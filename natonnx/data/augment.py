"""Random changes of training images, in torch, for a whole batch at once."""

from typing import TYPE_CHECKING

from natonnx.data.dataset import Augment

if TYPE_CHECKING:
    import torch

__all__ = ["random_shift_flip"]


def random_shift_flip(
    images: "torch.Tensor", kind: Augment, generator: "torch.Generator", among: tuple[int, int] | None = None
) -> "torch.Tensor":
    """Shift every image by up to 1/14 of its size and, for ``shift-flip``, mirror half of them.

    What a shift uncovers is filled with the pixels of the edge.

    Args:
        images: ``[n, C, H, W]`` with 1, 3 or 4 channels; anything else is no image to us and returned unchanged.
        kind: ``none``, ``shift`` or ``shift-flip``.
        generator: Source of the random numbers, on any device.
        among: Position of the first image in a batch of which these are a part, and the size of that batch: what is
            drawn is what the whole batch would draw. The batch is these images where None.

    Returns:
        A tensor of the same shape, type and device.
    """
    import torch

    if kind == "none" or images.ndim != 4 or images.shape[1] not in (1, 3, 4):
        return images
    count, _, height, width = images.shape
    first, total = among or (0, count)

    def positions(size: int) -> torch.Tensor:
        reach = size // 14
        shift = torch.randint(-reach, reach + 1, (total, 1), generator=generator, device=generator.device)
        shift = shift[first : first + count]
        return (torch.arange(size, device=generator.device) + shift).clamp(0, size - 1)

    rows, columns = positions(height), positions(width)
    if kind == "shift-flip":
        mirrored = torch.rand((total, 1), generator=generator, device=generator.device)[first : first + count] < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    rows, columns = (index.to(images.device, non_blocking=images.device.type != "cpu") for index in (rows, columns))
    image = torch.arange(count, device=images.device)[:, None, None]
    moved = images.movedim(1, -1)[image, rows[:, :, None], columns[:, None, :]]
    return moved.movedim(-1, 1).contiguous()
