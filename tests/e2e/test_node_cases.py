"""No valid model is refused: every official ONNX node case, of any operator, type and domain, goes through."""

from pathlib import Path

import onnx
import pytest

from natonnx import apply, inspect
from natonnx.errors import NatonnxError
from tools.conformance.replays import node_cases

FEWEST = 1800


@pytest.mark.slow
def test_every_node_case_is_inspected_and_copied_bit_for_bit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, output = tmp_path / "model.onnx", tmp_path / "copy.onnx"
    refused: dict[str, str] = {}
    count = 0
    for name, model in node_cases():
        count += 1
        onnx.save(model, path)
        try:
            inspect(path)
            apply(path, [], output, force=True)
        except NatonnxError as error:
            refused[name] = str(error)
            continue
        assert output.read_bytes() == path.read_bytes()
    with capsys.disabled():
        print(f"\n{count} models, {len(refused)} refused")  # noqa: T201
    assert count >= FEWEST
    assert not refused
