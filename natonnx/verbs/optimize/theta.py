"""Write the policy's weights as the search left them: what `--policy FILE` starts another search from."""

import logging
from pathlib import Path

from natonnx.errors import InputError
from natonnx.frontend import Source
from natonnx.notices import NOTICE
from natonnx.policy import is_learner
from natonnx.policy.pretrained import FORMAT, save_policy
from natonnx.policy.registry import policy_class
from natonnx.report.place import check_place
from natonnx.search import Outcome, Settings

__all__ = ["check_policy", "write_policy"]

_log = logging.getLogger(__name__)


def check_policy(path: Path, settings: Settings, *others: Path) -> None:
    """Refuse, before long work starts, to save a policy where there will be none, or where it may not be written.

    Args:
        path: Where it should go.
        settings: Of the search.
        others: Paths that are read or written beside it.

    Raises:
        InputError: If the learner learns nothing, or the file is one of the others or no policy of natonnx.
    """
    if not is_learner(settings.learner) or not policy_class(settings.learner).learns:
        raise InputError(f"--save-policy {path}: the learner {settings.learner} learns nothing; leave it out")
    check_place(path, others, FORMAT, "--save-policy")


def write_policy(path: Path, outcome: Outcome, settings: Settings, source: Source) -> None:
    """Write θ, atomically; nothing where nothing was searched."""
    if outcome.policy is None:
        _log.log(NOTICE, "%s: not written, for nothing was searched", path)
        return
    note = f"{source.path.name}, algorithm {settings.algorithm}, seed {settings.seed}"
    save_policy(outcome.policy.state_dict(), settings.learner, path, note)
    _log.info("policy: %s", path)
