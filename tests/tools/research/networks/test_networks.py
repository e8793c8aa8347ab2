"""The paper's networks: what the tool lists and exports, and what it says to bad input."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file

from natonnx.session import run, session
from tests.cli import tiny
from tools.conformance.paper.published import ROWS
from tools.research.networks.__main__ import cli
from tools.research.networks.building import Options, build
from tools.research.networks.catalog import CATALOG

NARROW = ("--channels", "4", "--cells", "3", "--size", "16")


def networks(*arguments: str) -> None:
    cli(list(arguments), standalone_mode=False)


def test_every_row_of_the_tables_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    networks("list")
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert set(lines) >= {row.name for row in ROWS} | {f"R{i}" for i in range(1, 6)}
    assert all(state in {"cifar", "imagenet", "cifar, imagenet"} or "not built: " in state for state in lines.values())
    built = [row for row in ROWS if not CATALOG[row.name].reason]
    assert all(row.variant in lines[row.name] for row in built)


@pytest.mark.parametrize("keep_norm", [False, True], ids=["folded", "bn"])
@pytest.mark.parametrize(("variant", "weights"), [("cifar", "w.safetensors"), ("imagenet", "w.pt")])
def test_an_export_computes_what_torch_does(tmp_path: Path, variant: str, weights: str, *, keep_norm: bool) -> None:
    architecture, size = CATALOG["ENAS"], 16 if variant == "cifar" else 64
    torch.manual_seed(1)
    model = build(architecture, "cifar" if variant == "cifar" else "imagenet", Options(channels=4, cells=3)).eval()
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    torch.save(model.state_dict(), tmp_path / "w.pt")
    image = np.random.default_rng(0).standard_normal((3, 3, size, size), np.float32)
    with torch.no_grad():
        expected = model(torch.from_numpy(image)).numpy()
    path = tmp_path / "enas.onnx"
    options = [*NARROW[:4], "--size", str(size), "--weights", str(tmp_path / weights), "--opset", "18"]
    networks("export", "enas", "-o", str(path), "--variant", variant, *options, *(["--keep-bn"] if keep_norm else []))
    proto = onnx.load(path)
    assert proto.opset_import[0].version == 18
    found = run(session(proto), {"x0": image})["y"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    kept = sum(node.op_type == "BatchNormalization" for node in proto.graph.node)
    assert kept > 20 if keep_norm else kept < 5  # those behind a concat cannot be folded


def test_seeds_repeat(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.onnx" for i in range(3)]
    for path, seed in zip(paths, ("0", "0", "1"), strict=True):
        networks("export", "DARTS", "-o", str(path), *NARROW, "--seed", seed)
    first, second, third = (path.read_bytes() for path in paths)
    assert first == second != third


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["export", "ResNet-1000", "-o", "x.onnx"], "error: ResNet-1000: no architecture is called so"),
        (["export", "GHN", "-o", "x.onnx"], "error: GHN: it cannot be built: no genotype of it was found"),
        (
            ["export", "ResNet-18", "-o", "x.onnx", "--variant", "cifar"],
            "error: ResNet-18: the paper has it for",
        ),
        (["export", "VGG16", "-o", "x.onnx", "--channels", "4"], "error: VGG16: only networks of cells have another"),
        (["export", "VGG16", "-o", "x.onnx", "--size", "64"], "error: VGG16: it takes images of 32 only"),
        (["export", "DARTS", "-o", "x.onnx", "--size", "30"], "error: DARTS: size 30 cannot be halved often enough"),
        (["export", "VGG16", "-o", "x.onnx", "--free-skips"], "error: VGG16: only networks of cells have another"),
        (["export", "DARTS", "-o", "nowhere/x.onnx"], "error: nowhere/x.onnx: cannot be written"),
        (["export", "DARTS", "-o", "x.onnx", "--weights", "none.pt", *NARROW], "error: none.pt: cannot be read"),
        (["export", "DARTS", "-o", "x.onnx", "--weights", "text.pt", *NARROW], "error: text.pt: no state_dict"),
        (["export", "DARTS", "-o", "x.onnx", "--weights", "bytes.pt", *NARROW], "error: bytes.pt: no state_dict"),
        (["export", "DARTS", "-o", "x.onnx", "--weights", "text.safetensors", *NARROW], "error: text.safetensors: no"),
        (["export", "DARTS", "-o", "x.onnx", "--weights", "other.pt", *NARROW], "error: other.pt: not the weights of"),
        (["export", "DARTS", "-o", "x.onnx", "--weights", "list.pt", *NARROW], "error: list.pt: not the weights of"),
        (["edits", "NAT-DARTS", "none.onnx"], "error: none.onnx:"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, arguments: list[str], says: str) -> None:
    (tmp_path / "text.pt").write_text("no weights")
    (tmp_path / "text.safetensors").write_text("no weights")
    (tmp_path / "bytes.pt").write_bytes(b"X\x01")  # cut off in an opcode: struct.error
    torch.save({"stem.weight": torch.zeros(1)}, tmp_path / "other.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    done = tiny.program("tools.research.networks", *arguments, cwd=tmp_path)
    assert done.code == 2, done.stderr
    assert done.stderr.startswith(says)
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert not (tmp_path / "x.onnx").exists()
