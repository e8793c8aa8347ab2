"""`apply --weights`: a state of tensors into a model file."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from natonnx.architecture import Edit
from natonnx.errors import InputError
from natonnx.files import check_regular
from natonnx.frontend import ParseOptions
from natonnx.rewrite import Check
from natonnx.rewrite.write import default_output
from natonnx.verbs.torch_module import from_torch, to_torch

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["load_weights"]

_NO_STATE = "holds no plain tensors by name; save module.state_dict()"
_WRAPPERS = ("module.", "_orig_mod.")
"""What DistributedDataParallel and torch.compile put before every key."""


def load_weights(
    model: Path,
    state: Path,
    edits: Iterable[Edit] = (),
    output: Path | None = None,
    *,
    force: bool = False,
    reading: ParseOptions | None = None,
) -> tuple[Path, list[Check]]:
    """Write a model with other weights.

    Args:
        model: The model.
        state: Tensors by name, in a .safetensors file, or as `torch.save` writes a `state_dict`: names as `to_torch`
            gives them, or the file's own. All that the module's state has must be there, and nothing else.
        edits: What to change first; the state is then that of the edited model.
        output: Where to write; `default_output` where None.
        force: Overwrite a file that natonnx did not write.
        reading: See `load`.

    Returns:
        Where the result is, and the checks that it passed.

    Raises:
        InputError: If the model, the state or the output path is bad.
        VerificationError: If the result failed a check; nothing is written then.
    """
    tensors = _read(state)
    module = to_torch(model, edits, reading=reading)
    own = module.state_dict()
    keys = {name: key for key, name in module.onnx_names.items() if name not in own}
    given = {keys.get(name, name): value for name, value in tensors.items()}
    counts = {key for key in own if key.endswith(".num_batches_tracked")}
    if missing := sorted(own.keys() - given.keys() - counts):
        raise InputError(f"{state}: has no tensor {missing[0]!r}, one of {len(missing)} that {model} needs")
    if more := sorted(given.keys() - own.keys()):
        raise InputError(f"{state}: has a tensor {more[0]!r}, which {model} does not know")
    for key, value in given.items():
        if value.shape != own[key].shape:
            shapes = f"{list(value.shape)}, that of {model} {list(own[key].shape)}"
            raise InputError(f"{state}: the shape of {key!r} is {shapes}; write pruned modules by natonnx.from_torch")
    module.load_state_dict(given, strict=False)
    return from_torch(module, output or default_output(Path(model)), force=force)


def _read(path: Path) -> Mapping[str, "Tensor"]:
    """Read tensors by name; nothing in the file is run.

    Raises:
        InputError: If there are none.
    """
    from pickle import UnpicklingError

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    odd = (SafetensorError, UnpicklingError, ValueError, RuntimeError, EOFError, LookupError)
    try:
        check_regular(path)
        found = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); give a file of tensors") from None
    except odd:
        raise InputError(f"{path}: {_NO_STATE}") from None
    if not isinstance(found, Mapping) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise InputError(f"{path}: {_NO_STATE}")
    for prefix in _WRAPPERS:
        if found and all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): value for name, value in found.items()}
    return found
