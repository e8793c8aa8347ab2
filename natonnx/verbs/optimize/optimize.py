"""`optimize`, from top to bottom: read → prepare → search → rebuild → decide → verify → write → report."""

import logging
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from natonnx import launched
from natonnx.contract.inspect import inspection
from natonnx.data import Data, LoadOptions
from natonnx.errors import InputError
from natonnx.frontend import ParseOptions, Source, load
from natonnx.rewrite import require
from natonnx.search import Clock, Criteria, Outcome, Progress, RewardFunction, Settings, decide, search, silent
from natonnx.search.effort import likely_targets
from natonnx.search.price import Together
from natonnx.verbs.model_comparison import Conditions
from natonnx.verbs.model_data import tell_notes
from natonnx.verbs.objectives import check_chance, check_samples
from natonnx.verbs.optimize.consult import check_own
from natonnx.verbs.optimize.others import follow_ranks, joined, make_executor, posted_to, tell_result
from natonnx.verbs.optimize.plan import check_reach, keep_held_out, most_held_out, seconds_per_sample, tell_plan
from natonnx.verbs.optimize.prepare import BatchNormMode, DeviceName, Prepared, tell_pieces, torch_settings
from natonnx.verbs.optimize.prepare import prepare as prepare_search
from natonnx.verbs.optimize.promise import make_promise, tell_promise
from natonnx.verbs.optimize.rebuild import Workshop, open_original
from natonnx.verbs.optimize.recipe import make_recipe, mark_of
from natonnx.verbs.optimize.report import make_report
from natonnx.verbs.optimize.result import Result, check_place
from natonnx.verbs.optimize.resume import Checkpoint, claimed, fingerprint, saved_state
from natonnx.verbs.optimize.soundness import check_data, check_outputs, check_weights
from natonnx.verbs.optimize.theta import check_policy, write_policy
from natonnx.verbs.optimize.write import check_front, verify_front, verify_winner, write_front, write_winner

__all__ = ["optimize"]

_log = logging.getLogger(__name__)

_ONCE, _EACH = 0.7, 0.5
"""What scoring the result takes, and each model that was made, times what scoring the input took."""
_LATENCY_SECONDS = 4.0
"""What verification, latencies and the report take."""


