"""Where θ starts: anew, from weights that natonnx ships, or from a file."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import safetensors
from safetensors.torch import save
from torch import Tensor

from natonnx.errors import InputError
from natonnx.files import check_regular, write_bytes
from natonnx.policy.base import Policy
from natonnx.policy.encode import FEATURES

__all__ = ["FORMAT", "load_policy", "save_policy"]

FORMAT = "natonnx policy 1"
"""What the metadata of such a file says."""


def load_policy(policy: Policy, learner: str, source: str) -> None:
    """Give a policy the θ that it starts from.

    Args:
        policy: An untrained policy.
        learner: Its name.
        source: "scratch" (it stays as it is), "pretrained" (what natonnx ships for the learner), or a file that
            `save_policy` wrote.

    Raises:
        InputError: If natonnx ships nothing for the learner, or the file is missing, damaged or another learner's.
    """
    if source == "scratch":
        return
    if source != "pretrained":
        _load(policy, learner, Path(source))
        return
    shipped = resources.files("natonnx.policy") / "weights" / f"{learner}.safetensors"
    with resources.as_file(shipped) as path:
        if not path.exists():
            raise InputError(f"--policy pretrained: none is shipped for {learner!r}; choose scratch or a file")
        _load(policy, learner, path)


def save_policy(weights: Mapping[str, Tensor], learner: str, path: Path, note: str) -> None:
    """Write θ, atomically.

    Args:
        weights: Of the policy, by name.
        learner: Its name.
        path: Where.
        note: How it was made, in a line.
    """
    metadata = {"format": FORMAT, "learner": learner, "features": str(FEATURES), "note": note}
    write_bytes(path, save({name: value.contiguous() for name, value in weights.items()}, metadata))


def _load(policy: Policy, learner: str, path: Path) -> None:
    try:
        check_regular(path)
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"--policy {path}: cannot be read ({error}); give a file that natonnx saved") from None
    if metadata.get("format") != FORMAT:
        raise InputError(f"--policy {path}: no policy of this version of natonnx; give a file that it saved")
    if metadata.get("learner") != learner:
        raise InputError(
            f"--policy {path}: is of the learner {metadata.get('learner')!r}, not {learner!r}; give "
            "one of the two another"
        )
    own = {name: value.shape for name, value in policy.state_dict().items()}
    if own != {name: value.shape for name, value in weights.items()}:
        raise InputError(f"--policy {path}: its weights have other names or shapes than the learner's; train it anew")
    policy.load_state_dict(weights)
