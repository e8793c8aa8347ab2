"""Train and export the small models that come with natonnx, on its built-in data: see ``models/README.md``."""

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from natonnx import Conditions, benchmark
from natonnx.data import ArrayBatches, Batches, InputSpec, Parts, Preprocessing, Signature, load, random_shift_flip
from natonnx.data.dataset import Augment
from natonnx.data.shipped import MODEL
from natonnx.session import run, session
from tools.command import run_command
from tools.upkeep.dynamo import export_dynamo

DATA, CLASSES = "fashion-mnist", 10
SIGNATURE = Signature((InputSpec("image", (None, 1, 28, 28), np.dtype(np.float32)),), CLASSES)
AUGMENT: Augment = "shift-flip"
OPSET = 18
BATCH, RATE, MOMENTUM, DECAY, SMOOTHING, WARMUP = 64, 0.1, 0.9, 5e-4, 0.1, 0.05
MODELS_FOLDER = Path("models")
START, END = "<!-- table -->", "<!-- /table -->"

# of MobileNetV2: factor of expansion, channels, blocks, stride of the first block
MOBILE_STAGES = ((1, 16, 1, 1), (4, 24, 3, 2), (4, 40, 3, 1), (4, 64, 4, 2))


# --- architectures: one grey 28×28 image in, maps of 28, 14 and 7 a side ---


