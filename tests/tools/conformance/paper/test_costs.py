"""Counts of the paper's networks: the fact sheet's, which were measured on the authors' own code, and the tables'."""

import functools

import pytest
import torch
from torch import nn

from tools.conformance.paper.costs import Costs, costs, markdown, verdict
from tools.conformance.paper.count import count, count_as_the_authors
from tools.conformance.paper.published import REASONS, ROWS
from tools.research.networks.catalog import CATALOG, Variant

# millions: parameters without and with auxiliary head, MAdds, by the authors' counter, the same with auxiliary head
SHEET: dict[tuple[str, Variant], tuple[float, float, float, float, float | None]] = {
    ("DARTS", "cifar"): (3.349, 3.826, 528.4, 533.2, None),
    ("DARTS", "imagenet"): (4.719, 5.980, 529.9, 595.0, 597.8),
    ("NAT-DARTS", "imagenet"): (3.979, 5.240, 440.9, 512.5, 515.3),
    ("NAT-DARTS", "cifar"): (2.682, 3.159, 424.2, 433.8, None),
    ("NAT++-DARTS", "cifar"): (2.476, 2.952, 394.2, 401.4, None),
    ("NAT++-DARTS", "imagenet"): (3.724, 4.985, 413.3, 481.6, 484.4),
    ("ENAS", "imagenet"): (5.626, 6.862, 608.2, 676.8, 679.4),
    ("NAT-ENAS", "imagenet"): (5.626, 6.862, 608.2, 676.8, 679.4),
    ("ENAS", "cifar"): (3.860, 4.318, 605.7, 613.6, None),
    ("NAT-ENAS", "cifar"): (3.860, 4.318, 605.7, 613.6, None),
    ("NAT++-ENAS", "cifar"): (3.691, 4.149, 580.8, 588.1, None),
    ("NAT++-ENAS", "imagenet"): (5.377, 6.613, 583.4, 651.3, None),
    ("NAONet", "imagenet"): (11.352, 12.601, 1246.8, 1368.2, 1370.9),
    ("NAT-NAONet", "imagenet"): (8.362, 9.611, 923.1, 1022.2, 1024.8),
}
# millions: parameters, MAdds; with more digits than the sheet where it prints fewer
SHEET_WITHOUT_HEAD: dict[tuple[str, Variant], tuple[float, float]] = {
    ("NAONet", "cifar"): (144.553, 21133),
    ("NAT-NAONet", "cifar"): (104.422, 15395),
    ("NAT++-NAONet", "cifar"): (112.787, 16628),
    ("NAT++-NAONet", "imagenet"): (8.979, 993.7),
    ("ResNet-20", "cifar"): (0.270, 40.6),
    ("ResNet-56", "cifar"): (0.853, 125.5),
    ("MobileNetV2", "cifar"): (2.297, 91.2),
    ("VGG16", "imagenet"): (138.358, 15470),
    ("ResNet-18", "imagenet"): (11.690, 1814),
    ("ResNet-50", "imagenet"): (25.557, 3858),
    ("MobileNetV2", "imagenet"): (3.505, 300.8),
    ("AmoebaNet-A", "imagenet"): (4.627, 526.7),
    ("SNAS", "cifar"): (2.661, 422.2),
    ("R1", "cifar"): (3.520, 533.9),
    ("NAT-R1", "cifar"): (2.905, 445.6),
    ("R2", "cifar"): (2.846, 443.3),
    ("NAT-R2", "cifar"): (2.257, 357.6),
    ("R3", "cifar"): (5.237, 795.2),
    ("NAT-R3", "cifar"): (2.996, 458.3),
    ("R4", "cifar"): (8.486, 1248.9),
    ("NAT-R4", "cifar"): (5.446, 808.9),
    ("R5", "cifar"): (5.345, 801.0),
    ("NAT-R5", "cifar"): (5.283, 794.5),
}
# millions of parameters, as the sheet prints them, for CIFAR
SHEET_PARAMS = {"AmoebaNet-A": "3.145", "PNASNet": "4.48", "SNAS": "2.66"}
# rows that the sheet calls reproducible
EXACT: tuple[tuple[Variant, str], ...] = (
    ("cifar", "VGG16"),
    ("cifar", "ResNet-20"),
    ("cifar", "ResNet-56"),
    ("cifar", "MobileNetV2"),
    ("cifar", "DARTS"),
    ("imagenet", "ENAS"),
    ("imagenet", "NAT-ENAS"),
    ("imagenet", "DARTS"),
    ("imagenet", "NAT-DARTS"),
    ("imagenet", "NAT-NAONet"),
)
ONLY_PARAMS: tuple[tuple[Variant, str], ...] = (
    ("imagenet", "NAONet"),
    ("imagenet", "VGG16"),
    ("imagenet", "ResNet-18"),
    ("imagenet", "ResNet-50"),
)


