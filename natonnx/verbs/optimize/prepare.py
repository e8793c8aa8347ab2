"""Prepare: from a model and data to what a search needs, or the reason why there is none."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from natonnx import data
from natonnx.architecture import cost
from natonnx.errors import InputError, naming
from natonnx.frontend import Network, Source
from natonnx.notices import NOTICE
from natonnx.search import REWARDS, Problem, RewardFunction, Settings
from natonnx.search.objective import Outputs
from natonnx.search.outputs import JudgedOutput
from natonnx.search.price import Price
from natonnx.search.propose import make_proposer
from natonnx.search.room import UNFOLDED, room
from natonnx.search.runner import supernet_runner, tensor_batches
from natonnx.search.score import CALIBRATION
from natonnx.supernet import Supernet, Unfolded, calibration_batch, has_batchnorm, unfold
from natonnx.supernet.batchnorm import MOST_CAPTURED
from natonnx.verbs.model_comparison import Conditions
from natonnx.verbs.model_data import LOADING, choose_data, load_parts, sized
from natonnx.verbs.objectives import Choice, choose, make_objective, original_outputs
from natonnx.verbs.optimize.prices import LatencyMeter, make_prices
from natonnx.verbs.optimize.stopwatch import CONDITIONS
from natonnx.verbs.runnable import check_runnable

__all__ = ["BatchNormMode", "DeviceName", "Prepared", "choose_device", "prepare", "tell_pieces", "torch_settings"]

BatchNormMode = Literal["auto", "keep", "unfold"]
DeviceName = Literal["auto", "cpu", "cuda"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a search of a model needs.

    Attributes:
        source: The model, read with the sizes of its data.
        parts: The data, as the model wants it.
        problem: Network, splits, what is good and what is cheap.
        unfolded: How normalisation was unfolded; None where it was not.
        meter: What measures latency; None where that is not limited.
    """

    source: Source
    parts: data.Parts
    problem: Problem
    unfolded: Unfolded | None
    meter: LatencyMeter | None = None


@contextmanager
def torch_settings(threads: int | None) -> Iterator[None]:
    """Give torch so many CPU threads, and float32 that is float32, as the result is checked in it; then as before.

    What is within can be trained even if the caller has switched gradients off.

    Raises:
        InputError: If there are to be less than one.
    """
    if threads is not None and threads < 1:
        raise InputError(f"threads {threads} must be at least 1")
    before = torch.get_num_threads(), torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def prepare(
    source: Source,
    given: data.Data | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    *,
    objective: Any = "auto",
    reward: RewardFunction | None = None,
    batchnorm: BatchNormMode = "auto",
    device: DeviceName = "auto",
    settings: Settings | None = None,
    class_names: Path | Mapping[str, int] | None = None,
    loading: data.LoadOptions = LOADING,
    conditions: Conditions | None = None,
) -> Prepared:
    """Load the data that is given, and make a trainable network of the model; see `natonnx.optimize` for the arguments.

    Raises:
        InputError: If the model cannot be trained, the data is bad, or an argument or a setting means nothing for them.
    """
    settings = settings or Settings()
    if reward is not None and not callable(reward):
        raise InputError(
            f"reward {reward!r} is no function of a model; {' and '.join(REWARDS)} are for Settings(reward=...)"
        )
    for name, value, kinds in (("batchnorm", batchnorm, BatchNormMode), ("device", device, DeviceName)):
        if value not in get_args(kinds):
            raise InputError(f"unknown {name} {value!r}: choose one of {', '.join(get_args(kinds))}")
    place = choose_device(device)
    if reward is not None and settings.confidence is not None:
        raise InputError(
            f"confidence {settings.confidence} is for scores of samples, which are compared pair by pair, but a reward "
            "judges a model as a whole: leave one of them out"
        )
    make_proposer(settings.learner, edits=settings.edits, policy=settings.policy)  # refused before the data is read
    choice = choose(source, objective)
    chosen, how = choose_data(source, given, preprocessing or {})
    parts = load_parts(
        source,
        chosen,
        how,
        classes=choice.classes,
        targets=choice.targets,
        seed=settings.seed,
        class_names=class_names,
        loading=loading,
    )
    if settings.confidence is not None:
        parts = data.put_aside(parts, settings.seed)
    labels = choice.uses_labels(parts, source)
    source, parts = _sized(source, parts)
    check_runnable(source)
    with naming(source.path):
        network, unfolded = _trainable(source, parts.train, batchnorm, loading)
        _check_limits(source, settings)
        prices, meter = make_prices(source, parts.validation, settings, conditions or CONDITIONS)
        problem = _make_problem(network, parts, choice, place, prices, labels=labels)
        problem = replace(problem, reward=reward, loading=loading)
    _check_drop(problem, settings)
    _log.info(
        "%s: objective %s, on %s, %d CPU threads, BatchNormalization %s",
        source.path,
        problem.objective.name,
        place,
        torch.get_num_threads(),
        "unfolded" if unfolded else "as in the file",
    )
    if settings.amp != "off":
        _log.info("training steps run in bfloat16 where torch.autocast does")
    if problem.without_gradient:
        _log.info("run by onnxruntime, without a gradient: %s", ", ".join(problem.without_gradient))
    return Prepared(source, parts, problem, unfolded, meter)


