"""All that one GPU can tell of natonnx, in under ten minutes."""
