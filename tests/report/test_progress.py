"""Progress on stderr."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from natonnx.report.progress import ConsoleProgress
from natonnx.search.progress import Stage


def run(console: Console, steps: int = 2, total: int = 2, note: str = "validation 90.0 %") -> None:
    with ConsoleProgress(console) as progress:
        stage = Stage(progress, "select", 3)
        for _ in range(3):
            stage.advance()
        stage = Stage(progress, "fine-tune", total)
        for _ in range(steps):
            stage.advance(note)


def lines(stream: io.StringIO) -> list[str]:
    return [line.split("  (")[0].strip() for line in stream.getvalue().splitlines() if line]


def test_elsewhere_a_plain_line_as_a_stage_ends() -> None:
    stream = io.StringIO()
    run(Console(file=stream, width=20))
    assert "\x1b" not in stream.getvalue()
    assert "\r" not in stream.getvalue()
    assert lines(stream) == ["select 3/3", "fine-tune 2/2  validation 90.0 %"]


def test_elsewhere_a_plain_line_now_and_then_says_how_long_the_rest_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every five seconds, though there is a step each; by the clock of the stage and not of all."""
    stream, now = io.StringIO(), 1000.0
    monkeypatch.setattr("natonnx.report.progress.time", SimpleNamespace(monotonic=lambda: now))
    with ConsoleProgress(Console(file=stream)) as progress:
        now += 20
        stage = Stage(progress, "train", 12)
        for _ in range(12):
            now += 1
            stage.advance("loss 0.5")
    assert stream.getvalue().splitlines() == [
        "train 1/12  loss 0.5  (21 s, about 11 s left)",
        "train 6/12  loss 0.5  (26 s, about 6 s left)",
        "train 11/12  loss 0.5  (31 s, about 1 s left)",
        "train 12/12  loss 0.5  (32 s)",
    ]


def test_no_more_is_left_than_a_time_budget_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, now = io.StringIO(), 0.0
    monkeypatch.setattr("natonnx.report.progress.time", SimpleNamespace(monotonic=lambda: now))
    with ConsoleProgress(Console(file=stream), limit=30) as progress:
        stage = Stage(progress, "look up", 100)
        for now in (10, 20, 33):  # noqa: B007 - the clock reads it
            stage.advance("best")
    assert stream.getvalue().splitlines() == [
        "look up 1/100  best  (10 s, about 20 s left)",
        "look up 2/100  best  (20 s, about 10 s left)",
        "look up 3/100  best  (33 s, about 0 s left)",
    ]


def test_more_steps_than_foreseen() -> None:
    stream = io.StringIO()
    run(Console(file=stream), steps=3, total=2)
    assert lines(stream)[-1] == "fine-tune 3/3  validation 90.0 %"


def test_markup_in_a_note_is_text() -> None:
    stream = io.StringIO()
    run(Console(file=stream), note="[red]odd[/]")
    assert "fine-tune 2/2  [red]odd[/]" in lines(stream)


@pytest.mark.parametrize("steps", [2, 3])
def test_on_a_terminal_a_bar(steps: int) -> None:
    stream = io.StringIO()
    run(Console(file=stream, force_terminal=True, width=100, legacy_windows=False), steps=steps)
    text = stream.getvalue()
    assert "\x1b" in text
    assert f"{steps}/{steps}" in text
    assert "validation 90.0 %" in text
    assert "(0 s)" not in text


def test_the_bar_is_put_away_on_an_error() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True)
    progress = ConsoleProgress(console)

    def fails() -> None:
        with progress:
            Stage(progress, "search", 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fails()
    assert stream.getvalue().endswith("\x1b[?25h")
