"""The copy of a model that `tools.benchmarks.bench_bench` measures has more work, and computes the same."""

import numpy as np
import onnx
import pytest

from natonnx.architecture import cost
from natonnx.frontend import parse
from natonnx.session import run, session
from tests.cli import tiny
from tools.benchmarks.bench_bench import with_more_work

MODELS = {path.stem: path for path in (tiny.ROOT / "models").glob("*.onnx")}


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("share", [0.1, 0.3])
def test_more_work_and_the_same_outputs(name: str, share: float) -> None:
    model = onnx.load(MODELS[name])
    more, reached = with_more_work(model, share)
    onnx.checker.check_model(more, full_check=True)
    before, after = (cost(parse(one).architecture).madds or 0 for one in (model, more))
    assert after / before - 1 == pytest.approx(reached)
    assert 0.9 * share < reached <= share
    inputs = {model.graph.input[0].name: np.random.default_rng(0).standard_normal((4, 1, 28, 28)).astype(np.float32)}
    scores, again = (next(iter(run(session(one), inputs).values())) for one in (model, more))
    assert np.allclose(scores, again, atol=1e-5)
