"""Algorithm 1 of the paper, for a given trained model: a supernet, a policy that learns from it, finalists."""

from natonnx.search.paper.run import search_by_algorithm_1

__all__ = ["search_by_algorithm_1"]