class ConvBN(nn.Sequential):
    """Convolution without bias, padded to keep the size, and batch normalisation."""

    def __init__(self, source: int, target: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(source, target, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(target)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut, added before the last ReLU."""

    def __init__(self, source: int, target: int, stride: int) -> None:
        super().__init__()
        self.first = ConvBN(source, target, stride=stride)
        self.second = ConvBN(target, target)
        same = source == target and stride == 1
        self.shortcut = nn.Identity() if same else ConvBN(source, target, kernel=1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, source, H, W]`` to ``[n, target, H/stride, W/stride]``."""
        return F.relu(self.second(F.relu(self.first(x))) + self.shortcut(x))


class InvertedResidual(nn.Module):
    """Expand (1×1), filter each channel (3×3), project (1×1, linear); added to its input where the shapes agree."""

    def __init__(self, source: int, target: int, stride: int, expand: int) -> None:
        super().__init__()
        inner = source * expand
        self.expand = nn.Identity() if expand == 1 else nn.Sequential(ConvBN(source, inner, kernel=1), nn.ReLU6())
        self.depthwise = nn.Sequential(ConvBN(inner, inner, stride=stride, groups=inner), nn.ReLU6())
        self.project = ConvBN(inner, target, kernel=1)
        self.residual = source == target and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, source, H, W]`` to ``[n, target, H/stride, W/stride]``."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


def classifier(features: dict[str, nn.Module], width: int) -> nn.Sequential:
    """Map images ``[n, 1, 28, 28]`` to logits ``[n, 10]``: features, their mean over the image, a linear layer."""
    head = {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "classifier": nn.Linear(width, CLASSES)}
    return nn.Sequential(OrderedDict(features | head))


def residual(widths: Sequence[int], blocks: int) -> nn.Sequential:
    """A ResNet for small images: a stage of so many basic blocks for each width."""
    source = widths[0]
    layers: dict[str, nn.Module] = {"stem": ConvBN(1, source), "stem_relu": nn.ReLU()}
    for stage, target in enumerate(widths, 1):
        for block in range(1, blocks + 1):
            stride = 2 if block == 1 and stage > 1 else 1
            layers[f"stage{stage}_block{block}"] = BasicBlock(source, target, stride)
            source = target
    return classifier(layers, source)


def resnet20() -> nn.Sequential:
    """ResNet-20 for small images: three stages of three basic blocks."""
    return residual((16, 32, 64), blocks=3)


def resnet14() -> nn.Sequential:
    """ResNet-14 for small images, of half the usual width: three stages of two basic blocks."""
    return residual((8, 16, 32), blocks=2)


def vgg() -> nn.Sequential:
    """Three stages of three 3×3 convolutions, with max pooling between."""
    layers: dict[str, nn.Module] = {}
    source = 1
    for stage, target in enumerate((24, 48, 96), 1):
        if stage > 1:
            layers[f"stage{stage}_pool"] = nn.MaxPool2d(2)
        for index in (1, 2, 3):
            layers[f"stage{stage}_layer{index}"] = ConvBN(source, target)
            layers[f"stage{stage}_relu{index}"] = nn.ReLU()
            source = target
    return classifier(layers, source)


def mobilenetv2() -> nn.Sequential:
    """MobileNetV2, narrow: inverted residuals with ReLU6 and linear bottlenecks."""
    layers: dict[str, nn.Module] = {"stem": ConvBN(1, 16), "stem_relu": nn.ReLU6()}
    source = 16
    for stage, (expand, target, count, first) in enumerate(MOBILE_STAGES, 1):
        for block in range(1, count + 1):
            stride = first if block == 1 else 1
            layers[f"stage{stage}_block{block}"] = InvertedResidual(source, target, stride, expand)
            source = target
    layers |= {"head": ConvBN(source, 256, kernel=1), "head_relu": nn.ReLU6()}
    return classifier(layers, 256)


# name: (architecture, whether the file keeps its BatchNormalization nodes)
MODELS: dict[str, tuple[Callable[[], nn.Sequential], bool]] = {
    "resnet20": (resnet20, True),
    "resnet14": (resnet14, True),
    "vgg": (vgg, False),
    "mobilenetv2": (mobilenetv2, False),
}


def arrays(part: Batches) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Images and labels of a part, which is in memory."""
    assert isinstance(part, ArrayBatches)
    assert part.targets is not None
    return part.inputs["image"], part.targets


def training_statistics() -> tuple[float, float]:
    """Return mean and standard deviation of the training pixels on [0, 1], four digits."""
    pixels, _ = arrays(load(DATA, SIGNATURE).train)
    pixels = pixels.astype(np.float64)
    return round(float(pixels.mean()), 4), round(float(pixels.std()), 4)


def train(model: nn.Module, data: Parts, epochs: int, seed: int) -> None:
    """Train by SGD with warm-up, cosine schedule, label smoothing, shifts and flips, on the training part only."""
    images, labels = map(torch.from_numpy, arrays(data.train))
    generator = torch.Generator().manual_seed(seed)
    optim = torch.optim.SGD(model.parameters(), RATE, MOMENTUM, weight_decay=DECAY, nesterov=True)
    steps = epochs * (len(labels) // BATCH)

    def rate(step: int) -> float:
        return min(1.0, (step + 1) / (WARMUP * steps)) * 0.5 * (1 + math.cos(math.pi * step / steps))

    schedule = torch.optim.lr_scheduler.LambdaLR(optim, rate)
    model.train()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster on a CPU
    for epoch in range(epochs):
        started, total = time.monotonic(), 0.0
        order = torch.randperm(len(labels), generator=generator)
        for at in range(0, len(labels) - BATCH + 1, BATCH):
            chosen = order[at : at + BATCH]
            x = random_shift_flip(images[chosen], data.augment, generator)
            loss = F.cross_entropy(model(x), labels[chosen], label_smoothing=SMOOTHING)
            optim.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optim.step()
            schedule.step()
            total += loss.item() * BATCH
        click.echo(
            f"  epoch {epoch + 1}/{epochs}  loss {total / len(labels):.4f}  {time.monotonic() - started:.1f} s",
            err=True,
        )
    model.eval()
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def export(model: nn.Module, keep_norm: bool) -> onnx.ModelProto:
    """Export to one ONNX model with a dynamic batch; the exporter folds normalisation unless told to keep it."""
    proto = export_dynamo(model, [torch.zeros(2, 1, 28, 28)], ["image"], "logits", OPSET, keep_norm=keep_norm)
    for item in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        item.ClearField("metadata_props")
    for node in proto.graph.node:
        if len(node.input) > 1 and node.input[1].endswith(".weight"):
            node.name = node.input[1].removesuffix(".weight")
    return proto


def verify(proto: onnx.ModelProto, model: nn.Module, images: npt.NDArray[np.float32]) -> None:
    """Check the file and compare onnxruntime with the torch model at batch 1 and 3."""
    onnx.checker.check_model(proto, full_check=True)
    runtime = session(proto)
    for batch in (1, 3):
        with torch.no_grad():
            expected = model(torch.from_numpy(images[:batch])).numpy()
        difference = float(np.abs(run(runtime, {"image": images[:batch]})["logits"] - expected).max())
        if not difference <= 1e-4:
            raise click.ClickException(f"onnxruntime and torch differ by {difference:.1e} at batch {batch}")


def place(name: str, out: Path | None) -> Path:
    """Where a model goes: into a folder, or to its own place, which is in the wheel for that of `natonnx demo`."""
    file = f"{name}-fashion.onnx"
    if out is None:
        return MODEL if file == MODEL.name else MODELS_FOLDER / file
    return out / file


def write_table(out: Path | None) -> None:
    """Measure the models by `natonnx.benchmark` and renew the table between the marks in the folder's README.md."""
    lines = [
        "| file | size, kB | opset / IR | BN | parameters | MAdds | validation, % | test, % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    paths = {place(name, out): keep_norm for name, (_, keep_norm) in MODELS.items()}
    there = [path for path in paths if path.exists()]
    for path, row in zip(there, benchmark(there, DATA, conditions=Conditions(seconds=0.1))["models"], strict=True):
        proto, madds, score = onnx.load(path), row["madds"], row["score"]
        assert None not in (madds, score["validation"], score["test"])
        shares = [100 * (share or 0.0) for share in (score["validation"], score["test"])]
        lines.append(
            f"| `{path.name}` | {row['size_bytes'] / 1000:.0f} | {proto.opset_import[0].version} / "
            f"{proto.ir_version} | {'kept' if paths[path] else 'folded'} | {row['params']:,} | "
            f"{(madds or 0) / 1e6:.2f}M | {shares[0]:.1f} | {shares[1]:.1f} |"
        )
    readme = (out or MODELS_FOLDER) / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.exists() else f"{START}\n{END}\n"
    before, after = text.split(START)[0], text.split(END)[1]
    readme.write_text("\n".join([before + START, *lines, END + after]), encoding="utf-8")


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(MODELS)))
@click.option("--epochs", default=30, show_default=True, type=click.IntRange(min=1), help="Passes over 8,000 images.")
@click.option("--seed", default=0, show_default=True, help="Of the weights, the order and the augmentation.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="A folder.  [default: where each belongs]"
)
@click.option("--threads", default=1, show_default=True, help="CPU threads; another number may give other weights.")
def main(names: Sequence[str], epochs: int, seed: int, out: Path | None, threads: int) -> None:
    """Train and export the models NAMES (all by default), then renew the table in the README.md of their folder."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    (out or MODELS_FOLDER).mkdir(parents=True, exist_ok=True)
    mean, std = training_statistics()
    preprocessing = Preprocessing(mean=(mean,), std=(std,), augment=AUGMENT)
    data = load(DATA, SIGNATURE, preprocessing=preprocessing)
    for name in names or MODELS:
        started = time.monotonic()
        click.echo(f"{name}: {epochs} epochs, seed {seed}", err=True)
        build, keep_norm = MODELS[name]
        torch.manual_seed(seed)
        model = build()
        train(model, data, epochs, seed)
        proto = export(model, keep_norm)
        proto.doc_string = (
            f"{build.__doc__} Fashion-MNIST, made by python -m tools.upkeep.train_models {name} "
            f"--epochs {epochs} --seed {seed}"
        )
        properties = {"data": DATA, "mean": str(mean), "std": str(std), "augment": AUGMENT}
        onnx.helper.set_model_props(proto, {f"natonnx.{key}": value for key, value in properties.items()})
        verify(proto, model, arrays(data.validation)[0])
        onnx.save(proto, place(name, out))
        click.echo(f"{name}: done in {time.monotonic() - started:.0f} s", err=True)
    write_table(out)


if __name__ == "__main__":
    run_command(main)
