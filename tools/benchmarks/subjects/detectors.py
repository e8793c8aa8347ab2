"""The detectors: three maps of scores and boxes, and the same behind non-maximum suppression in the graph."""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tools.benchmarks.subjects.exporting import export
from tools.benchmarks.subjects.image_nets import Yolo
from tools.benchmarks.subjects.parts import Arrays, Effort, make_parts, save_parts
from tools.benchmarks.subjects.shapes import CLASSES, SIZE, STRIDES, scene, targets
from tools.benchmarks.subjects.training import one_thread, train
from tools.upkeep.export import save

__all__ = ["Decoded", "with_suppression", "yolo", "yolo_nms"]

_BATCH = 24


def yolo(folder: Path, cache: Path, effort: Effort) -> None:
    """YOLO-like detector, its three maps the outputs."""
    example, names = {"images": torch.zeros(2, 3, SIZE, SIZE)}, ["fine", "middle", "deep"]
    axes = {name: {0: "batch"} for name in ("images", *names)}
    save(export(_trained(cache, effort), example, names, axes, "script", 13), folder / "model.onnx")
    save_parts(make_parts(_scenes, 8, effort), folder / "data.npz")


def yolo_nms(folder: Path, cache: Path, effort: Effort) -> None:
    """The same network, its boxes decoded and overlapping ones suppressed in the graph."""
    example = {"images": torch.zeros(2, 3, SIZE, SIZE)}
    axes = {"images": {0: "batch"}}
    decoded = export(Decoded(_trained(cache, effort)), example, ["boxes", "scores"], axes, "dynamo", 18)
    save(with_suppression(decoded), folder / "model.onnx")
    save_parts(make_parts(_scenes, 9, effort), folder / "data.npz")


class Decoded(nn.Module):
    """Boxes in pixels and class probabilities of all cells of a detector's maps."""

    def __init__(self, network: Yolo) -> None:
        super().__init__()
        self.network = network
        for stride in STRIDES:
            middles = (torch.arange(SIZE // stride) + 0.5) * stride
            grid = torch.stack(torch.meshgrid(middles, middles, indexing="ij")[::-1]).reshape(2, -1)
            self.register_buffer(f"grid{stride}", grid)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map images to boxes ``[N, cells, 4]``, left to bottom, and probabilities ``[N, classes, cells]``."""
        boxes, scores = [], []
        for stride, found in zip(STRIDES, self.network(images), strict=True):
            cells = found.flatten(2)
            middle: Tensor = getattr(self, f"grid{stride}")
            sides = F.softplus(cells[:, :4]) * stride
            boxes.append(torch.cat([middle - sides[:, :2], middle + sides[:, 2:]], 1))
            scores.append(torch.sigmoid(cells[:, 4:5]) * torch.sigmoid(cells[:, 5:]))
        return torch.cat(boxes, 2).transpose(1, 2), torch.cat(scores, 2)


def with_suppression(model: onnx.ModelProto) -> onnx.ModelProto:
    """Put NonMaxSuppression behind the outputs `boxes` and `scores`.

    Returns:
        A model whose outputs are the boxes kept ``[K, 4]``, and of each its image, class and cell ``[K, 3]``, int64.
    """
    graph, limits = model.graph, ("most", "overlap", "least")
    whole, real = TensorProto.INT64, TensorProto.FLOAT
    for name, kind, value in zip(limits, (whole, real, real), (20, 0.5, 0.3), strict=True):
        graph.initializer.append(helper.make_tensor(name, kind, [1], [value]))
    columns = helper.make_tensor("image_and_cell", whole, [2], [0, 2])
    graph.initializer.append(columns)
    graph.node.extend(
        [
            helper.make_node("NonMaxSuppression", ["boxes", "scores", *limits], ["selected"], "suppress"),
            helper.make_node("Gather", ["selected", columns.name], ["places"], "places", axis=1),
            helper.make_node("GatherND", ["boxes", "places"], ["detections"], "detections"),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("detections", TensorProto.FLOAT, ["kept", 4]))
    graph.output.append(helper.make_tensor_value_info("selected", TensorProto.INT64, ["kept", 3]))
    return model


def _scenes(generator: np.random.Generator, count: int, _part: str) -> Arrays:
    return {"images": np.stack([scene(generator)[0] for _ in range(count)])}


def _trained(cache: Path, effort: Effort) -> Yolo:
    """Return the network that both detectors share, trained by the first that needs it."""
    steps = effort.of(900)
    path = cache / f"yolo-{steps}.pt"
    with one_thread(8):
        model = Yolo(CLASSES)
        if path.exists():
            model.load_state_dict(torch.load(path, weights_only=True))
            return model

        def loss(step: int) -> Tensor:
            generator = np.random.default_rng([8, 9, step])
            images, boxes = zip(*(scene(generator) for _ in range(_BATCH)), strict=True)
            found = model(torch.from_numpy(np.stack(images)))
            wanted = [torch.from_numpy(each) for each in targets(list(boxes))]
            total = torch.zeros(())
            for one, goal in zip(found, wanted, strict=True):
                total = total + _loss(one, goal)
            return total / _BATCH

        train(model, loss, steps, 5e-3)
    cache.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), path)
    return model


def _loss(found: Tensor, wanted: Tensor) -> Tensor:
    """Binary cross-entropy of the objects; of their classes too, and the distance of their sides."""
    there = wanted[:, 4] > 0
    objects = F.binary_cross_entropy_with_logits(found[:, 4], wanted[:, 4], reduction="sum")
    cells, goals = found.movedim(1, -1)[there], wanted.movedim(1, -1)[there]
    classes = F.one_hot(goals[:, 5].long(), CLASSES).float()
    kinds = F.binary_cross_entropy_with_logits(cells[:, 5:], classes, reduction="sum")
    return objects + kinds + F.l1_loss(F.softplus(cells[:, :4]), goals[:, :4], reduction="sum")
