"""`natonnx load-weights`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from natonnx.cli.logs import log_options, notice
from natonnx.cli.options import (
    force_option,
    input_shape_option,
    json_option,
    model_argument,
    output_option,
    print_json,
)

__all__ = ["load_weights_command"]


@click.command("load-weights")
@log_options
@model_argument
@click.argument("state", type=click.Path(path_type=Path))
@output_option
@input_shape_option
@force_option
@json_option
def load_weights_command(
    model: Path,
    state: Path,
    output: Path | None,
    input_shapes: Mapping[str, Sequence[int]],
    force: bool,
    as_json: bool,
) -> None:
    """Write MODEL with the tensors of STATE.

    STATE is a .safetensors file, or what torch.save wrote of a state_dict: of the module that natonnx.to_torch makes of
    MODEL, or of any module of the same names. The result is verified as that of apply is.
    """
    from natonnx.contract.apply import apply_report
    from natonnx.frontend import ParseOptions
    from natonnx.verbs.load_weights import load_weights

    path, checks = load_weights(model, state, output, force=force, reading=ParseOptions(input_shapes))
    if as_json:
        print_json(apply_report(path, 0, checks))
    else:
        for check in checks:
            notice(f"{check.name}: {check.detail}")
        notice(f"{path}: the weights of {state}")
