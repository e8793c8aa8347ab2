"""`natonnx apply --weights` and `--torch`: tensors into a file, and out of it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from safetensors.torch import save_file

import natonnx
from natonnx import Edit, InputError, State
from natonnx.contract.apply import ApplyReport
from natonnx.verbs.load_weights import load_weights
from tests.cli import tiny
from tests.contract.conforms import require_payload


def doubled(path: Path) -> dict[str, torch.Tensor]:
    return {key: 2 * value for key, value in natonnx.to_torch(path).state_dict().items()}


def arrays(path: Path) -> dict[str, Any]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


@pytest.mark.parametrize("kind", ["state.safetensors", "state.pt"])
def test_tensors_go_into_the_file(folder: Path, kind: str) -> None:
    state = doubled(folder / "model.onnx")
    (save_file if kind == "state.safetensors" else torch.save)(state, folder / kind)
    code, stdout, stderr = tiny.natonnx("apply", "model.onnx", "--weights", kind, "-o", "out.onnx", cwd=folder)
    assert (code, stdout) == (0, "")
    assert stderr.splitlines()[-1] == f"out.onnx: 0 edits, the weights of {kind}"
    before, after = arrays(folder / "model.onnx"), arrays(folder / "out.onnx")
    assert all(np.array_equal(after[name], 2 * value) for name, value in before.items() if value.dtype == np.float32)


def test_apply_writes_a_module_that_goes_back(folder: Path) -> None:
    (folder / "edits.json").write_text('[{"edge": "one", "from": "O", "to": "S"}]', encoding="utf-8")
    given = ("apply", "model.onnx", "edits.json", "-o", "out.onnx", "--torch", "out.pt")
    assert tiny.natonnx(*given, cwd=folder).code == 0
    module = torch.load(folder / "out.pt", weights_only=False)
    natonnx.from_torch(module, folder / "again.onnx")
    before, after = arrays(folder / "out.onnx"), arrays(folder / "again.onnx")
    assert before.keys() == after.keys()
    assert all(np.array_equal(value, after[name]) for name, value in before.items())
    code, _, stderr = tiny.natonnx(*given, cwd=folder)
    assert code == 2
    assert "out.pt: exists" in stderr


def test_names_of_the_file_and_of_wrappers_do_too(folder: Path) -> None:
    model, state = folder / "model.onnx", doubled(folder / "model.onnx")
    names = natonnx.to_torch(model).onnx_names
    for i, keys in enumerate(({key: names.get(key, key) for key in state}, {key: f"module.{key}" for key in state})):
        torch.save({keys[key]: value for key, value in state.items()}, folder / "state.pt")
        path, checks = load_weights(model, folder / "state.pt", (), folder / f"{i}.onnx")
        assert all(check.passed for check in checks)
        assert all(np.array_equal(array, 2 * arrays(model)[name]) for name, array in arrays(path).items() if array.ndim)


def test_what_does_not_fit_is_refused(folder: Path) -> None:
    model, state = folder / "model.onnx", doubled(folder / "model.onnx")
    first = next(iter(state))
    for given, says in (
        ({key: value for key, value in state.items() if key != first}, f"has no tensor '{first}'"),
        (state | {"more": torch.zeros(1)}, "has a tensor 'more'"),
        (state | {first: torch.zeros(1)}, "the shape of"),
        ([1, 2], "no plain tensors"),
        (natonnx.to_torch(model), "no plain tensors"),
    ):
        torch.save(given, folder / "state.pt")
        with pytest.raises(InputError, match=says):
            load_weights(model, folder / "state.pt", (), folder / "out.onnx")
    (folder / "odd.safetensors").write_bytes(b"x")
    for name, says in (("odd.safetensors", "no plain tensors"), ("none.pt", "cannot be read")):
        with pytest.raises(InputError, match=says):
            load_weights(model, folder / name, (), folder / "out.onnx")
    assert not (folder / "out.onnx").exists()


def test_edits_and_weights_with_json(folder: Path) -> None:
    edits = [Edit("one", State.O, State.S)]
    (folder / "edits.json").write_text('[{"edge": "one", "from": "O", "to": "S"}]', encoding="utf-8")
    torch.save(natonnx.to_torch(folder / "model.onnx", edits).state_dict(), folder / "state.pt")
    given = ("apply", "model.onnx", "edits.json", "--weights", "state.pt", "--json")
    code, stdout, _ = tiny.natonnx(*given, cwd=folder)
    assert code == 0
    payload = json.loads(stdout)
    require_payload(payload, ApplyReport)
    assert (payload["output"], payload["edits"]) == ("model.nat.onnx", 1)


def test_edits_weights_or_a_module_are_asked_for(folder: Path) -> None:
    code, _, stderr = tiny.natonnx("apply", "model.onnx", cwd=folder)
    assert code == 2
    assert "EDITS" in stderr
