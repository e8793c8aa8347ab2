"""Measure models in onnxruntime."""

from natonnx.bench.inputs import check_inputs, random_inputs
from natonnx.bench.interval import CONFIDENCE, Interval, level_interval, quotient, ratio_interval
from natonnx.bench.latency import WARM_UP, Clock, Timings, latencies_ms, rough_ratio
from natonnx.bench.memory import peak_memory
from natonnx.bench.profile import OperatorTime, profile
from natonnx.bench.provider import CPU, find_provider, open_saying, provider_used, why_not

__all__ = [
    "CONFIDENCE",
    "CPU",
    "WARM_UP",
    "Clock",
    "Interval",
    "OperatorTime",
    "Timings",
    "check_inputs",
    "find_provider",
    "latencies_ms",
    "level_interval",
    "open_saying",
    "peak_memory",
    "profile",
    "provider_used",
    "quotient",
    "random_inputs",
    "ratio_interval",
    "rough_ratio",
    "why_not",
]
