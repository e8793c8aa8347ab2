"""A program: load a model and run it once, and print the peak memory of its process in bytes, or nothing.

It is run by its path, so that it imports onnxruntime and numpy and nothing of natonnx:
``python -P fresh.py MODEL INPUTS.npz THREADS PROVIDER``.
"""

import sys
from contextlib import suppress
from pathlib import Path


def main(model: str, inputs: str, threads: str, provider: str) -> None:
    """Load, run, print."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(threads)
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    providers = list(dict.fromkeys([provider, "CPUExecutionProvider"]))
    runtime = onnxruntime.InferenceSession(model, options, providers=providers)
    with np.load(inputs, allow_pickle=False) as arrays:
        positions = range(len(arrays.files))
        fed = {str(arrays[f"name{i}"]): arrays[f"value{i}"] for i in positions if f"name{i}" in arrays.files}
    runtime.run(None, fed)
    sys.stdout.write(f"\n{peak_bytes()}")


def peak_bytes() -> int | str:
    """Largest resident set of this process; "" where the system does not tell.

    On Linux not `resource.getrusage`: its ru_maxrss starts from that of the process that made this one, so that a child
    of a large program looks as large.
    """
    with suppress(OSError):
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        lines = dict(line.split(":", 1) for line in status.splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024 if "VmHWM" in lines else ""
    peak: int | str = ""
    if sys.platform != "win32":
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return peak


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as error:  # onnxruntime's own share no base; the caller shows the line
        sys.exit(next((line for line in str(error).splitlines() if line.strip()), type(error).__name__))
