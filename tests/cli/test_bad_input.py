"""Every bad input: one line on stderr, nothing on stdout, exit code 2, and not a file made or changed."""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from natonnx.cli import cli, main
from tests.cli import tiny

OPTIMIZE = ("optimize", "model.onnx", "--data", "data.npz", "-o", "out.onnx")
APPLY = ("apply", "model.onnx", "none.json", "-o", "out.onnx")
BENCH = ("bench", "model.onnx")
CHECK = ("check", "model.onnx", "--baseline", "fixed.onnx", "--max-params-ratio", "9")
LONG = 300 * "a"

FUNCTIONS = """
from pathlib import Path
def fails():
    raise RuntimeError("two\\nlines")
def leaves():
    raise SystemExit(0)
def marks():
    Path("marked").touch()
"""


class Case(NamedTuple):
    """A command line and what its one line must say."""

    name: str
    arguments: tuple[str, ...]
    says: str
    stdin: bytes = b""


def edit(edge: str, before: str, after: str) -> bytes:
    return json.dumps([{"edge": edge, "from": before, "to": after}]).encode()


def changed(arguments: tuple[str, ...], old: str, new: str) -> tuple[str, ...]:
    return tuple(new if argument == old else argument for argument in arguments)


CASES = (
    # The model.
    Case("no such model", ("inspect", "nothing.onnx"), "no such file"),
    Case("model is a folder", ("inspect", "folder"), "cannot be read"),
    Case("model is text", ("inspect", "text.onnx"), "not an ONNX model"),
    Case("model is empty", ("inspect", "empty.onnx"), "not an ONNX model"),
    Case("model is a data set", ("inspect", "data.npz"), "not an ONNX model"),
    Case("model is a long name", ("inspect", LONG), "name too long"),
    Case("model is a report", ("inspect", "report.json"), "not an ONNX model"),
    Case("half a model", ("inspect", "half.onnx"), "truncated"),
    Case("a model less a byte", ("inspect", "short.onnx"), "truncated"),
    Case("half a model, apply", ("apply", "half.onnx", "none.json", "-o", "out.onnx"), "truncated"),
    Case("model with an unknown operator", ("inspect", "invalid.onnx"), "not a valid ONNX model"),
    Case("no data named or given", ("optimize", "model.onnx", "-o", "out.onnx"), "give --data"),
    Case("model names a function", ("optimize", "names-function.onnx", "-o", "out.onnx"), "built-in set only"),
    Case("integer input", changed(OPTIMIZE, "model.onnx", "integer.onnx"), "float32, but the model takes int64"),
    # The data.
    Case("unknown data", changed(OPTIMIZE, "data.npz", "nothing"), "no such data"),
    Case("data of another shape", changed(OPTIMIZE, "data.npz", "large.npz"), "9×9"),
    Case("empty data", changed(OPTIMIZE, "data.npz", "empty.npz"), "empty"),
    Case("more classes than the model", changed(OPTIMIZE, "data.npz", "classes.npz"), "3 classes"),
    Case("data function that raises", changed(OPTIMIZE, "data.npz", "functions:fails"), "RuntimeError: two lines"),
    # Options.
    Case("--mean is a word", (*OPTIMIZE, "--mean", "grey"), "--mean"),
    Case("--target-madds 0", (*OPTIMIZE, "--target-madds", "0"), "must be above 0 and at most 1"),
    Case("--input-shape without a name", ("inspect", "model.onnx", "--input-shape", "1,1,8,8"), "--input-shape"),
    Case("--input-shape without sizes", ("inspect", "model.onnx", "--input-shape", "image:"), "--input-shape"),
    Case("--input-shape of 0", ("inspect", "model.onnx", "--input-shape", "image:0,1,8,8"), "positive"),
    Case("--input-shape of another input", ("inspect", "model.onnx", "--input-shape", "x:1,1,8,8"), "no input 'x'"),
    Case(
        "--input-shape against the file", ("inspect", "model.onnx", "--input-shape", "image:1,1,8,9"), "8 in the file"
    ),
    Case("--input-shape, too few axes", ("inspect", "model.onnx", "--input-shape", "image:1,1"), "4 axes"),
    Case("unknown option", ("inspect", "model.onnx", "--jsn"), "--jsn"),
    Case("unknown command", ("inpsect", "model.onnx"), "inpsect"),
    Case("missing argument", ("inspect",), "MODEL"),
    Case("missing edits", ("apply", "model.onnx"), "EDITS"),
    Case("an argument too many", ("inspect", "model.onnx", "model.onnx"), "unexpected extra argument"),
    Case("too few samples to tell anything", changed(OPTIMIZE, "data.npz", "few.npz"), "99 validation samples cannot"),
    Case("--front is a file", (*OPTIMIZE, "--front", "data.npz"), "--front"),
    Case("--front holds something", (*OPTIMIZE, "--front", "full"), "--front full: is not empty"),
    Case("--pick of an edit list", (*APPLY, "--pick", "1"), "has no models to pick from"),
    Case("--resume without a checkpoint", (*OPTIMIZE, "--resume"), "no such checkpoint"),
    Case(
        "--resume of a damaged checkpoint",
        (*changed(OPTIMIZE, "out.onnx", "damaged.onnx"), "--resume"),
        "not a natonnx checkpoint",
    ),
    # Edits.
    Case("no such edits", changed(APPLY, "none.json", "nothing.json"), "cannot be read"),
    Case("edits are a folder", changed(APPLY, "none.json", "folder"), "cannot be read"),
    Case("edits are a model", changed(APPLY, "none.json", "model.onnx"), "not UTF-8"),
    Case("edits are not JSON", changed(APPLY, "none.json", "-"), "not JSON", b"[{]"),
    Case("edits are nothing", changed(APPLY, "none.json", "-"), "not JSON", b""),
    Case("edits are a number", changed(APPLY, "none.json", "-"), "JSON list", b"3"),
    Case("an edit is a word", changed(APPLY, "none.json", "-"), "edit 1", b'["stem"]'),
    Case("an edit lacks a field", changed(APPLY, "none.json", "-"), "has no from, to", b'[{"edge": "one"}]'),
    Case(
        "an edit to nowhere",
        changed(APPLY, "none.json", "-"),
        "O->X does not exist; allowed: O->S or O->N",
        edit("one", "O", "X"),
    ),
    Case("unknown edge", changed(APPLY, "none.json", "-"), "no such edge", edit("tow", "O", "S")),
    Case("edge in another state", changed(APPLY, "none.json", "-"), "it is O, not S", edit("one", "S", "N")),
    Case("transition that does not exist", changed(APPLY, "none.json", "-"), "does not exist", edit("x->z", "S", "O")),
    Case("skip of another shape", changed(APPLY, "none.json", "-"), "no skip", edit("head", "O", "S")),
    Case("null that cuts the output off", changed(APPLY, "none.json", "-"), "illegal", edit("stem", "O", "N")),
    # The output.
    Case("output in no folder", changed(APPLY, "out.onnx", "nowhere/out.onnx"), "create it first"),
    Case("output in a file", changed(APPLY, "out.onnx", "data.npz/out.onnx"), "create it first"),
    Case("output is a folder", changed(APPLY, "out.onnx", "folder"), "it is a folder"),
    Case("output is the input", changed(APPLY, "out.onnx", "model.onnx"), "is the input model"),
    Case("output is a link to the input", (*changed(APPLY, "out.onnx", "link.onnx"), "--force"), "is the input model"),
    Case("output is another's file", changed(APPLY, "out.onnx", "data.npz"), "natonnx did not write it"),
    Case("output is another's model", changed(APPLY, "out.onnx", "fixed.onnx"), "natonnx did not write it"),
    Case("output is a pipe", (*changed(APPLY, "out.onnx", "pipe"), "--force"), "device or pipe"),
    Case("output is a long name", changed(APPLY, "out.onnx", LONG), "name too long"),
)


