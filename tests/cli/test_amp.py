"""--amp bf16 on the command line."""

from pathlib import Path

import onnx

from tests.cli import tiny
from tests.cli.test_terminal import COMMANDS


def test_what_was_trained_in_bfloat16_is_verified_and_written_in_single_precision(folder: Path) -> None:
    code, _, stderr = tiny.natonnx(*COMMANDS["optimize"], "--amp", "bf16", "-v", cwd=folder)
    assert code == 0, stderr
    assert "training steps run in bfloat16" in stderr
    assert "check round trip without edits: passed" in stderr
    written = onnx.load(folder / "model.nat.onnx")
    assert {tensor.data_type for tensor in written.graph.initializer} <= {
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.INT64,
    }


def test_without_training_it_says_that_it_means_nothing(folder: Path) -> None:
    code, _, stderr = tiny.natonnx(*COMMANDS["optimize"], "--amp", "bf16", "--no-training", cwd=folder)
    assert code == 2
    assert "amp bf16 is for training: leave it out, or --no-training" in stderr
