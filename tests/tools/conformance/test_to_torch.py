"""The comparison of converters, without the other one."""

from pathlib import Path

from click.testing import CliRunner

from tools.conformance.to_torch import main


def test_a_row_of_a_model(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--models", "torch/lstm/script-17", "--cache", str(tmp_path), "--cases", "400"])
    assert done.exit_code == 0, done.output
    *_, official, lstm = done.stdout.splitlines()
    assert official.split(" | ")[:2] == ["| official cases", "5"]
    assert lstm == "| torch/lstm/script | 1 | 1 | – | 100% | – |"
