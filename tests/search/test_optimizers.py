"""SGD and Adam against torch's classes, bit for bit."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from natonnx.search.optimizers import SGD, Adam, Optimizer
from tests.cli import tiny


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))


def groups(model: nn.Module) -> list[dict[str, Any]]:
    matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    return [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]


def sgd(model: nn.Module) -> Optimizer:
    return SGD(groups(model), 0.1, 0.9)


def adam(model: nn.Module) -> Optimizer:
    return Adam(list(model.parameters()), 0.1, betas=(0.9, 0.99))


Make = Callable[[nn.Module], Any]
THEIRS: dict[Make, Make] = {
    sgd: lambda model: torch.optim.SGD(groups(model), 0.1, 0.9, nesterov=True),
    adam: lambda model: torch.optim.Adam(model.parameters(), 0.1, betas=(0.9, 0.99)),
}
EACH = pytest.mark.parametrize("mine", [sgd, adam])


def train(model: nn.Sequential, optimizer: Any, steps: range) -> list[Tensor]:
    """Steps at falling rates; the second layer has no gradient at every third, the first none at the first."""
    for step in steps:
        for group in optimizer.param_groups:
            group["lr"] = 0.1 / (1 + step)
        optimizer.zero_grad()
        x = torch.randn(8, 5, generator=torch.Generator().manual_seed(step))
        loss: Tensor = model[0](x).square().sum() if step % 3 == 2 else model(x.detach()).square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        if not step:
            model[0].weight.grad = None
        optimizer.step()
    return [parameter.detach().clone() for parameter in model.parameters()]


def equal(some: list[Tensor], others: list[Tensor]) -> bool:
    return all(map(torch.equal, some, others))


@EACH
def test_steps_are_those_of_torch(mine: Make) -> None:
    one, other = network(), network()
    given = [parameter.detach().clone() for parameter in one.parameters()]
    found = train(one, mine(one), range(10))
    assert equal(found, train(other, THEIRS[mine](other), range(10)))
    assert not any(map(torch.equal, found, given))


@EACH
@pytest.mark.parametrize("saved", ["mine", "theirs"])
def test_they_go_on_from_a_state(mine: Make, saved: str) -> None:
    """From that of torch's class too, which checkpoints held before."""
    whole, first, second = network(), network(), network(1)
    expected = train(whole, mine(whole), range(10))
    before = (mine if saved == "mine" else THEIRS[mine])(first)
    train(first, before, range(4))
    second.load_state_dict(first.state_dict())
    after = mine(second)
    after.load_state_dict(before.state_dict())
    train(first, before, range(4, 6))  # what goes on there changes nothing here
    assert equal(train(second, after, range(4, 10)), expected)
    assert after.param_groups[0]["lr"] == 0.01


@EACH
def test_the_state_of_other_parameters_is_refused(mine: Make) -> None:
    model, longer, wider = network(), nn.Sequential(*network(), nn.Linear(3, 3)), nn.Sequential(*network())
    wider[2] = nn.Linear(4, 6)
    for other in (longer, wider):
        before = mine(other)
        train(other, before, range(2))
        with pytest.raises(ValueError, match="the optimizer's "):
            mine(model).load_state_dict(before.state_dict())


def test_torch_s_compiler_is_not_loaded() -> None:
    source = """
import sys
from tests.search.test_optimizers import adam, network, sgd, train
for make in (sgd, adam):
    model = network()
    optimizer = make(model)
    train(model, optimizer, range(2))
    optimizer.load_state_dict(optimizer.state_dict())
assert not any(name.startswith("torch._dynamo") for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", source], env=tiny.ENVIRONMENT, check=True, timeout=120)
