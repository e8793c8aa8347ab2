"""α and weights → ONNX: graph-surgeon edits, what must be preserved, verification."""

from natonnx.rewrite.build import build
from natonnx.rewrite.outputs import References
from natonnx.rewrite.provenance import add_provenance
from natonnx.rewrite.verify import Check, require, verify

__all__ = ["Check", "References", "add_provenance", "build", "require", "verify"]
