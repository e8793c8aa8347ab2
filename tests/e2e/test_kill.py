"""Killed at any moment, natonnx leaves a whole model or none; interrupted by ^C, it goes on from there."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from natonnx.search import Settings, Step
from natonnx.verbs.optimize.optimize import optimize
from natonnx.verbs.optimize.result import Result
from tests.cli import tiny
from tests.e2e.conftest import CHEAPER, Run

OUTPUT = "model.nat.onnx"
CHECKPOINT = f"{OUTPUT}.resume"
MOMENTS = [random.Random(f"kill {part}").uniform(part, part + 0.25) for part in (0.2, 0.45, 0.6, 0.75)]  # noqa: S311
"""As fractions of a whole run; what loads takes the first fifth."""
KILL_WHILE_WRITING = """
import os, signal
def dies(*_):
    os.kill(os.getpid(), signal.SIGKILL)
os.{function} = dies
from natonnx.cli import main
main(["apply", "model.onnx", "-"])
"""


def assert_no_parts(folder: Path, given: dict[str, str]) -> None:
    """The input is as it was; the output is a whole model, if there is one; the rest is hidden or the checkpoint."""
    left = tiny.snapshot(folder)
    assert given.items() <= left.items()
    assert {name for name in left.keys() - given.keys() if not name.startswith(".")} <= {OUTPUT, CHECKPOINT}
    if OUTPUT in left:
        onnx.checker.check_model(onnx.load(folder / OUTPUT), full_check=True)


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: f"{moment:.2f}")
def test_killed_at_any_moment_it_leaves_no_part(moment: float, improved: Run, folder: Path) -> None:
    given = tiny.snapshot(folder)
    running = tiny.Running("natonnx", CHEAPER, cwd=folder)
    time.sleep(moment * improved.seconds)
    running.send_signal(signal.SIGKILL)
    running.finish()
    assert_no_parts(folder, given)


@pytest.mark.parametrize(
    ("function", "edits"),
    [("fsync", '[{"edge": "one", "from": "O", "to": "S"}]'), ("replace", "[]")],
    ids=["edit", "copy"],
)
def test_killed_while_writing_it_leaves_no_part(function: str, edits: str, folder: Path) -> None:
    given = tiny.snapshot(folder)
    done = subprocess.run(
        [sys.executable, "-c", KILL_WHILE_WRITING.format(function=function)],
        cwd=folder,
        env=tiny.ENVIRONMENT,
        input=edits.encode(),
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == -signal.SIGKILL
    assert not (folder / OUTPUT).exists()
    assert_no_parts(folder, given)


def test_interrupted_it_saves_its_state_and_resumes_to_the_same_end(improved: Run, folder: Path) -> None:
    given = tiny.snapshot(folder)
    process = tiny.start(*CHEAPER, cwd=folder)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("train "):
            break
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stdout == ""
    assert "Traceback" not in stderr
    assert [line for line in stderr.splitlines() if line.startswith("natonnx: error:")] == stderr.splitlines()[-1:]
    assert tiny.snapshot(folder).keys() - given.keys() == {CHECKPOINT}

    code, stdout, stderr = tiny.natonnx(*CHEAPER, "--resume", cwd=folder)
    assert code == 0, stderr
    report = json.loads(stdout)
    for part in ("edits", "front", "constraints", "scored", "images"):
        assert report[part] == improved.report[part]
    assert (folder / OUTPUT).read_bytes() == improved.output.read_bytes()
    assert tiny.snapshot(folder).keys() - given.keys() == {OUTPUT}


class Interrupting:
    """A progress that interrupts at one step of one stage, when that comes again and again; without a stage never."""

    def __init__(self, stage: str = "", step: int = 0, times: int = 1) -> None:
        self.when, self.times = (stage, step), times

    def __call__(self, step: Step) -> None:
        assert step.total >= step.done
        assert "\n" not in step.note
        self.times -= (step.stage, step.done) == self.when
        if not self.times:
            raise KeyboardInterrupt


SETTINGS = {
    "refit": Settings(finetune_epochs=1, target_madds=(0.55, 0.5), max_drop=20, batch=20),
    "paper": Settings(
        algorithm="paper", epochs=3, finetune_epochs=1, target_madds=0.55, max_drop=20, evaluated=8, finalists=2
    ),
}


def search(
    folder: Path,
    algorithm: str,
    progress: Interrupting,
    *,
    resume: bool = False,
    seed: int = 1,
    time_budget: float | None = None,
) -> Result:
    settings = replace(SETTINGS[algorithm], seed=seed, time_budget=time_budget)
    data = str(folder / "data.npz")
    return optimize(
        folder / "model.onnx",
        data,
        folder / "model.nat.onnx",
        settings=settings,
        threads=1,
        progress=progress,
        resume=resume,
    )


def result(folder: Path, algorithm: str, *, resume: bool = False, time_budget: float | None = None) -> str:
    """What a search that is not interrupted ends with, as text in which NaN equals NaN."""
    found = search(folder, algorithm, Interrupting(), resume=resume, time_budget=time_budget)
    assert found.output is not None
    payload = [found.report[key] for key in ("edits", "history", "front", "constraints", "scored", "images")]
    return repr((found.output.read_bytes(), payload))


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """No time is spent on measuring latencies in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("natonnx.verbs.optimize.report.latencies_ms", lambda models, _, **__: [1.0] * len(models))
        yield


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {name: result(tiny.fill(tmp_path_factory.mktemp(name)), name) for name in SETTINGS}


@pytest.mark.parametrize(
    ("algorithm", "stage", "step", "times"),
    [
        ("refit", "look up", 14, 1),
        ("refit", "train", 40, 1),
        ("refit", "train", 300, 1),
        ("refit", "train", 20, 2),
        ("refit", "train", 440, 2),
        ("paper", "search", 1, 1),
        ("paper", "search", 3, 1),
        ("paper", "select", 2, 1),
        ("paper", "fine-tune", 1, 1),
        ("paper", "fine-tune", 2, 1),
    ],
)
def test_resumed_from_any_stage_it_ends_the_same(
    algorithm: str, stage: str, step: int, times: int, uninterrupted: dict[str, str], folder: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        search(folder, algorithm, Interrupting(stage, step, times))
    assert (folder / CHECKPOINT).exists()
    assert not (folder / OUTPUT).exists()
    assert result(folder, algorithm, resume=True) == uninterrupted[algorithm]
    assert not (folder / CHECKPOINT).exists()


def test_a_resumed_search_may_have_another_time_budget(uninterrupted: dict[str, str], folder: Path) -> None:
    """Here one that is never used up: nothing changes."""
    with pytest.raises(KeyboardInterrupt):
        search(folder, "refit", Interrupting("train", 300))
    assert result(folder, "refit", resume=True, time_budget=10_000.0) == uninterrupted["refit"]


def test_a_checkpoint_of_other_settings_or_data_is_refused(folder: Path) -> None:
    from natonnx.errors import InputError

    with pytest.raises(KeyboardInterrupt):
        search(folder, "refit", Interrupting("train", 200))
    with pytest.raises(InputError, match="another model, data set or settings"):
        search(folder, "refit", Interrupting(), resume=True, seed=2)
    assert (folder / CHECKPOINT).exists()
