"""Measure models in onnxruntime."""

from natonnx.bench.inputs import check_inputs, random_inputs
from natonnx.bench.interval import CONFIDENCE, Interval, ratio_interval
from natonnx.bench.latency import WARM_UP, Clock, Timings, clock_of, latencies_ms, rough_ratio
from natonnx.bench.memory import peak_memory
from natonnx.bench.profile import OperatorTime, profile
from natonnx.bench.provider import find_provider, provider_used

__all__ = [
    "CONFIDENCE",
    "WARM_UP",
    "Clock",
    "Interval",
    "OperatorTime",
    "Timings",
    "check_inputs",
    "clock_of",
    "find_provider",
    "latencies_ms",
    "peak_memory",
    "profile",
    "provider_used",
    "random_inputs",
    "ratio_interval",
    "rough_ratio",
]