def optimize(
    model: Path | str,
    data: Data | None = None,
    output: Path | str | None = None,
    *,
    objective: Any = "auto",
    reward: RewardFunction | None = None,
    settings: Settings | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    classes: Path | Mapping[str, int] | None = None,
    workers: int | None = None,
    cache: float | str | None = None,
    memory: float | str | None = None,
    batchnorm: BatchNormMode = "auto",
    device: DeviceName = "auto",
    threads: int | None = None,
    reading: ParseOptions | None = None,
    force: bool = False,
    front: Path | str | None = None,
    save_policy: Path | str | None = None,
    resume: bool = False,
    latency: Conditions | None = None,
    journal: Path | str | None = None,
    progress: Progress = silent,
) -> Result:
    """Search a better architecture for a trained model.

    Args:
        model: An ONNX file, of any inputs and outputs.
        data: See `natonnx.data.Data`; what the model's metadata names where None.
        output: Where to write the better model, and, as long as the search goes on, its state (OUTPUT.resume). Where
            None nothing is written; see `Result.save`.
        objective: What is good: "labels", right answers of a classifier; "agreement", the outputs of the model itself;
            "auto", labels where the data has any and the model is a classifier, else agreement; or an object of your
            own with a method `score(outputs, targets)`, see `natonnx.search.OwnObjective`, or "package.module:object".
        reward: Judges architectures in place of the objective. It is called hundreds of times with a model to run
            (`natonnx.RunnableModel`), and should give about the same number for the same one. `Settings.max_drop` is in
            its unit. Training goes by the objective all the same. A time budget counts what it takes while the policy
            learns, not in selection. For `resume` it is the same if name, code and plain constants are.
        settings: Settings of the search.
        preprocessing: Fields of `natonnx.data.Preprocessing` that override those of the model's metadata.
        classes: Which of the model's classes each class folder is, by name, or a file that says so.
        workers: Threads that decode pictures while the model runs, or processes that read a torch data set; 0 for none.
        cache: Most memory for samples: a share of what is free, such as 0.25, or bytes, such as "4GiB".
        memory: Most that the whole process takes, such as "1GiB": what samples, look-ups and refits hold is a part
            of it. No limit where None.
        batchnorm: `unfold` trains with BatchNormalization behind each convolution and folds it back; `keep` trains the
            model as it is; `auto` unfolds where the file has none and leaves the batch open.
        device: Where the supernet runs.
        threads: CPU threads; torch's own choice where None.
        reading: How to parse the model; see `natonnx.frontend.ParseOptions`.
        force: Overwrite an output that natonnx did not write; and go on where validation can tell next to nothing, for
            it has too few samples or the model is no better on it than chance.
        front: A folder to write every model to that was made, cheaper ones that lose more among them.
        save_policy: Where to write the policy's weights as the search leaves them, for `Settings.policy`.
        resume: Go on from the state that an interrupted run left beside the output.
        latency: What latency is measured under, where it is limited: provider, threads, batch, seconds.
        journal: A folder through which other processes help, on any machine that sees it; see `natonnx worker`.
        progress: Called with every step; `print` will do. What it raises ends the search.

    Raises:
        InputError: If the model, the data, the objective, a setting or the output path is bad.
        VerificationError: If the result failed a check; nothing is written then.

    Example:
        >>> from natonnx import Settings, optimize
        >>> settings = Settings(finetune_epochs=1, target_madds=0.7, max_drop=20)
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
    with joined(device, settings) as ranks:
        # Read
        source = load(model, reading)
        check_weights(source)
        prepare = partial(
            prepare_search,
            source,
            data,
            preprocessing,
            objective=objective,
            reward=reward,
            batchnorm=batchnorm,
            device=device,
            class_names=classes,
            loading=LoadOptions(workers, cache, memory),
            conditions=latency,
        )
        if ranks is not None and ranks.rank:
            return follow_ranks(ranks, source, lambda given: prepare(settings=given), settings, batchnorm, threads)
        place = _place(source, output, force=force, resume=resume)
        if front is not None:
            check_front(Path(front), force=force or resume)
        if save_policy is not None:
            check_policy(Path(save_policy), settings, source.file, *filter(None, [place]))
        resume = resume or (launched.is_restarted() and place is not None and saved_state(place).exists())

        describe = partial(make_recipe, *prepare.args, **prepare.keywords, settings=settings)
        with (
            claimed(place, force=force or resume),
            torch_settings(threads),
            posted_to(journal, describe, settings, ranks) as posting,
        ):
            # Prepare
            prepared = prepare(settings=settings)
            checkpoint = Checkpoint.of(place, prepared, settings, batchnorm)
            saved = checkpoint.load() if resume else None
            if ranks is not None:
                ranks.agree(fingerprint(prepared, settings, batchnorm))
            if reward is None:
                check_samples(source.path, prepared.problem.objective, prepared.parts.validation, force=force)
            check_data(prepared, force=force)
            each = seconds_per_sample(prepared)
            tell_plan(prepared, settings, each)
            check_reach(prepared, settings)
            most = saved["most"] if saved else most_held_out(settings, each)
            whole, prepared = prepared, keep_held_out(prepared, most, settings.seed)
            source, problem = prepared.source, prepared.problem
            opened = time.monotonic()
            original = open_original(prepared)
            check_outputs(prepared, original, force=force)
            check_own(prepared, original, force=force)
            check_chance(source.path, problem.objective, original.score, problem.validation, force=force)
            scored = time.monotonic() - opened
            made = len(likely_targets(problem, settings)) + (settings.weights == "scratch")
            reserve = (_ONCE + _EACH * made) * scored + _LATENCY_SECONDS

            # Search; each candidate is rebuilt once, and decided on by its file
            workshop = Workshop(prepared, original)
            beta = source.network.architecture
            criteria = Criteria.of(beta, problem.prices, problem.objective, settings, reward=reward is not None)

            def is_enough(outcome: Outcome) -> bool:
                return decide(original.score, workshop.measured(outcome), criteria).winner is not None

            tell_notes(prepared.parts)
            promise = None
            if settings.confidence is not None:
                tell_promise(workshop, criteria, settings.confidence, force=force)
                promise = make_promise(workshop, criteria, settings.confidence)
            tell_pieces(source)
            outcome = search(
                problem,
                settings,
                clock=Clock(settings.time_budget, begun, reserve, each),
                enough=is_enough,
                progress=progress,
                resume=saved,
                save=lambda state: checkpoint.save({**state, "most": most}),
                executor=make_executor(ranks, posting, lambda: mark_of(whole, settings, batchnorm), most),
            )

            # Decide
            outcome = workshop.measured(outcome)
            _time_files(prepared, workshop, outcome)
            decision = decide(original.score, outcome, criteria, promise)
            winner = None if decision.winner is None else workshop.rebuild(decision.winner)
            _log.info(
                "%s", "unchanged: the input model stands" if winner is None else f"improved, {len(winner.edits)} edits"
            )

            # Verify, and write
            checks = [] if winner is None else verify_winner(prepared, winner)
            require(checks)
            models = {} if front is None else verify_front(prepared, workshop, outcome)
            written = write_winner(source, winner, place)
            paths = {} if front is None else write_front(prepared, models, Path(front))
            if save_policy is not None:
                write_policy(Path(save_policy), outcome, settings, source)
            checkpoint.remove()

            # Report
            report = make_report(workshop, settings, criteria, outcome, decision, winner, checks, written, paths, begun)
        edits = () if winner is None else winner.edits
        described = inspection(source.network, str(source.path))
        result = Result(edits, written.path, None if winner is None else winner.model, report, described, source)
        tell_result(ranks, result)
        return result


def _time_files(prepared: Prepared, workshop: Workshop, outcome: Outcome) -> None:
    """Measure every file that was made, where latency is limited: what was measured before, chose the architecture."""
    if prepared.meter is None:
        return
    for candidate in outcome.candidates:
        rebuilt = workshop.rebuild(candidate)
        only = None if isinstance(prepared.problem.prices[0], Together) else candidate.target
        prepared.meter.take(rebuilt.alpha, rebuilt.model, only)


def _place(source: Source, output: Path | str | None, *, force: bool, resume: bool) -> Path | None:
    """Return where the result goes; refuse a bad path before any work."""
    if output is None:
        if resume:
            raise InputError(
                "resume: an interrupted run's state lies beside its output; give the same output as before"
            )
        return None
    check_place(source, Path(output), force=force)
    return Path(output)