@functools.cache
def counted(name: str, variant: Variant) -> Costs:
    return costs(CATALOG[name], variant)


@pytest.mark.parametrize(("name", "variant"), SHEET)
def test_counts_are_the_sheets(name: str, variant: Variant) -> None:
    found = counted(name, variant)
    params, with_head, madds, authors, authors_with_head = SHEET[name, variant]
    assert round(found.params / 1e6, 3) == params
    assert round((found.params + found.head_params) / 1e6, 3) == with_head
    assert round(found.madds / 1e6, 1) == madds
    assert round(found.authors / 1e6, 1) == authors
    if authors_with_head is not None:
        assert round((found.authors + found.head_authors) / 1e6, 1) == authors_with_head


@pytest.mark.parametrize(("name", "variant"), SHEET_WITHOUT_HEAD)
def test_other_counts_are_the_sheets(name: str, variant: Variant) -> None:
    found = counted(name, variant)
    params, madds = SHEET_WITHOUT_HEAD[name, variant]
    assert round(found.params / 1e6, 3) == params
    assert round(found.madds / 1e6, 1) == pytest.approx(madds, abs=0.5 if float(madds).is_integer() else 0)


@pytest.mark.parametrize("name", SHEET_PARAMS)
def test_sizes_of_rivals_are_the_sheets(name: str) -> None:
    printed = SHEET_PARAMS[name]
    assert f"{counted(name, 'cifar').params / 1e6:.{len(printed) - 2}f}" == printed


@pytest.mark.parametrize(("variant", "name"), [*EXACT, *ONLY_PARAMS])
def test_rows_that_can_be_reproduced_are(variant: Variant, name: str) -> None:
    row = next(row for row in ROWS if (row.variant, row.name) == (variant, name))
    params, madds = verdict(row, counted(name, variant))
    assert params
    assert bool(madds) == ((variant, name) in EXACT)


@pytest.mark.slow
def test_every_row_is_there_and_says_why_where_it_differs() -> None:
    lines = list(markdown())
    for row in ROWS:
        assert sum(line.startswith(f"| {row.name} | {row.params}, {row.madds} |") for line in lines) == 1
    assert all("|  |" not in line.rsplit("not reproduced", 1)[1] for line in lines if "not reproduced" in line)
    assert "3.016 million parameters (without head, rounded) and 483.5 million MAdds" in "\n".join(lines)


def test_tables_have_every_method() -> None:
    assert len(ROWS) == 50
    assert {CATALOG[row.name].method for row in ROWS} == {"original", "NAO", "NAT"}
    assert {key for key in REASONS if CATALOG[key[1]].reason} == set()


def test_the_authors_divide_by_one_stride_of_the_input() -> None:
    image = torch.zeros(1, 3, 8, 8)
    strided = nn.Conv2d(3, 4, 3, 2, 1)
    assert count(strided, (image,), folded=False).madds == 4 * 3 * 9 * 16
    assert count_as_the_authors(strided, (image,)) == 2 * 4 * 3 * 9 * 16
    flat = nn.Sequential(nn.Conv2d(3, 4, (1, 7), (1, 2), (0, 3)), nn.Conv2d(4, 4, (7, 1), (2, 1), (3, 0), groups=4))
    assert count_as_the_authors(flat, (image,)) == 4 * 3 * 7 * 32 + 4 * 7 * 32
    assert count_as_the_authors(nn.Linear(5, 6), (torch.zeros(1, 5),)) == 30
