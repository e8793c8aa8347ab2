"""`optimize`: from a model and data to a better model, or the honest answer that none was found."""

import hashlib
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from natonnx.architecture import cost
from natonnx.contract.inspect import inspection
from natonnx.data import Data, Dataset
from natonnx.errors import InputError
from natonnx.frontend import ParseOptions, Source, load
from natonnx.rewrite.write import write_model
from natonnx.search import REWARDS, Progress, RewardFunction, Settings, search, silent
from natonnx.search.checkpoint import load_checkpoint, save_checkpoint
from natonnx.search.reward import reward_identity
from natonnx.verbs.optimize.conclusion import Conclusion, score_file
from natonnx.verbs.optimize.prepare import BatchNormMode, DeviceName, prepare
from natonnx.verbs.optimize.result import Result, check_place, written_size

__all__ = ["optimize"]

_log = logging.getLogger(__name__)

_BETTER_THAN_CHANCE = 0.1
"""Of the way from guessing to perfection, which a trained model has gone at least."""


def optimize(
    model: Path | str,
    data: Data | None = None,
    output: Path | str | None = None,
    *,
    reward: RewardFunction | None = None,
    settings: Settings | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    batchnorm: BatchNormMode = "auto",
    device: DeviceName = "auto",
    threads: int | None = None,
    reading: ParseOptions | None = None,
    force: bool = False,
    resume: bool = False,
    progress: Progress = silent,
) -> Result:
    """Search a better architecture for a trained classifier.

    Args:
        model: An ONNX file with one image or feature input and one output of class scores.
        data: See `natonnx.data.Data`; what the model's metadata names where None.
        output: Where to write the better model, and, as long as the search goes on, its state (OUTPUT.resume). Where
            None nothing is written; see `Result.save`.
        reward: Judges architectures in place of the accuracy. It is called hundreds of times with a model to run
            (`natonnx.RunnableModel`), and should give about the same number for the same one. `Settings.max_drop` is in
            its unit. Training goes by the labels all the same. A time budget counts what it takes while the policy
            learns, not in selection. For `resume` it is the same if name, code and plain constants are.
        settings: Settings of the search.
        preprocessing: Fields of `natonnx.data.Preprocessing` that override those of the model's metadata.
        batchnorm: `unfold` trains with BatchNormalization behind each convolution and folds it back; `keep` trains the
            model as it is; `auto` unfolds where the file has none.
        device: Where the supernet runs.
        threads: CPU threads; torch's own choice where None.
        reading: How to parse the model; see `natonnx.frontend.ParseOptions`.
        force: Overwrite an output that natonnx did not write.
        resume: Go on from the state that an interrupted run left beside the output.
        progress: Called with every step; `print` will do. What it raises ends the search.

    Raises:
        InputError: If the model, the data, the reward, a setting or the output path is bad.
        VerificationError: If the result failed a check; nothing is written then.

    Example:
        >>> from natonnx import Settings, optimize
        >>> settings = Settings(epochs=2, finetune_epochs=1, target_madds=0.7, max_drop=20)
        >>> result = optimize("model.onnx", "data.npz", settings=settings)
        >>> result.improved
        True
        >>> result.report["output"]["madds"] <= 0.7 * result.report["input"]["madds"]
        True
        >>> result.save("smaller.onnx")
        PosixPath('smaller.onnx')
    """
    begun = time.monotonic()
    settings = settings or Settings()
    _check_arguments(settings, reward, threads)
    if threads is not None:
        torch.set_num_threads(threads)
    source = load(model, reading)
    if output is not None:
        output = Path(output)
        check_place(source, output, force=force)
    elif resume:
        raise InputError("resume: an interrupted run's state lies beside its output; give the same output as before")
    if settings.target_madds is not None and not cost(source.network.architecture).madds:
        raise InputError(f"{source.path}: its MAdds are 0 or unknown, which --target-madds needs; leave it out")
    prepared = prepare(
        source, data, preprocessing, batchnorm=batchnorm, device=device, seed=settings.seed, reward=reward
    )
    given = score_file(source, source.network.model, prepared.images.validation, reward)
    _warn_of_chance(source.path, given.accuracy, prepared.images.validation.labels)

    checkpoint = None if output is None else output.with_name(f"{output.name}.resume")
    fingerprint = _fingerprint(source, prepared.images, settings, batchnorm, reward)
    outcome = search(
        prepared.problem,
        settings,
        progress=progress,
        resume=load_checkpoint(checkpoint, fingerprint) if resume and checkpoint else None,
        save=lambda state: None if checkpoint is None else save_checkpoint(checkpoint, fingerprint, state),
    )
    found = Conclusion(source, prepared, settings, outcome, given)
    _log.info(
        "%s, %d edits", "unchanged: the input model stands" if found.model is None else "improved", len(found.edits)
    )
    written, size = None, None
    if found.model is not None:
        size = written_size(found.model)
        if output is not None:
            files = write_model(found.model, source.network.folder, output)
            written, size = output, sum(path.stat().st_size for path in files)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    report = found.report(written, size, time.monotonic() - begun)
    described = inspection(source.network, str(source.path))
    return Result(found.edits, written, found.model, report, described, source)


def _warn_of_chance(path: Path, found: float, labels: npt.NDArray[np.int64]) -> None:
    """Say so if the input model is hardly better than guessing: mostly it was trained with other preprocessing."""
    chance = float(np.bincount(labels).max()) / len(labels)
    if found - chance < _BETTER_THAN_CHANCE * (1 - chance):
        _log.warning(
            "%s: gets %.1f %% of the validation samples right, and always the same class %.1f %%; is the preprocessing "
            "(mean, std, scale, layout) the one that it was trained with?",
            path,
            100 * found,
            100 * chance,
        )


def _check_arguments(settings: Settings, reward: object, threads: int | None) -> None:
    if reward is not None and not callable(reward):
        raise InputError(
            f"reward {reward!r} is no function of a model; {' and '.join(REWARDS)} are for Settings(reward=...)"
        )
    if reward is None and settings.max_drop > 100:
        raise InputError(f"max drop {settings.max_drop} must be accuracy points from 0 to 100")
    if threads is not None and threads < 1:
        raise InputError(f"threads {threads} must be at least 1")


def _fingerprint(
    source: Source, images: Dataset, settings: Settings, batchnorm: str, reward: RewardFunction | None
) -> str:
    """Of all that must be the same for a search to be resumed; a time budget may change."""
    fields = {key: value for key, value in asdict(settings).items() if key != "time_budget"}
    parts = [source.sha256, source.network.options, images.name, images.augment, batchnorm, fields]
    if reward is not None:
        parts.append(reward_identity(reward))
    digest = hashlib.sha256(" ".join(map(str, parts)).encode())
    if Path(settings.policy).is_file():
        digest.update(Path(settings.policy).read_bytes())
    for split in (images.train, images.validation):
        digest.update(split.inputs[:64].tobytes())
        digest.update(split.labels.tobytes())
    return digest.hexdigest()
