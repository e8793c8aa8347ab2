"""ResNet-20 against torch modules written here, for β in training and for α's edge by edge."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from natonnx.architecture import Architecture, Edit, State, apply_edits
from natonnx.rewrite import build
from natonnx.supernet import Supernet
from tests.rewrite.helpers import arrays, assert_close, images, runtime, shipped_model, shipped_network


class ConvBN(nn.Module):
    def __init__(self, source: int, target: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(source, target, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(target)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.norm(self.conv(x))
        return result


class Block(nn.Module):
    def __init__(self, source: int, target: int, stride: int) -> None:
        super().__init__()
        self.first = ConvBN(source, target, 3, stride)
        self.second = ConvBN(target, target, 3, 1)
        self.shortcut = ConvBN(source, target, 1, stride) if stride > 1 else nn.Identity()


def resample(x: Tensor, like: Tensor) -> Tensor:
    """The parameter-free skip, in torch: average pooling by the ratio of the sizes, then zero channels."""
    ratio = x.shape[2] // like.shape[2]
    if ratio > 1:
        n, channels, *_ = x.shape
        x = x.reshape(n, channels, like.shape[2], ratio, like.shape[3], ratio).mean((3, 5))
    zeros = x.new_zeros(x.shape[0], like.shape[1] - x.shape[1], *x.shape[2:])
    return torch.cat([x, zeros], 1)


class ResNet(nn.Module):
    """ResNet-20 whose parts can be left out, replaced and added: `skipped`, `nulled` and `added`.

    Maps are numbered from the stem's, two a block, as relu, relu_1, … are in the file.
    """

    def __init__(
        self,
        skipped: frozenset[str] = frozenset(),
        nulled: frozenset[str] = frozenset(),
        added: frozenset[tuple[int, int]] = frozenset(),
    ) -> None:
        super().__init__()
        self.skipped, self.nulled, self.added = skipped, nulled, added
        self.stem = ConvBN(1, 16, 3, 1)
        source = 16
        self.blocks: list[str] = []
        for stage, target in enumerate((16, 32, 64), 1):
            for block in (1, 2, 3):
                name = f"stage{stage}_block{block}"
                self.add_module(name, Block(source, target, 2 if stage > 1 and block == 1 else 1))
                self.blocks.append(name)
                source = target
        self.classifier = nn.Linear(64, 10)
        values = {name: torch.from_numpy(value.copy()) for name, value in arrays(shipped_model("resnet20")).items()}
        state = self.state_dict()
        state.update({name: value for name, value in values.items() if name in state})
        assert {name for name in state if name not in values} == {n for n in state if n.endswith("batches_tracked")}
        self.load_state_dict(state)

    def forward(self, x: Tensor) -> Tensor:
        maps = [functional.relu(self.stem(x))]
        for name in self.blocks:
            block = self.get_submodule(name)
            assert isinstance(block, Block)
            source = maps[-1]
            maps.append(self.join(maps, {f"{name}.first": self.path(f"{name}.first", block.first, source)}))
            members = {
                f"{name}.second": self.path(f"{name}.second", block.second, maps[-1]),
                f"{name}.shortcut": self.path(f"{name}.shortcut", block.shortcut, source),
            }
            maps.append(self.join(maps, members))
        result: Tensor = self.classifier(maps[-1].mean((2, 3)))
        return result

    def path(self, name: str, module: nn.Module, x: Tensor) -> Tensor:
        if name not in self.skipped:
            result: Tensor = module(x)
            return result
        with torch.no_grad():
            like = module.conv(x) if isinstance(module, ConvBN) else x
        return resample(x, like)

    def join(self, maps: list[Tensor], members: dict[str, Tensor]) -> Tensor:
        like = next(iter(members.values()))
        present = [value for name, value in members.items() if name not in self.nulled]
        present += [resample(maps[i], like) for i, j in sorted(self.added) if j == len(maps)]
        total = present[0]
        for value in present[1:]:
            total = total + value
        return functional.relu(total)


def edit(edge: str, before: str, after: str) -> Edit:
    return Edit(edge, State(before), State(after))


CASES = {
    "O to S, identity": (ResNet(skipped=frozenset({"stage1_block2.first"})), [("stage1_block2.first.conv", "O", "S")]),
    "O to S in a residual block": (
        ResNet(skipped=frozenset({"stage1_block1.second"})),
        [("stage1_block1.second.conv", "O", "S")],
    ),
    "O to S, pooled and padded": (
        ResNet(skipped=frozenset({"stage2_block1.first"})),
        [("stage2_block1.first.conv", "O", "S")],
    ),
    "O to S of a strided shortcut": (
        ResNet(skipped=frozenset({"stage3_block1.shortcut"})),
        [("stage3_block1.shortcut.conv", "O", "S")],
    ),
    "O to N in a residual block": (
        ResNet(nulled=frozenset({"stage2_block2.second"})),
        [("stage2_block2.second.conv", "O", "N")],
    ),
    "S to N of a residual": (ResNet(nulled=frozenset({"stage1_block3.shortcut"})), [("relu_4->relu_6", "S", "N")]),
    "N to S, identity": (ResNet(added=frozenset({(1, 3)})), [("relu_1->relu_3", "N", "S")]),
    "N to S across stages": (ResNet(added=frozenset({(5, 7)})), [("relu_5->relu_7", "N", "S")]),
}
CASES["all of them"] = (
    ResNet(
        skipped=frozenset().union(*(model.skipped for model, _ in CASES.values())),
        nulled=frozenset().union(*(model.nulled for model, _ in CASES.values())),
        added=frozenset().union(*(model.added for model, _ in CASES.values())),
    ),
    list(itertools.chain.from_iterable(edits for _, edits in CASES.values())),
)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[ResNet, Architecture]:
    model, edits = CASES[request.param]
    return model, apply_edits(shipped_network("resnet20").architecture, [edit(*parts) for parts in edits])


def logits(model: nn.Module, *arguments: object) -> np.ndarray:
    with torch.inference_mode():
        result: np.ndarray = model.eval()(torch.from_numpy(images(4)), *arguments).numpy()
    return result


def test_supernet_of_alpha_equals_torch(case: tuple[ResNet, Architecture]) -> None:
    model, alpha = case
    assert_close(logits(Supernet(shipped_network("resnet20")), alpha), logits(model), 1e-5)


def test_rewritten_alpha_equals_torch(case: tuple[ResNet, Architecture]) -> None:
    model, alpha = case
    result = runtime(build(shipped_network("resnet20"), alpha), {"image": images(4)})["logits"]
    assert_close(result, logits(model), 1e-5)


def test_alpha_differs_from_beta(case: tuple[ResNet, Architecture]) -> None:
    _, alpha = case
    supernet = Supernet(shipped_network("resnet20"))
    assert np.abs(logits(supernet, alpha) - logits(supernet)).max() > 0.01


# Training


def batch(step: int) -> tuple[Tensor, Tensor]:
    """Double precision, so that rounding does not hide a difference."""
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(16, 1, 28, 28, generator=generator, dtype=torch.float64)
    return x, torch.randint(10, (16,), generator=generator)


def double_supernet() -> Supernet:
    return Supernet(shipped_network("resnet20")).double()


def double_resnet(template: ResNet | None = None) -> ResNet:
    return (ResNet(template.skipped, template.nulled, template.added) if template else ResNet()).double()


def loss(model: nn.Module, step: int, *arguments: object) -> Tensor:
    x, labels = batch(step)
    return functional.cross_entropy(model(x, *arguments), labels)


def by_onnx_name(model: nn.Module) -> dict[str, Tensor]:
    return {
        name.replace("%2E", "."): tensor
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]
        if not name.endswith("batches_tracked")
    }


def assert_same_gradients(supernet: Supernet, model: nn.Module, *arguments: object) -> None:
    for module, extra in ((supernet, arguments), (model, ())):
        module.train().zero_grad()
        torch.autograd.backward(loss(module, 0, *extra))
    ours = by_onnx_name(supernet)
    for name, parameter in model.named_parameters():
        ours_grad = ours[name].grad
        if parameter.grad is None:
            assert ours_grad is None
            continue
        assert ours_grad is not None
        assert_close(ours_grad.numpy(), parameter.grad.numpy(), 1e-8)


def test_gradients_of_beta_equal_torch() -> None:
    assert_same_gradients(double_supernet(), double_resnet())


def test_gradients_of_alpha_equal_torch() -> None:
    template, edits = CASES["all of them"]
    alpha = apply_edits(shipped_network("resnet20").architecture, [edit(*parts) for parts in edits])
    assert_same_gradients(double_supernet(), double_resnet(template), alpha)


def test_five_steps_of_sgd_equal_torch() -> None:
    traces = []
    for model in (double_supernet(), double_resnet()):
        model.train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, nesterov=True, weight_decay=5e-4)
        trace = []
        for step in range(5):
            optimizer.zero_grad()
            value = loss(model, step)
            torch.autograd.backward(value)
            optimizer.step()
            trace.append(value.item())
        traces.append(trace)
    np.testing.assert_allclose(traces[0], traces[1], rtol=1e-8)
    assert len({round(value, 3) for value in traces[1]}) == 5


# BatchNormalization


def statistics(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in by_onnx_name(model).items() if "running" in name}


@pytest.mark.parametrize("momentum", [None, 0.5, 1.0])
def test_running_statistics_follow_torch(momentum: float | None) -> None:
    supernet, model = double_supernet().train(), double_resnet().train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and momentum is not None:
            module.momentum = momentum
    for step in range(2):
        x, _ = batch(step)
        with torch.no_grad():
            supernet(x, momentum=momentum)
            model(x)
    ours, theirs = statistics(supernet), statistics(model)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert_close(ours[name].numpy(), value.numpy(), 1e-6)  # the file keeps momentum in float32


def test_evaluation_leaves_the_running_statistics() -> None:
    supernet = double_supernet().eval()
    before = statistics(supernet)
    supernet(batch(0)[0])
    assert all(torch.equal(value, before[name]) for name, value in statistics(supernet).items())


def test_training_an_alpha_leaves_the_statistics_of_what_it_dropped() -> None:
    supernet = double_supernet().train()
    alpha = apply_edits(supernet.network.architecture, [edit("stage2_block2.second.conv", "O", "N")])
    before = statistics(supernet)
    supernet(batch(0)[0], alpha)
    unchanged = {name for name, value in statistics(supernet).items() if torch.equal(value, before[name])}
    dropped = ("stage2_block2.first.norm", "stage2_block2.second.norm")
    assert unchanged == {f"{norm}.{part}" for norm in dropped for part in ("running_mean", "running_var")}
