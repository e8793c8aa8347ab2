"""External data is written as it was found, and belongs to the model that is written, whatever happens meanwhile."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import natonnx
from natonnx.architecture import Edit, State, apply_edits
from natonnx.errors import InputError
from natonnx.frontend import Network, parse, read
from natonnx.rewrite import References, build, verify
from natonnx.rewrite.pieces import pieces
from natonnx.rewrite.write import check_output, copied_files, copy_model, own_files, write_model
from natonnx.session import run, session
from natonnx.supernet import Supernet
from natonnx.tensors import is_external, read_tensor
from tests import external
from tests.rewrite.helpers import Builder, arrays, assert_close, images, runtime
from tests.rewrite.test_preservation import edited, rich_model

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

B_SKIPPED = Edit("B", State.O, State.S)


def network(path: Path) -> Network:
    return parse(read(path), folder=path.parent)


def skip(path: Path, output: Path, *edits: Edit) -> tuple[Path, ...]:
    """Write the source with the operation B turned into a skip."""
    source = network(path)
    alpha = apply_edits(source.architecture, edits or [B_SKIPPED])
    return write_model(build(source, alpha), path.parent, output)


def by_path(path: Path, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Run a file in onnxruntime, which finds the data itself."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    loaded = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in loaded.get_outputs()]
    return dict(zip(names, loaded.run(names, inputs), strict=True))


# As it was found


@pytest.mark.parametrize("one_file", [True, False])
def test_result_is_that_of_the_inline_model(tmp_path: Path, one_file: bool) -> None:
    path = external.save(external.residual(), tmp_path / "in" / "model.onnx", one_file=one_file)
    (tmp_path / "out").mkdir()
    output = tmp_path / "out" / "model.nat.onnx"
    written = skip(path, output)
    shutil.rmtree(tmp_path / "in")
    expected = edited(external.residual(), ("B", "O", "S"))
    assert external.inline(onnx.load(output)) == expected
    x = {"x": images(2, 8, 8)}
    np.testing.assert_array_equal(by_path(output, x)["c"], runtime(expected, x)["c"])
    onnx.checker.check_model(str(output), full_check=True)
    assert sorted(written) == sorted((tmp_path / "out").iterdir())
    sizes = {name: value.nbytes for name, value in arrays(expected).items()}
    if one_file:
        assert [path.name for path in written] == ["model.nat.onnx.data", "model.nat.onnx"]
        assert 0 <= written[0].stat().st_size - sum(sizes.values()) < 64  # bytes that keep B's neighbours aligned
    else:
        names = [f"model.nat.onnx.data{end}" for end in ("", ".1", ".2", ".3")]
        assert [path.name for path in written] == [*names, "model.nat.onnx"]
        assert [path.stat().st_size for path in written[:-1]] == list(sizes.values())


def test_what_was_inline_stays_inline(tmp_path: Path) -> None:
    path = external.save(external.residual(), tmp_path / "model.onnx", threshold=2000)
    model = onnx.load(path, load_external_data=False)
    before = {t.name for t in model.graph.initializer if is_external(t)}
    assert before == {"a.w", "b.w", "c.w"}
    skip(path, tmp_path / "out.onnx")
    after = onnx.load(tmp_path / "out.onnx", load_external_data=False)
    assert {t.name for t in after.graph.initializer if is_external(t)} == before - {"b.w"}
    assert {t.name for t in after.graph.initializer if not is_external(t)} == {"a.b", "c.b"}


def everywhere(path: Path) -> onnx.ModelProto:
    """A rich model, the data of all kinds of tensors outside; returns it with all of them inline.

    onnx's own writer leaves sparse tensors alone, so theirs are put outside by hand.
    """
    model = rich_model()
    model.graph.initializer.append(numpy_helper.from_array(np.ones(3000, np.float32), "large"))
    values = numpy_helper.from_array(np.arange(2, 6, dtype=np.float32), "sparse")
    indices = numpy_helper.from_array(np.arange(4), "indices")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [9]))
    model.graph.node.append(helper.make_node("Constant", [], ["k"], "K", value=numpy_helper.from_array(np.eye(40))))
    inner = model.functions[0].node[0].attribute[0]
    inner.CopyFrom(helper.make_attribute("value", numpy_helper.from_array(np.array(2, np.float32), "two")))
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    external.save(model, path)
    saved = onnx.load(path, load_external_data=False)
    sparse = saved.graph.sparse_initializer[0].values
    data = path.with_name(f"{path.name}.data")
    sparse.CopyFrom(external.tensor(np.zeros(4, np.float32), data.name, offset=data.stat().st_size, length=16))
    sparse.name = "sparse"
    with data.open("ab") as file:
        file.write(values.raw_data)
    path.write_bytes(saved.SerializeToString())
    return whole


def test_data_of_nested_graphs_constants_functions_and_sparse_tensors(tmp_path: Path) -> None:
    whole = everywhere(tmp_path / "model.onnx")
    expected = edited(whole, ("B", "O", "S"))
    skip(tmp_path / "model.onnx", tmp_path / "out.onnx")
    (tmp_path / "model.onnx.data").unlink()
    result = onnx.load(tmp_path / "out.onnx")
    sparse = result.graph.sparse_initializer[0].values
    np.testing.assert_array_equal(read_tensor(sparse, tmp_path), np.arange(2, 6))
    sparse.CopyFrom(expected.graph.sparse_initializer[0].values)
    found = external.inline(result)
    for attribute in [a for f in found.functions for n in f.node for a in n.attribute if a.HasField("t")]:
        attribute.t.ClearField("data_location")
    assert found == expected


def test_data_of_a_branch_is_run_and_kept(tmp_path: Path) -> None:
    graph = Builder()
    graph.op("Add", graph.conv(graph.conv("x", "a"), "b"), "a", out="s")
    graph.op("ReduceSum", "x", out="total", keepdims=0)
    graph.op("Cast", "total", out="condition", to=TensorProto.BOOL)
    branches = []
    for name, value in (("one", 1), ("two", 2)):
        inner = numpy_helper.from_array(np.full((1, 4, 8, 64), value, np.float32)[..., :8].copy(), name)
        info = helper.make_tensor_value_info(f"i{name}", TensorProto.FLOAT, ["n", 4, 8, 8])
        branches.append(
            helper.make_graph([helper.make_node("Mul", ["s", name], [f"i{name}"])], name, [], [info], [inner])
        )
    graph.op("If", "condition", out="i", then_branch=branches[0], else_branch=branches[1])
    model = graph.model(helper.make_tensor_value_info("i", TensorProto.FLOAT, ["n", 4, 8, 8]))
    path = external.save(model, tmp_path / "model.onnx")
    skip(path, tmp_path / "out.onnx")
    x = {"x": images(2, 4, 8)}
    assert_close(by_path(tmp_path / "out.onnx", x)["i"], runtime(edited(model, ("B", "O", "S")), x)["i"])
    assert_close(run(session(read(path), folder=tmp_path), x)["i"], runtime(model, x)["i"])


# Layout


def packed(path: Path, layout: dict[str, int], size: int) -> None:
    """Save the residual model with its tensors at these offsets of one file."""
    model = external.residual()
    data = bytearray(size)
    for tensor in model.graph.initializer:
        offset, raw = layout[tensor.name], tensor.raw_data
        data[offset : offset + len(raw)] = raw
        reference = external.tensor(numpy_helper.to_array(tensor), "w.bin", offset=offset, length=len(raw))
        reference.name = tensor.name
        tensor.CopyFrom(reference)
    path.with_name("w.bin").write_bytes(data)
    path.write_bytes(model.SerializeToString())


def test_order_and_alignment_are_kept(tmp_path: Path) -> None:
    layout = {"c.w": 0, "a.w": 1 << 17, "a.b": 135_524, "b.w": 3 << 16, "b.b": 200_704, "c.b": 1 << 18}
    packed(tmp_path / "model.onnx", layout, (1 << 18) + 256)
    skip(tmp_path / "model.onnx", tmp_path / "out.onnx")
    places = {name: int(said["offset"]) for name, said in external.references(tmp_path / "out.onnx").items()}
    assert sorted(places, key=places.__getitem__) == ["c.w", "a.w", "a.b", "c.b"]
    assert places == {"c.w": 0, "a.w": 1 << 16, "a.b": (1 << 16) + 2304, "c.b": 1 << 17}
    assert arrays(onnx.load(tmp_path / "out.onnx")).keys() == places.keys()


def test_shared_bytes_stay_shared(tmp_path: Path) -> None:
    layout = {"c.w": 0, "a.w": 20_000, "a.b": 30_000, "b.w": 32_000, "b.b": 30_000, "c.b": 40_000}
    packed(tmp_path / "model.onnx", layout, 41_000)
    skip(tmp_path / "model.onnx", tmp_path / "out.onnx", Edit("r->s", State.S, State.N))
    said = external.references(tmp_path / "out.onnx")
    assert said["a.b"] == said["b.b"]
    for name, value in arrays(onnx.load(tmp_path / "model.onnx")).items():
        np.testing.assert_array_equal(arrays(onnx.load(tmp_path / "out.onnx"))[name], value)


def test_new_weights_are_written_where_the_old_ones_were(tmp_path: Path) -> None:
    path = external.save(external.residual(), tmp_path / "model.onnx", threshold=1000)
    source = network(path)
    weights = {name: 2 * value for name, value in Supernet(source).weights().items()}
    model = build(source, source.architecture, weights)
    supernet = Supernet(source)
    supernet.load_weights(weights)
    assert all(
        check.passed for check in verify(source, source.architecture, model, References(supernet.as_reference()))
    )
    x = {"x": images(2, 8, 8)}
    in_memory = run(session(model, folder=tmp_path), x)["c"]
    write_model(model, tmp_path, tmp_path / "out.onnx")
    assert_close(in_memory, by_path(tmp_path / "out.onnx", x)["c"])
    before = onnx.load(path, load_external_data=False)
    after = onnx.load(tmp_path / "out.onnx", load_external_data=False)
    outside = {t.name for t in before.graph.initializer if is_external(t)}
    assert outside == {t.name for t in after.graph.initializer if is_external(t)} == {"a.w", "b.w", "c.w"}
    for name, value in arrays(onnx.load(tmp_path / "out.onnx")).items():
        np.testing.assert_array_equal(value, weights[name])
    assert (tmp_path / "out.onnx.data").stat().st_size == (tmp_path / "model.onnx.data").stat().st_size


def test_empty_tensor(tmp_path: Path) -> None:
    model = external.residual()
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((0, 3), np.float32), "empty"))
    path = external.save(model, tmp_path / "model.onnx")
    skip(path, tmp_path / "out.onnx")
    assert arrays(onnx.load(tmp_path / "out.onnx"))["empty"].shape == (0, 3)
    assert read(tmp_path / "out.onnx")


def test_training_a_mapped_model_does_not_change_its_file(tmp_path: Path) -> None:
    path = external.save(external.residual(), tmp_path / "model.onnx")
    before = (tmp_path / "model.onnx.data").read_bytes()
    supernet = Supernet(network(path))
    supernet.load_weights({name: value + 1 for name, value in supernet.weights().items()})
    assert (tmp_path / "model.onnx.data").read_bytes() == before


# Whatever happens


@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("exists", [False, True])
def test_interruption_never_leaves_wrong_data(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[BaseException],
    step: str,
    call: int,
    exists: bool,
) -> None:
    path, output = external.save(external.residual(), tmp_path / "model.onnx"), tmp_path / "out" / "out.onnx"
    output.parent.mkdir()
    if exists:
        skip(path, output)
    old = arrays(onnx.load(output)) if exists else {}
    model = build(network(path), network(path).architecture, {"a.w": np.ones((8, 8, 3, 3), np.float32)})
    calls = 0
    real = getattr(os, step)

    def fail(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise kind(28, "No space left on device")
        real(*arguments)

    monkeypatch.setattr(os, step, fail)
    with pytest.raises((InputError, KeyboardInterrupt)):
        write_model(model, tmp_path, output)
    assert not [path for path in output.parent.iterdir() if path.name.startswith(".")]
    if output.exists():
        np.testing.assert_equal(arrays(onnx.load(output)), old)
    assert not output.exists() or exists
    assert (step == "fsync") <= (output.exists() == exists)


def test_data_that_shrinks_meanwhile_leaves_nothing(tmp_path: Path) -> None:
    path = external.save(external.residual(), tmp_path / "model.onnx")
    source = network(path)
    model = build(source, apply_edits(source.architecture, [B_SKIPPED]))
    os.truncate(tmp_path / "model.onnx.data", 100)
    before = set(tmp_path.iterdir())
    with pytest.raises(InputError, match="truncated"):
        write_model(model, tmp_path, tmp_path / "out.onnx")
    assert set(tmp_path.iterdir()) == before


def test_data_files_that_a_new_output_does_without_go(tmp_path: Path) -> None:
    several = external.save(external.residual(), tmp_path / "a" / "model.onnx", one_file=False)
    inline = tmp_path / "inline.onnx"
    onnx.save(external.residual(), inline)
    for source in (several, inline):
        natonnx.apply(source, [B_SKIPPED], tmp_path / "out.onnx")
        assert onnx.load(tmp_path / "out.onnx")
    assert {path.name for path in tmp_path.iterdir()} == {"a", "inline.onnx", "out.onnx"}


# What may be replaced


def refuse(output: Path, source: Path, *, force: bool, edits: bool = True) -> str | None:
    model = read(source)
    targets = own_files(model, output) if edits else copied_files(model, source.parent, output).values()
    try:
        check_output(output, source, model, targets, force=force)
    except InputError as error:
        return str(error)
    return None


def test_another_ones_data_file_is_replaced_by_force_only(tmp_path: Path) -> None:
    path = external.save(external.residual(), tmp_path / "model.onnx")
    (tmp_path / "out.onnx.data").write_bytes(b"someone's")
    assert "out.onnx.data: exists and natonnx did not write it" in (
        refuse(tmp_path / "out.onnx", path, force=False) or ""
    )
    assert refuse(tmp_path / "out.onnx", path, force=True) is None
    assert refuse(tmp_path / "other.onnx", path, force=False) is None


@pytest.mark.parametrize("force", [False, True])
def test_data_of_the_input_is_never_replaced(tmp_path: Path, force: bool) -> None:
    path = external.save(external.residual(), tmp_path / "model.onnx")
    external_name = tmp_path / "out.onnx.data"
    (tmp_path / "model.onnx.data").rename(external_name)
    for name in external.references(path):
        external.repoint(path, {"location": external_name.name}, name)
    assert "is the input model's data" in (refuse(tmp_path / "out.onnx", path, force=force) or "")
    assert "is the input model's data" in (refuse(external_name, path, force=force) or "")
    assert refuse(tmp_path / "free.onnx", path, force=False) is None


def test_our_own_data_file_is_replaced(tmp_path: Path) -> None:
    path = external.save(external.residual(), tmp_path / "model.onnx")
    for _ in range(2):
        natonnx.apply(path, [B_SKIPPED], tmp_path / "out.onnx")
    (tmp_path / "out.onnx").unlink()
    assert "natonnx did not write it" in (refuse(tmp_path / "out.onnx", path, force=False) or "")


def test_folder_in_the_place_of_a_data_file(tmp_path: Path) -> None:
    path = external.save(external.residual(), tmp_path / "model.onnx")
    (tmp_path / "out.onnx.data").mkdir()
    assert "is a folder" in (refuse(tmp_path / "out.onnx", path, force=True) or "")


def test_another_file_under_the_name_of_copied_data(tmp_path: Path) -> None:
    path = external.save(external.residual(), tmp_path / "model.onnx")
    output = tmp_path / "other" / "copy.onnx"
    output.parent.mkdir()
    taken = output.with_name("model.onnx.data")
    taken.write_bytes(b"someone's")
    assert "model.onnx.data: exists and natonnx did not write it" in (
        refuse(output, path, force=False, edits=False) or ""
    )
    taken.write_bytes((tmp_path / "model.onnx.data").read_bytes())
    assert refuse(output, path, force=False, edits=False) is None
    taken.unlink()
    taken.symlink_to(tmp_path / "model.onnx.data")
    assert refuse(output, path, force=True, edits=False)


# Without edits


@pytest.mark.parametrize("one_file", [True, False])
def test_copy_into_another_folder_takes_its_data_along(tmp_path: Path, one_file: bool) -> None:
    path = external.save(external.residual(), tmp_path / "in" / "model.onnx", one_file=one_file)
    (path.parent / "sub").mkdir()
    data = path.parent / external.references(path)["a.w"]["location"]
    data.rename(path.parent / "sub" / "moved")
    for name, said in external.references(path).items():
        if said["location"] == data.name:
            external.repoint(path, {"location": "sub/moved"}, name)
    output = tmp_path / "out" / "copy.onnx"
    output.parent.mkdir()
    copy_model(path, read(path), output)
    copied = {p.relative_to(output.parent): p.read_bytes() for p in output.parent.rglob("*") if p.is_file()}
    given = {p.relative_to(path.parent): p.read_bytes() for p in path.parent.rglob("*") if p.is_file()}
    assert copied.pop(output.relative_to(output.parent)) == given.pop(path.relative_to(path.parent))
    assert copied == given
    x = {"x": images(2, 8, 8)}
    np.testing.assert_array_equal(by_path(output, x)["c"], by_path(path, x)["c"])


def test_copy_in_the_same_folder_shares_the_data(tmp_path: Path) -> None:
    path = external.save(external.residual(), tmp_path / "model.onnx")
    output, checks = natonnx.apply(path, [], tmp_path / "copy.onnx")
    assert all(check.passed for check in checks)
    assert output.read_bytes() == path.read_bytes()
    assert {p.name for p in tmp_path.iterdir()} == {"model.onnx", "model.onnx.data", "copy.onnx"}


def test_pieces_are_the_bytes_that_protobuf_makes() -> None:
    unknown = b"\xfa\x3f\x03abc"  # field 1023, of bytes
    plain = rich_model()
    odd, within = (onnx.ModelProto.FromString(plain.SerializeToString() + more) for more in (unknown, b""))
    within.graph.MergeFromString(unknown)
    for model in (plain, odd, within):
        assert b"".join(pieces(model)) == model.SerializeToString()
        assert (unknown in b"".join(pieces(model))) is (model is not plain)
