"""Measure models in onnxruntime."""

from natonnx.bench.latency import latencies_ms

__all__ = ["latencies_ms"]
