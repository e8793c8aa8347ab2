"""The checks of blocks of Python; see `checks`. Most of them are parts of something, which a test puts together."""

from tools.upkeep.check_readme.check import Check

__all__ = ["PYTHON_CHECKS"]

PYTHON_CHECKS: tuple[Check, ...] = (
    # docs/python.md, and the README's example
    Check("python: >>> import natonnx", 0, "", never="tests/e2e/test_doctest.py runs it"),
    Check("python: class Overlap:", 0, "", never="tests/e2e/test_any_model.py runs it"),
    Check(
        "python: def reward(model: natonnx.RunnableModel) -> float:", 0, "", never="a sketch; the docstrings have one"
    ),
    # CONTRIBUTING.md
    Check(
        "python: from natonnx.policy import FEATURES, Head, Policy, register_learner",
        0,
        "",
        never="tests/e2e/test_policy.py runs it",
    ),
)
