"""A long pass over data is told, and changes nothing."""

import numpy as np
import pytest

from natonnx.data import ArrayBatches
from natonnx.verbs.watched import watched


def test_a_long_pass_says_how_far_it_is(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("natonnx.verbs.watched._SIGN_OF_LIFE", -1.0)
    split = ArrayBatches({"x": np.arange(1200).reshape(600, 2)}, {"x": 0}, np.arange(600))
    with caplog.at_level("INFO", "natonnx.verbs"):
        read = list(watched(split, "m.onnx: scored on").batches(250))
    assert [batch.size for batch in read] == [250, 250, 100]
    np.testing.assert_array_equal(np.concatenate([batch.inputs["x"] for batch in read]), split.inputs["x"])
    assert [message.partition(", about")[0] for message in caplog.messages] == [
        "m.onnx: scored on 250 of 600 samples",
        "m.onnx: scored on 500 of 600 samples",
    ]
