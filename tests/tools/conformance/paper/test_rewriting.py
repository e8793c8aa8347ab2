import pytest
import torch

from natonnx.architecture import Cost
from tools.conformance.paper.rewriting import NAT_DARTS, Comparison, Exporting, compare_cells, in_normal_cells
from tools.research.cells import Link
from tools.research.networks.cell_network import CellNetwork, copy_weights
from tools.research.networks.cells import Cell, edit, stack
from tools.research.networks.genotypes import GENOTYPES
from tools.upkeep.export import Exporter

WHOLE = stack(GENOTYPES["DARTS"], 4)  # normal, reduce, reduce, normal
SMALL = (*WHOLE[:2], WHOLE[3])
BARE = in_normal_cells(SMALL, {(0, 4): "null"}, only=[0])  # node 4 of cell 0 has one edge left

CASES = {
    "nat-darts": (WHOLE, in_normal_cells(WHOLE, NAT_DARTS)),
    "one cell": (SMALL, in_normal_cells(SMALL, NAT_DARTS, only=[2])),
    "emptied by one edit": (BARE, in_normal_cells(BARE, {(1, 4): "null"}, only=[0])),
    "emptied at the classifier": (SMALL, in_normal_cells(SMALL, {(1, 4): "null", (0, 4): "null"}, only=[2])),
    "two emptied everywhere": (
        SMALL,
        in_normal_cells(SMALL, {(1, 4): "null", (0, 4): "null", (0, 5): "null", (2, 5): "null"}),
    ),
    "two emptied by many": (
        SMALL,
        in_normal_cells(SMALL, {(0, 2): "null", (1, 2): "null", (0, 5): "null", (2, 5): "null"}, only=[0]),
    ),
}


def accept(found: Comparison) -> None:
    assert found.difference <= 1e-5
    assert found.rewritten == found.parsed == Cost(*found.direct)
    assert found.before[0] == Cost(*found.before[1])


@pytest.mark.parametrize("keep_norm", [False, True], ids=["folded", "bn"])
@pytest.mark.parametrize("name", CASES)
def test_rewriting_equals_building(name: str, *, keep_norm: bool) -> None:
    accept(compare_cells(*CASES[name], exporting=Exporting(keep_norm=keep_norm)))


@pytest.mark.parametrize("name", [pytest.param("nat-darts", marks=pytest.mark.slow), "emptied by one edit"])
def test_rewriting_equals_building_by_dynamo(name: str) -> None:
    pytest.importorskip("onnxscript")
    before, after = CASES[name]
    few = len(before) if name == "nat-darts" else 2  # the edited cell and one that reads it
    accept(compare_cells(before[:few], after[:few], exporting=Exporting("dynamo", 18)))


@pytest.mark.slow
@pytest.mark.parametrize("exporter", ["script", "dynamo"])
def test_rewriting_the_papers_network(exporter: Exporter) -> None:
    if exporter == "dynamo":
        pytest.importorskip("onnxscript")
    cells = stack(GENOTYPES["DARTS"], 20)
    bare = in_normal_cells(cells, {(0, 4): "null"}, only=[4])
    for before, after in (
        (cells, in_normal_cells(cells, NAT_DARTS)),
        (bare, in_normal_cells(bare, {(1, 4): "null"}, only=[4])),
    ):
        accept(compare_cells(before, after, channels=36, size=32, exporting=Exporting(exporter, 18)))


def test_null_is_not_there() -> None:
    cell = Cell(
        (Link("null", 0, 2), Link("sep_conv_3x3", 1, 3), Link("skip_connect", 2, 3), Link("skip_connect", 3, 4)), (2, 3)
    )
    assert cell.active == (1,)
    assert cell.members == (3,)


def test_copied_weights_keep_the_function_where_the_lost_member_was_zero() -> None:
    """The direct network is an oracle: compare it with the whole one whose member is zeroed by hand."""
    torch.manual_seed(0)
    cells = stack(GENOTYPES["DARTS"], 4)
    whole = CellNetwork(cells, 4).eval()
    emptied = CellNetwork([edit(cells[0], {(1, 4): "null", (0, 4): "null"}), *cells[1:]], 4).eval()
    copy_weights(whole, emptied)
    image = torch.randn(2, 3, 16, 16)
    first = whole.cells["0"]

    def zero(_: torch.nn.Module, __: object, output: torch.Tensor) -> torch.Tensor:
        output[:, 8:12] = 0
        return output

    handle = first.register_forward_hook(zero)
    with torch.no_grad():
        torch.testing.assert_close(emptied(image), whole(image))
    handle.remove()
