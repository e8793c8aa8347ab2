"""Scripts around natonnx: they train, measure and check; none of them is part of the package."""
