"""Where files are scored."""

import logging

import pytest
import torch

from natonnx.frontend import parse
from natonnx.verbs.scoring import file_device
from tests.search.conftest import tiny_model

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_on_the_cpu_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert file_device(parse(tiny_model()), CPU) == CPU
    assert not caplog.messages


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")
def test_without_cuda_files_are_scored_on_the_cpu_and_why_is_said(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """In one line, with onnxruntime's own reason: a library or a driver that is missing."""
    with caplog.at_level(logging.INFO):
        assert file_device(parse(tiny_model()), CUDA) == CPU
    (message,) = caplog.messages
    assert message.startswith("files are scored on the CPU, as onnxruntime does not run on CUDA here (")
    assert "\n" not in message
    assert "it does not say why" not in message
    assert capfd.readouterr() == ("", "")