MORE = (
    Case("--target-madds 2", (*OPTIMIZE, "--target-madds", "2"), "must be above 0 and at most 1"),
    Case("model names a path", ("optimize", "names-path.onnx", "-o", "out.onnx"), "built-in set only"),
    Case("half a model, optimize", changed(OPTIMIZE, "model.onnx", "half.onnx"), "truncated"),
    Case("built-in data of other classes", changed(OPTIMIZE, "data.npz", "fashion-mnist"), "10 classes"),
    Case("empty folder of data", changed(OPTIMIZE, "data.npz", "folder"), "folder"),
    Case("damaged data", changed(OPTIMIZE, "data.npz", "half.npz"), "npz"),
    Case("data function that is not there", changed(OPTIMIZE, "data.npz", "functions:other"), "no attribute"),
    Case("data module that is not there", changed(OPTIMIZE, "data.npz", "nothing.here:f"), "No module named"),
    Case("data is a long name", changed(OPTIMIZE, "data.npz", LONG), "name too long"),
    Case("--mean is empty", (*OPTIMIZE, "--mean", ""), "--mean"),
    Case("--mean for three channels", (*OPTIMIZE, "--mean", "1,2,3"), "mean has 3 values"),
    Case("--std 0", (*OPTIMIZE, "--std", "0"), "std"),
    Case(
        "--target-madds is a word",
        (*OPTIMIZE, "--target-madds", "0.5,half"),
        "--target-madds half: must be above 0 and at most 1",
    ),
    Case("--target-madds, one of them 2", (*OPTIMIZE, "--target-madds", "0.5,2"), "must be above 0 and at most 1"),
    Case("several targets of Algorithm 1", (*OPTIMIZE, "--algorithm", "paper", "--target-madds", "0.5,0.6"), "several"),
    Case("--algorithm paper without training", (*OPTIMIZE, "--algorithm", "paper", "--no-training"), "no training is"),
    Case("--algorithm paper by a baseline", (*OPTIMIZE, "--algorithm", "paper", "--learner", "beam"), "'beam'"),
    Case("--algorithm unknown", (*OPTIMIZE, "--algorithm", "magic"), "'magic'"),
    Case("--front is a link to nothing", (*OPTIMIZE, "--front", "dangling"), "a link that leads nowhere"),
    Case("--front in a file", (*OPTIMIZE, "--front", "data.npz/front"), "is no folder"),
    Case("model is this folder, without an output", ("optimize", ".", "--data", "data.npz"), "is a folder"),
    Case("--html is a link to nothing", (*OPTIMIZE, "--html", "dangling"), "a link that leads nowhere"),
    Case("--lookups 0", (*OPTIMIZE, "--lookups", "0"), "look-ups 0"),
    Case("--finalists 0", (*OPTIMIZE, "--finalists", "0"), "finalists 0"),
    Case("--distillation 2", (*OPTIMIZE, "--distillation", "2"), "distillation 2"),
    Case("--finetune-learning-rate 0", (*OPTIMIZE, "--finetune-learning-rate", "0"), "learning rate 0.0"),
    Case("--pick is no number", (*APPLY, "--pick", "last"), "'last' is not a valid integer"),
    Case("--pick beyond the front", (*changed(APPLY, "none.json", "report.json"), "--pick", "2"), "has 1 models"),
    Case("--target-madds nan", (*OPTIMIZE, "--target-madds", "nan"), "must be above 0 and at most 1"),
    Case("--max-drop below 0", (*OPTIMIZE, "--max-drop", "-1"), "max drop"),
    Case(
        "--confidence in per cent", (*OPTIMIZE, "--confidence", "95"), "confidence 95.0 must be above 0.5 and below 1"
    ),
    Case("--confidence is a coin's", (*OPTIMIZE, "--confidence", "0.5"), "confidence 0.5 must be above 0.5"),
    Case("--confidence is none", (*OPTIMIZE, "--confidence", "nan"), "confidence nan must be above 0.5 and below 1"),
    Case("--confidence is no number", (*OPTIMIZE, "--confidence", "high"), "'high' is not a valid float"),
    Case("--epochs 0", (*OPTIMIZE, "--algorithm", "paper", "--epochs", "0"), "epochs 0"),
    Case("--epochs of the other algorithm", (*OPTIMIZE, "--epochs", "2"), "--epochs is for --algorithm paper"),
    Case("--lookups of the other one", (*OPTIMIZE, "--algorithm", "paper", "--lookups", "2"), "--algorithm refit"),
    Case("--seed below 0", (*OPTIMIZE, "--seed", "-1"), "--seed"),
    Case("--learner unknown", (*OPTIMIZE, "--learner", "oracle"), "'oracle'"),
    Case("--policy is no file", (*OPTIMIZE, "--policy", "nowhere.safetensors"), "nowhere.safetensors: cannot be read"),
    Case("--policy is damaged", (*OPTIMIZE, "--policy", "text.onnx"), "text.onnx: cannot be read"),
    Case("--policy is not shipped", (*OPTIMIZE, "--learner", "lstm", "--policy", "pretrained"), "none is shipped"),
    Case("output in no folder, optimize", changed(OPTIMIZE, "out.onnx", "nowhere/out.onnx"), "create it first"),
    Case("output is another's file, optimize", changed(OPTIMIZE, "out.onnx", "text.onnx"), "natonnx did not write it"),
    Case("--threads 0", (*OPTIMIZE, "--threads", "0"), "--threads"),
    Case("--threads without end", (*OPTIMIZE, "--threads", "99999999999999999999"), "--threads"),
    Case("--seed without end", (*OPTIMIZE, "--seed", "99999999999999999999"), "--seed"),
    Case("--scale 0", (*OPTIMIZE, "--scale", "0"), "scale"),
    Case("--time-budget 0", (*OPTIMIZE, "--time-budget", "0"), "time budget"),
    Case("--log-file in no folder", ("inspect", "model.onnx", "--log-file", "nowhere/run.log"), "create it first"),
    Case("--log-file is the model", ("inspect", "model.onnx", "--log-file", "model.onnx"), "choose another --log-file"),
    Case("--log-file is data", (*OPTIMIZE, "--log-file", "data.npz"), "natonnx did not write it"),
    Case("--log-file is a folder", (*APPLY, "--log-file", "folder"), "it is a folder"),
    Case("--log-file is a pipe", (*BENCH, "--log-file", "pipe"), "device or pipe"),
    Case("--verbose and --quiet", (*BENCH, "-v", "-q"), "exclude each other"),
    Case("--verbose and --quiet, check", (*CHECK, "-vv", "--quiet"), "exclude each other"),
    Case("no such command", ("optimise", "model.onnx"), "Did you mean 'optimize'"),
    Case("help of no command", ("help", "chek"), "Did you mean 'check'"),
    Case("option that is nearly one", ("inspect", "model.onnx", "--granularty", "layer"), "--granularity"),
    Case("option of another command", (*APPLY, "--epochs", "1"), "--epochs"),
    Case("option without a value", ("inspect", "model.onnx", "--html"), "--html"),
    Case("flag with a value", ("inspect", "model.onnx", "--json=yes"), "--json"),
    Case("no models", ("bench",), "MODELS"),
    Case("no baseline", ("check", "model.onnx", "--max-drop", "1"), "--baseline"),
    Case("no limit", ("check", "model.onnx", "--baseline", "model.onnx"), "no limit"),
    Case("baseline is text", (*changed(CHECK, "fixed.onnx", "text.onnx"),), "text.onnx: not an ONNX model"),
    Case("--max-madds-ratio 0", (*CHECK, "--max-madds-ratio", "0"), "--max-madds-ratio 0"),
    Case("--max-madds-ratio nan", (*CHECK, "--max-madds-ratio", "nan"), "--max-madds-ratio nan"),
    Case("--min-accuracy 88", (*CHECK, "--min-accuracy", "88"), "--min-accuracy 88"),
    Case("--max-drop 101", (*CHECK, "--max-drop", "101"), "--max-drop 101"),
    Case("--junit is the model", (*CHECK, "--junit", "model.onnx"), "model.onnx: is also the model"),
    Case("--markdown in no folder", (*CHECK, "--markdown", "nowhere/check.md"), "create it first"),
    Case("--data is no data, check", (*CHECK, "--max-drop", "1", "--data", "nothing"), "no such data"),
    Case("--seconds 0", (*BENCH, "--seconds", "0"), "seconds 0"),
    Case("--seconds inf", (*BENCH, "--seconds", "inf"), "seconds inf"),
    Case("--seconds is a word", (*BENCH, "--seconds", "ten"), "--seconds"),
    Case("--warm-up below 0", (*BENCH, "--warm-up", "-1"), "--warm-up"),
    Case("--batch 0", (*BENCH, "--batch", "0"), "--batch"),
    Case("--batch of a fixed model", ("bench", "fixed.onnx", "--batch", "2"), "--batch 2"),
    Case("--provider unknown", (*BENCH, "--provider", "abacus"), "--provider abacus"),
    Case("--csv and --json", (*BENCH, "--csv", "--json"), "exclude each other"),
    Case("a second model that is text", (*BENCH, "text.onnx"), "text.onnx: not an ONNX model"),
    Case("models of other inputs", (*BENCH, "integer.onnx"), "integer.onnx: its input"),
    Case("--include matches nothing", ("inspect", "model.onnx", "--include", "x*y"), "model.onnx: --include x*y"),
    Case("--exclude matches nothing", ("inspect", "model.onnx", "--exclude", "x*y"), "model.onnx: --exclude x*y"),
    Case("--freeze-outputs-of nothing", (*OPTIMIZE, "--freeze-outputs-of", "x*y"), "--freeze-outputs-of x*y"),
    Case("--window below 0", ("inspect", "model.onnx", "--window", "-1"), "--window"),
    Case("--granularity unknown", ("inspect", "model.onnx", "--granularity", "atom"), "'atom'"),
    Case("--html is the model", ("inspect", "model.onnx", "--html", "data.npz"), "natonnx did not write it"),
    Case("--html is the output", (*OPTIMIZE, "--html", "out.onnx"), "out.onnx: is also"),
    Case("--sync-navigation is the report", (*OPTIMIZE, "--html", "a", "--sync-navigation", "a"), "a: is also"),
    Case("--finetune-epochs below 0", (*OPTIMIZE, "--finetune-epochs", "-1"), "epochs -1"),
    Case("--reward unknown", (*OPTIMIZE, "--reward", "luck"), "'luck'"),
    Case("--time-budget nan", (*OPTIMIZE, "--time-budget", "nan"), "time budget nan"),
    Case("data function that exits", changed(OPTIMIZE, "data.npz", "functions:leaves"), "functions:leaves: failed"),
    Case("completion of no shell", ("completion",), "bash, zsh, fish"),
    Case("completion of another shell", ("completion", "csh"), "'csh'"),
    Case("--device cuda where there is none", (*OPTIMIZE, "--device", "cuda"), "--device cuda"),
)
"""Run in this process, which has torch loaded already."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, its data, and everything that is wrong with others."""
    path = tiny.fill(tmp_path_factory.mktemp("bad"))
    model, data = tiny.model_bytes(), tiny.data_bytes()
    arrays = tiny.arrays()
    (path / "folder").mkdir()
    os.mkfifo(path / "pipe")
    (path / "link.onnx").symlink_to("model.onnx")
    (path / "dangling").symlink_to("nowhere.onnx")
    (path / "none.json").write_text("[]", encoding="utf-8")
    (path / "functions.py").write_text(FUNCTIONS, encoding="utf-8")
    (path / "text.onnx").write_text("no model", encoding="utf-8")
    (path / "report.json").write_text('{"edits": [], "front": [{"edits": []}]}', encoding="utf-8")
    (path / "full").mkdir()
    (path / "full" / "note.txt").touch()
    (path / "empty.onnx").touch()
    (path / "half.onnx").write_bytes(model[: len(model) // 2])
    (path / "short.onnx").write_bytes(model[:-1])
    (path / "half.npz").write_bytes(data[: len(data) // 2])
    (path / "damaged.onnx.resume").write_bytes(data)
    onnx.save(tiny.model(natonnx_data="data.npz"), path / "names-path.onnx")
    onnx.save(tiny.model(natonnx_data="functions:marks"), path / "names-function.onnx")
    onnx.save(tiny.model(dtype=onnx.TensorProto.INT64), path / "integer.onnx")
    onnx.save(tiny.model(batch=1), path / "fixed.onnx")
    invalid = tiny.model()
    invalid.graph.node[0].op_type = "Unknown"
    onnx.save(invalid, path / "invalid.onnx")
    large = {key: np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 1))) if x.ndim == 4 else x for key, x in arrays.items()}
    np.savez(path / "large.npz", allow_pickle=False, **large)
    few = {key: value[:495] if key.endswith("train") else value for key, value in arrays.items()}
    np.savez(path / "few.npz", allow_pickle=False, **few)
    np.savez(path / "empty.npz", allow_pickle=False, **{key: x[:0] for key, x in arrays.items()})
    np.savez(path / "classes.npz", allow_pickle=False, **{**arrays, "y_train": arrays["y_train"] + 1})
    return path


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_refused_in_one_line(case: Case, folder: Path) -> None:
    before = tiny.snapshot(folder)
    code, stdout, stderr = tiny.natonnx(*case.arguments, cwd=folder, stdin=case.stdin)
    assert case.says in stderr
    assert len(stderr.splitlines()) == 1, stderr
    assert stderr.startswith("natonnx: error: ")
    assert stderr.endswith("\n")
    assert stdout == ""
    assert code == 2
    assert tiny.snapshot(folder) == before


@pytest.mark.parametrize("case", MORE, ids=lambda case: case.name)
def test_bad_input_is_refused_by_main(
    case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    before = tiny.snapshot(folder)
    with pytest.raises(SystemExit) as stopped:
        main(case.arguments)
    stdout, stderr = capfd.readouterr()
    assert case.says in stderr
    assert len(stderr.splitlines()) == 1, stderr
    assert stderr.startswith("natonnx: error: ")
    assert stdout == ""
    assert stopped.value.code == 2
    assert tiny.snapshot(folder) == before


FUZZED = (
    ("inspect", "{}"),
    ("inspect", "{}", "--granularity", "branch", "--free-batch", "-v"),
    ("apply", "{}", "none.json", "-o", "out.onnx"),
    ("apply", "model.onnx", "{}", "-o", "out.onnx"),
    ("bench", "model.onnx", "{}"),
    ("check", "{}", "--baseline", "model.onnx", "--max-params-ratio", "9"),
    ("optimize", "{}", "--data", "data.npz", "-o", "out.onnx"),
    ("optimize", "model.onnx", "--data", "{}.npz", "-o", "out.onnx"),
    ("optimize", "model.onnx", "--data", "data.npz", "-o", "out.onnx", "--policy", "{}"),
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Random bytes, or a model that was cut off, or in which some bytes are others."""
    model = tiny.model_bytes()
    if draw(st.booleans()):
        return draw(st.binary(max_size=200))
    broken = bytearray(model[: draw(st.integers(0, len(model) - 1))])
    for position in draw(st.lists(st.integers(0, max(0, len(broken) - 1)), max_size=8)):
        broken[position : position + 1] = draw(st.binary(max_size=3))
    return bytes(broken)


@given(content=damaged(), arguments=st.sampled_from(FUZZED))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_make_a_traceback(
    content: bytes, arguments: tuple[str, ...], folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "fuzz").mkdir(exist_ok=True)
    target = (
        folder / "fuzz" / ("fuzz.npz" if any(word.endswith(".npz") and "{" in word for word in arguments) else "fuzz")
    )
    target.write_bytes(content)
    words = [word.format(target.with_suffix("")) for word in arguments]
    with contextlib.chdir(folder), pytest.raises(SystemExit) as stopped:
        main(words)
    (folder / "out.onnx").unlink(missing_ok=True)
    _, stderr = capfd.readouterr()
    assert stopped.value.code in (0, 1, 2), stderr
    assert "Traceback" not in stderr
    if stopped.value.code == 2:
        assert [line.startswith("natonnx: error: ") for line in stderr.splitlines()][-1:] == [True]


VALUES = st.one_of(
    st.sampled_from(
        ["", "-", "--", "0", "-1", "1e400", "nan", "inf", "1,2", ":", "x:", "x:1", "*", "[", "\udcff", "/", "."]
    ),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8),  # no argument has NULs
    st.integers().map(str),
    st.floats().map(str),
)
OPTIONS = tuple(
    (name, option.opts[-1])
    for name, command in cli.commands.items()
    for option in command.params
    if isinstance(option, click.Option) and not option.is_flag and not option.count
)


@given(option=st.sampled_from(OPTIONS), value=VALUES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_value_of_an_option_makes_a_traceback(
    option: tuple[str, str],
    value: str,
    folder: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """On a model that is not there: what the options mean to a model is told elsewhere."""
    command, name = option
    required = {"apply": ["none.json"], "check": ["--baseline", "nothing.onnx"]}.get(command, [])
    work = folder / "work"
    work.mkdir(exist_ok=True)
    (work / "file").touch()
    given = "file" if command == "demo" else "nothing.onnx"  # else it makes a folder of that name
    with contextlib.chdir(work), pytest.raises(SystemExit) as stopped:
        main([command, given, *required, f"{name}={value}"])
    stdout, stderr = capfd.readouterr()
    caplog.clear()  # a name that is no text, in the log that pytest holds, would end the worker
    assert stopped.value.code == 2, stderr
    assert stdout == ""
    assert stderr.startswith("natonnx: error: ")
    assert len(stderr.splitlines()) == 1


def test_a_good_command_passes_where_the_bad_ones_fail(folder: Path, tmp_path: Path) -> None:
    """The cases differ from a command that works only in what they say is wrong."""
    code, stdout, _ = tiny.natonnx(*changed(APPLY, "out.onnx", str(tmp_path / "out.onnx")), cwd=folder)
    assert (code, stdout) == (0, "")
    assert (tmp_path / "out.onnx").read_bytes() == (folder / "model.onnx").read_bytes()
