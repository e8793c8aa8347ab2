"""Measure natonnx: its learners, its speed, and its own measurements."""
