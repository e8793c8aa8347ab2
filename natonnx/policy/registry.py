"""Learners by name: ours, imported when they are asked for, and the user's own."""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from natonnx.errors import InputError, running
from natonnx.importing import import_named, is_named

if TYPE_CHECKING:
    from natonnx.policy.base import Policy

__all__ = ["LEARNERS", "is_learner", "make_policy", "policy_class", "register_learner"]

_Class = TypeVar("_Class", bound="type[Policy]")
_MODULES = {"gcn-directed": "directed", "gcn": "gcn", "gcn-max": "gcn", "lstm": "lstm", "random": "random_search"}
"""Where each of ours is registered, the default first."""
LEARNERS = tuple(_MODULES)
"""Policies of natonnx's own."""
_CLASSES: "dict[str, type[Policy]]" = {}


def register_learner(name: str) -> Callable[[_Class], _Class]:
    """Register a subclass of `Policy` as a learner of this name, as a decorator.

    It is made with `edits` and `seed` by name; see `Policy`. A name that is registered twice means the class that came
    last, so that a module may be reloaded; those of natonnx are taken.

    Raises:
        InputError: If the name is one of natonnx's own, or reads like `package.module:name`.
    """
    if is_named(name):
        raise InputError(f"learner {name!r}: reads like package.module:name, which needs no registration")

    def register(cls: _Class) -> _Class:
        if name in _MODULES and cls.__module__ != f"natonnx.policy.{_MODULES[name]}":
            raise InputError(f"learner {name!r}: is one of natonnx's own; choose another name")
        _CLASSES[name] = cls
        return cls

    return register


def is_learner(name: str) -> bool:
    """Tell whether a name is that of a policy, or reads like `package.module:name`; nothing is imported."""
    return name in _MODULES or name in _CLASSES or is_named(name)


def policy_class(learner: str) -> "type[Policy]":
    """Return the class of a learner.

    Args:
        learner: A name that is registered, or `package.module:name` of a class.

    Raises:
        InputError: If there is no such learner, or it is no subclass of `Policy`.
    """
    if learner in _MODULES:
        import_module(f"natonnx.policy.{_MODULES[learner]}")
    if learner in _CLASSES:
        return _CLASSES[learner]
    if not is_named(learner):
        known = ", ".join(dict.fromkeys([*_MODULES, *_CLASSES]))
        raise InputError(f"unknown learner {learner!r}: choose one of {known}, or package.module:name of your own")
    from natonnx.policy.base import Policy

    found = import_named(learner, "--learner")
    if not (isinstance(found, type) and issubclass(found, Policy)):
        raise InputError(f"--learner {learner}: is no subclass of natonnx.policy.Policy")
    return found


def make_policy(learner: str, *, edits: float = 3.0, seed: int = 0, **options: Any) -> "Policy":
    """Make an untrained policy.

    Args:
        learner: A name that is registered, or `package.module:name` of a subclass of `Policy`.
        edits: How many edges the first α's change on average.
        seed: Of the initial weights.
        options: Of the learner's own, such as its width; see its class.

    Raises:
        InputError: If there is no such learner, or it cannot be made so.
    """
    cls = policy_class(learner)
    try:
        with running(learner):
            return cls(edits=edits, seed=seed, **options)  # type: ignore[call-arg]
    except TypeError as error:
        raise InputError(f"--learner {learner}: cannot be made with edits and seed by name ({error})") from error
