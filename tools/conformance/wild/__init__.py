"""Models that we did not write, and the checks that natonnx must pass on them: `python -m tools.conformance.wild`."""
