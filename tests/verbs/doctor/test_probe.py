"""What torch's probe makes of devices and of wrong results; the rest is tested by the command."""

import pytest
import torch

from natonnx.verbs.doctor import probe


def test_wrong_results_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert probe.run_torch("cpu")["mark"] == "ok"
    right = torch.nn.functional.conv2d
    monkeypatch.setattr(torch.nn.functional, "conv2d", lambda *given: 2 * right(*given))
    found = probe.run_torch("cpu")
    assert (found["mark"], found["detail"].split(" in the")[0][:16]) == ("broken", "a convolution is")


def test_a_wrong_gradient_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = torch.nn.functional.conv2d
    monkeypatch.setattr(
        torch.nn.functional, "conv2d", lambda image, kernel: right(image, kernel.detach()) + 0 * kernel.sum()
    )
    assert probe.run_torch("cpu")["detail"].startswith("a gradient is")


def test_cuda_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "12.6")
    assert probe.run_torch("cpu")["others"] == {"cuda": "torch is built for 12.6, but sees no device"}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert probe.run_torch("cpu")["others"] == {"cuda:0": None, "cuda:1": None}
