"""Checks of docs/torch.md, and of what docs/commands.md says of it."""

from tools.upkeep.check_readme.check import Check
from tools.upkeep.check_readme.compare import rows, says, writes

__all__ = ["TORCH_CHECKS"]

_STATE = (
    'python -c "import natonnx, torch; from safetensors.torch import save_file;'
    " save_file(natonnx.to_torch('small.onnx').state_dict(), 'state.safetensors')\""
)

TORCH_CHECKS: tuple[Check, ...] = (
    *(
        Check(f"python: # {name}.py", 0, "", never="tests/module/test_recipes.py runs it")
        for name in ("scratch", "distil", "prune")
    ),
    Check(
        "natonnx apply model.onnx --torch module.pt",
        4,
        "the module is there",
        writes("module.pt"),
        budget="-o applied.onnx --force",
        first=("cp small.onnx model.onnx",),
    ),
    Check(
        "natonnx apply model.onnx --weights state.safetensors -o new.onnx",
        6,
        "the file, verified",
        says("^onnxruntime equals the module", "^new.onnx: 0 edits, the weights of state.safetensors"),
        budget="--force",
        first=("cp small.onnx model.onnx", _STATE),
    ),
    Check(
        "python3 -m venv peers && peers/bin/pip install onnx2torch",
        0,
        "",
        skip="installs what natonnx is compared with",
        minutes=5,
    ),
    Check(
        "python -m tools.conformance.to_torch --other peers/bin/python --cases 1",
        0,
        "columns, models, and what to_torch converts",
        rows(["models"], header=True, exact={"to_torch": lambda row: row["to_torch"]}),
        skip="it takes an environment with onnx2torch; tests/tools runs the half without",
        minutes=10,
    ),
)
