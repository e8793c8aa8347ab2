"""Check natonnx against what others made: ONNX's cases, the paper's tables, models from elsewhere."""
