"""A mapping file for Model Explorer, which shows two models side by side and lets the selection follow.

The format is that of `SyncNavigationData` in google-ai-edge/model-explorer
(src/ui/src/components/visualizer/common/sync_navigation.ts); ids of nodes are their names, as the ONNX adapter of
justinchuby/model-explorer-onnx gives them.
"""

from pathlib import Path
from typing import Any

import onnx

from natonnx.report.place import check_place

__all__ = ["check_sync_navigation", "sync_navigation"]

_TYPE = "sync_navigation"


def sync_navigation(before: onnx.ModelProto, after: onnx.ModelProto) -> dict[str, Any]:
    """Map every named node of a model to the node of another that makes the same tensor.

    A node whose tensors nobody makes any more is mapped to its own name, which is missing there, so that Model Explorer
    marks it as deleted.

    Args:
        before: The model of the left pane.
        after: The model of the right pane.
    """
    makers = {tensor: node.name for node in after.graph.node for tensor in node.output if tensor and node.name}
    mapping: dict[str, str] = {}
    for node in before.graph.node:
        if node.name:
            mapping[node.name] = next((makers[tensor] for tensor in node.output if tensor in makers), node.name)
    return {"type": _TYPE, "mapping": mapping, "showDiffHighlights": True}


def check_sync_navigation(path: Path, *others: Path) -> None:
    """Refuse, before long work starts, a path where the mapping may not be written; see `check_place`.

    Raises:
        InputError: If it may not.
    """
    check_place(path, others, f'"type": "{_TYPE}"', "--sync-navigation")
