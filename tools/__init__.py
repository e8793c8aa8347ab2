"""What surrounds natonnx and is no part of the package: run each as `python -m tools.DRAWER.NAME`.

`upkeep` keeps the repository in order, `conformance` checks natonnx against what others made, `benchmarks` measures it,
`research` holds the paper's networks and NAS-Bench-201, `ci` what runs in users' pipelines.
"""
