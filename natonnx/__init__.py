"""natonnx."""
