"""What is said before the work, and what a time budget leaves of the held-out data."""

import logging
from dataclasses import replace

import pytest

from natonnx.data import StreamBatches
from natonnx.frontend import load
from natonnx.search import Settings
from natonnx.verbs.optimize.plan import keep_held_out, most_held_out, seconds_per_sample, tell_plan
from natonnx.verbs.optimize.prepare import Prepared, prepare
from tests.cli import tiny


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tiny.fill(tmp_path_factory.mktemp("plan"))
    given = tiny.arrays()
    more = {"x_val": given["x_train"][:300], "y_val": given["y_train"][:300]}
    return prepare(load(folder / "model.onnx"), {**given, **more})


def told(prepared: Prepared, settings: Settings, each: float, caplog: pytest.LogCaptureFixture) -> str:
    caplog.clear()
    with caplog.at_level(logging.INFO, "natonnx.verbs.optimize.plan"):
        tell_plan(prepared, settings, each)
    space, text = caplog.messages
    assert "legal transitions; of the input's costs at least remain: MAdds 0." in space
    return text.removeprefix(f"{prepared.source.path}: ")


def test_the_plan_says_what_will_be_done(prepared: Prepared, caplog: pytest.LogCaptureFixture) -> None:
    plain = Settings(lookups=7, finetune_epochs=2)
    images = "then 1,000 training images for"
    for settings, says in (
        (plain, f"7 look-ups, {images} the model that is made, and as many for each cheaper one as long as"),
        (replace(plain, target_madds=0.5), f"7 look-ups, {images} the model that is made; about "),
        (replace(plain, target_madds=(0.5, 0.6)), f"7 look-ups, {images} each target; about "),
        (replace(plain, training=False), "7 look-ups; about "),
        (
            Settings(algorithm="paper", epochs=3),
            "3 epochs of Algorithm 1, then 2 finalists and the input are trained; ",
        ),
    ):
        assert told(prepared, settings, 1e-6, caplog).startswith(says)


def test_the_plan_says_how_long_it_takes(prepared: Prepared, caplog: pytest.LogCaptureFixture) -> None:
    """In proportion to what one sample takes; no longer than there is time."""
    settings = Settings(lookups=7, finetune_epochs=2, target_madds=0.5)
    one, two = (
        float(told(prepared, settings, each, caplog).rpartition("about ")[2].partition(" s, ")[0])
        for each in (0.1, 0.2)
    )
    assert two == pytest.approx(2 * one, abs=2)
    scored = 2 * (300 + 60)
    trained = (3 * 0.5 + 1) * 1.12 * 1000  # forward and backward at half of the cost, and the teacher's forward
    starts = 4 * (4 * 500 + 3 * 300 + 2 * 160)  # refitted and scored; there are 500 training and 300 validation samples
    finished = 2 * (160 + 300) + 500 + 300
    looked = 7 * (4 * 160 + 300)
    assert one == pytest.approx(0.1 * (looked + 0.5 * (starts + finished) + trained + scored), rel=0.01)
    text = told(prepared, replace(settings, time_budget=60.0), 0.1, caplog)
    assert "; cut down to 60 s, " in text


def test_a_time_budget_leaves_out_samples_that_there_is_no_time_to_score(prepared: Prepared) -> None:
    """A tenth of it is for each split; they are drawn at random, at least as many as can tell something."""
    assert most_held_out(Settings(), 1.0) is None
    assert most_held_out(Settings(time_budget=60.0), 1e-6) == 6_000_000
    assert keep_held_out(prepared, None, 0) is prepared
    assert keep_held_out(prepared, 6_000_000, 0) is prepared
    for each, count in ((0.03, 200), (0.2, 100)):
        cut = keep_held_out(prepared, most_held_out(Settings(time_budget=60.0), each), 0)
        assert (cut.parts.validation.samples, cut.parts.train.samples) == (count, 500)
        assert cut.parts.test is prepared.parts.test  # of 60 samples
        assert cut.problem.validation is cut.parts.validation
        assert cut.parts.notes[-1] == f"validation: {count} of 300 samples, as the time budget is short"
    first, same, different = (
        next(iter(keep_held_out(prepared, 200, seed).parts.validation.batches(200))).inputs[tiny.INPUT]
        for seed in (0, 0, 1)
    )
    assert (first == same).all()
    assert (first != different).any()


def test_a_sample_takes_some_time(prepared: Prepared) -> None:
    assert 0 < seconds_per_sample(prepared) < 1


def test_what_does_not_say_how_many_samples_it_has_is_left_as_it_is(prepared: Prepared) -> None:
    split = prepared.parts.validation
    stream = StreamBatches(lambda: split.batches(50), {tiny.INPUT: 0}, has_targets=True)
    given = replace(prepared, parts=replace(prepared.parts, validation=stream))
    assert keep_held_out(given, 100, 0).parts.validation is stream
