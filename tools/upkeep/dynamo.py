"""Export by torch's newer exporter, with BatchNormalization kept if wanted. Needs onnxscript (the `export` extra)."""

import warnings
from collections.abc import Sequence

import onnx
import torch
from torch import Tensor, nn

__all__ = ["export_dynamo"]


def export_dynamo(
    model: nn.Module, inputs: Sequence[Tensor], names: Sequence[str], output: str, opset: int, *, keep_norm: bool
) -> onnx.ModelProto:
    """Export a model with a dynamic batch.

    Args:
        model: The model, in evaluation mode.
        inputs: Example inputs; their first axis is the batch.
        names: Names of the inputs.
        output: Name of the output.
        opset: The opset to ask for; the exporter may give another.
        keep_norm: Keep BatchNormalization nodes, which it folds otherwise.
    """
    import onnx_ir
    from onnx_ir.passes import common as passes
    from onnxscript import optimizer, rewriter
    from onnxscript.rewriter.rules.common import materialize_reshape_shape_rule, remove_optional_bias_from_conv_rule

    batch = torch.export.Dim("batch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside torch
        program = torch.onnx.export(
            model,
            tuple(inputs),
            dynamo=True,
            opset_version=opset,
            input_names=list(names),
            output_names=[output],
            dynamic_shapes=tuple({0: batch} for _ in names),
            optimize=not keep_norm,
            verbose=False,
        )
    assert program is not None
    graph = program.model
    if keep_norm:  # what optimize=True does, without its rules that fold normalisation
        optimizer.inline(graph)
        optimizer.fold_constants(graph)
        rewriter.rewrite(graph, [remove_optional_bias_from_conv_rule, materialize_reshape_shape_rule])
        optimizer.fold_constants(graph)
        optimizer.remove_unused_nodes(graph)
        passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(graph)
        passes.NameFixPass()(graph)
    passes.ClearMetadataAndDocStringPass()(graph)  # stack traces of the exporting machine
    proto: onnx.ModelProto = onnx_ir.to_proto(graph)
    return proto
