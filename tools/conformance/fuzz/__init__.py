"""Mutated models, each read and edited under limits: what natonnx says of it, and that it neither fails nor hangs."""
