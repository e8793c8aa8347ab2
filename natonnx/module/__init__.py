"""One architecture as a plain torch module, its tensors under their ONNX names, and the file out of it again."""

from natonnx.module.convert import convert
from natonnx.module.module import OnnxModule, Origin
from natonnx.module.rebuild import build, verify

__all__ = ["OnnxModule", "Origin", "build", "convert", "verify"]