def _sized(source: Source, parts: data.Parts) -> tuple[Source, data.Parts]:
    """Read a model with the sizes of its data, and note them: who replays the edits must give the same."""
    read = sized(source, parts)
    given, shapes = source.network.options.input_shapes, read.network.options.input_shapes
    taken = [f"--input-shape {name}:{','.join(map(str, shapes[name]))}" for name in shapes if name not in given]
    if not taken:
        return read, parts
    note = (
        f"has the sizes that the file leaves open; natonnx apply and inspect need {' '.join(taken)} for the same edges"
    )
    return read, replace(parts, notes=(*parts.notes, note))


def tell_pieces(source: Source) -> None:
    """Say, once on a command's stderr, that a file's fixed batch makes the search slow."""
    if source.network.batch_axes.size is not None:
        _log.log(
            NOTICE,
            "%s: takes %d at once by its file, so samples run piece by piece; --free-batch is faster where it works",
            source.path,
            source.network.batch_axes.size,
        )


def _trainable(
    source: Source, train: data.Batches, mode: BatchNormMode, loading: data.LoadOptions
) -> tuple[Network, Unfolded | None]:
    """Make the network whose weights are trained: the model's own, or that with normalisation unfolded."""
    network = source.network
    if mode == "keep" or (mode == "auto" and has_batchnorm(network)):
        return network, None
    if mode == "auto" and network.batch_axes.size is not None:  # statistics of so few samples would spoil the weights
        return network, None
    samples, fixed = train.subset(CALIBRATION), network.batch_axes.size
    if fixed is not None:  # whole batches only
        samples = train.sample(CALIBRATION)
        samples = samples.repeat(max(1, samples.samples // fixed) * fixed)
    size = fixed or calibration_batch(network, CALIBRATION, room(loading, UNFOLDED, MOST_CAPTURED))
    batches = tensor_batches(samples, size, torch.device("cpu"))
    unfolded = unfold(network, (batch.inputs for batch in batches))
    return unfolded.network, unfolded


def _make_problem(
    network: Network,
    parts: data.Parts,
    choice: Choice,
    device: torch.device,
    prices: tuple[Price, ...],
    *,
    labels: bool,
) -> Problem:
    supernet = Supernet(network).to(device).eval()
    if not any(parameter.requires_grad for parameter in supernet.parameters()):
        raise InputError("has no trainable weights; there is nothing to optimize")

    def original(judged: tuple[JudgedOutput, ...]) -> Iterable[Outputs]:
        captures = {out.name: out.batch_axis for out in judged}
        supernet.require(tuple(captures))
        run = supernet_runner(supernet, network.architecture, captures)
        return original_outputs(run, parts.validation, device)

    objective, agreement = make_objective(network, choice, original, labels=labels, train=parts.train)
    supernet.require(tuple(objective.captures))
    return Problem(
        network=network,
        train=parts.train,
        validation=parts.validation,
        objective=objective,
        distillation=agreement,
        prices=prices,
        device=device,
        augment=parts.augment,
        without_gradient=supernet.in_onnxruntime,
    )


def _check_limits(source: Source, settings: Settings) -> None:
    """Refuse a target of a cost that is not known."""
    counts = cost(source.network.architecture)._asdict()
    for name, option in (("madds", "--target-madds"), ("params", "--target-params")):
        if name in settings.limits and not counts[name]:
            what = {"madds": "MAdds", "params": "parameters"}[name]
            raise InputError(f"its {what} are 0 or unknown, which {option} needs; leave it out")


def _check_drop(problem: Problem, settings: Settings) -> None:
    """Refuse to lose more points than there are."""
    points = problem.reward is None and problem.objective.unit.difference == "points"
    if points and settings.max_drop is not None and settings.max_drop > 100:
        raise InputError(f"max drop {settings.max_drop} must be points of {problem.objective.measure} from 0 to 100")


def choose_device(device: str) -> torch.device:
    """Return the device that is asked for.

    Raises:
        InputError: If there is none.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch sees no CUDA device here; choose cpu or auto")
    return torch.device(device)
