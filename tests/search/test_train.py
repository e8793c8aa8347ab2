import torch

from natonnx.search import Problem, Settings
from natonnx.search.finetune import finetune
from natonnx.search.score import evaluate
from natonnx.search.train import make_optimizer, train_epoch
from natonnx.supernet import Supernet


def no_teacher(inputs: torch.Tensor) -> torch.Tensor:
    raise AssertionError(f"without distillation the teacher must not be asked for {len(inputs)} samples")


def test_training_learns_the_task(problem: Problem) -> None:
    supernet = Supernet(problem.network)
    beta = problem.network.architecture
    before = evaluate(supernet, beta, problem.validation)
    optimizer = make_optimizer(supernet, 0.05)
    generator = torch.Generator().manual_seed(0)
    losses = [
        train_epoch(
            supernet,
            optimizer,
            problem.train,
            lambda: beta,
            teacher=no_teacher,
            distillation=0.0,
            batch=32,
            augment="none",
            generator=generator,
        )
        for _ in range(6)
    ]
    assert losses[-1] < 0.5 * losses[0]
    assert evaluate(supernet, beta, problem.validation).accuracy > max(0.8, before.accuracy + 0.2)


def test_distillation_alone_moves_outputs_towards_the_teacher(problem: Problem) -> None:
    supernet, teacher = Supernet(problem.network), Supernet(problem.network).eval()
    beta = problem.network.architecture
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))

    def distance() -> float:
        supernet.eval()
        with torch.no_grad():
            mine, its = (model(problem.validation.inputs, beta) for model in (supernet, teacher))
        return float((mine.softmax(1) - its.softmax(1)).abs().mean())

    before = distance()
    optimizer = make_optimizer(supernet, 0.05)
    for epoch in range(5):
        train_epoch(
            supernet,
            optimizer,
            problem.train._replace(labels=torch.zeros_like(problem.train.labels)),  # labels must not matter
            lambda: beta,
            teacher=lambda inputs: teacher(inputs).detach(),
            distillation=1.0,
            batch=32,
            augment="none",
            generator=torch.Generator().manual_seed(epoch),
        )
    assert distance() < 0.6 * before


def test_weight_decay_spares_biases_and_normalisation(problem: Problem) -> None:
    decayed, spared = make_optimizer(Supernet(problem.network), 0.1).param_groups
    assert decayed["weight_decay"] > 0
    assert all(parameter.dim() > 1 for parameter in decayed["params"])
    assert spared["weight_decay"] == 0
    assert all(parameter.dim() == 1 for parameter in spared["params"])


def test_finetuning_depends_on_the_seed_alone(problem: Problem) -> None:
    beta = problem.network.architecture
    teacher = Supernet(problem.network).eval()

    def run(seed: int) -> dict[str, torch.Tensor]:
        done = finetune(
            problem,
            beta,
            Settings(seed=seed),
            epochs=1,
            start=None,
            teacher=lambda inputs: teacher(inputs).detach(),
        )
        return {name: torch.from_numpy(value) for name, value in done.weights.items()}

    first, again, other = run(3), run(3), run(4)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
