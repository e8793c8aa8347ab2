"""What torch is told while a search runs."""

from contextlib import AbstractContextManager

import pytest
import torch

from natonnx.verbs.optimize.prepare import torch_settings


@pytest.mark.parametrize("mode", [torch.no_grad(), torch.inference_mode(), torch.enable_grad()])
def test_gradients_are_on_whatever_the_caller_does(mode: AbstractContextManager[None]) -> None:
    weight = torch.ones(2, requires_grad=True)
    with mode:
        before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        with torch_settings(None):
            made = torch.ones(2)
            (weight * made).sum().backward()  # type: ignore[no-untyped-call]
            assert not made.is_inference()
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before
    assert weight.grad is not None
    assert torch.equal(weight.grad, torch.ones(2))
