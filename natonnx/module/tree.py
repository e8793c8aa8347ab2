"""Where modules and tensors stand in a tree of modules: under their ONNX names, as far as torch takes those."""

from collections.abc import Iterator

from torch import Tensor, nn

__all__ = ["Path", "descend", "path_of", "put_module", "put_tensor"]

Path = tuple[str, ...]
"""Names of modules from the root on, and of what is in the last one."""


def put_module(root: nn.Module, path: Path, module: nn.Module) -> Path:
    """Put a module at a path, or near it where that is taken; return where it is."""
    found = next(one for one in _candidates(path) if _is_free(root, one, within_layers=False))
    _holder(root, found).add_module(found[-1], module)
    return found


def put_tensor(root: nn.Module, path: Path, value: Tensor, *, kept: bool = True) -> Path:
    """Put a tensor at a path, or near it where that is taken; return where it is.

    Args:
        root: The root of the tree.
        path: Where it should be.
        value: An `nn.Parameter`, or what becomes a buffer.
        kept: Whether a buffer is part of the state.
    """
    found = next(one for one in _candidates(path) if _is_free(root, one, within_layers=True))
    holder = _holder(root, found)
    if isinstance(value, nn.Parameter):
        holder.register_parameter(found[-1], value)
    else:
        holder.register_buffer(found[-1], value, persistent=kept)
    return found


def _candidates(path: Path) -> Iterator[Path]:
    """The path itself, then names of the root's own."""
    yield path
    flat, count = "_".join(path), 0
    while True:
        count += 1
        yield (f"{flat}_{count}",)


def _is_free(root: nn.Module, path: Path, *, within_layers: bool) -> bool:
    """Whether something can be put at a path; within a layer only a tensor, for tools replace layers."""
    at = root
    for part in path[:-1]:
        child = at._modules.get(part)  # noqa: SLF001 - what `get_submodule` walks along, without its error
        if child is None:
            return not hasattr(at, part) and not any(hasattr(nn.Module(), other) for other in path)
        if type(child) is not nn.Module and not within_layers:
            return False
        at = child
    return not hasattr(at, path[-1])


def _holder(root: nn.Module, path: Path) -> nn.Module:
    """The module that is to hold what is put at a path, made where it is not there."""
    for part in path[:-1]:
        if part not in root._modules:  # noqa: SLF001
            root.add_module(part, nn.Module())
        root = descend(root, (part,))
    return root


def path_of(name: str) -> Path:
    """Return the path that a name means: its parts between dots and slashes, empty ones left out.

    What an exporter repeats of a parent is said once: `/layer1/layer1.0/conv1` is layer1.0.conv1.
    """
    parts: list[str] = []
    before = ""
    for part in filter(None, name.split("/")):
        own = part.removeprefix(f"{before}.") if before else part
        parts += filter(None, own.split("."))
        before = part
    return tuple(parts) or ("_",)


def descend(root: nn.Module, path: Path) -> nn.Module:
    """Return the module at a path: what is there now.

    Raises:
        KeyError: If there is none.
    """
    for part in path:
        found = root._modules[part]  # noqa: SLF001
        assert found is not None
        root = found
    return root
