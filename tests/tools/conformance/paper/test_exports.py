"""What natonnx finds in exports of the paper's networks."""

import functools

import pytest

from tools.conformance.paper.exports import Inspection, inspect_export
from tools.research.networks.building import Options
from tools.research.networks.catalog import CATALOG, Variant

CELLS = [entry.name for entry in CATALOG.values() if entry.stacks and not entry.reason]
PLAIN = [(entry.name, variant) for entry in CATALOG.values() for variant in entry.plans]
FEW = ("DARTS", "NAT-ENAS", "NAT-NAONet", "NAT-R3", "SNAS")


@functools.cache
def inspected(name: str, variant: Variant, options: Options) -> Inspection:
    return inspect_export(CATALOG[name], variant, options)


def accept(name: str, variant: Variant, options: Options) -> None:
    found = inspected(name, variant, options)
    assert found.found == found.expected
    assert all(found.nulls)
    assert found.candidates >= len(found.nulls)


@pytest.mark.parametrize("free_skips", [False, True], ids=["factorized", "free"])
@pytest.mark.parametrize("name", FEW)
def test_edges_of_cells(name: str, *, free_skips: bool) -> None:
    accept(name, "cifar", Options(channels=4, cells=4, free_skips=free_skips))


@pytest.mark.slow
@pytest.mark.parametrize("name", CELLS)
def test_edges_of_all_networks_of_cells(name: str) -> None:
    for variant in CATALOG[name].variants:
        accept(name, variant, Options(channels=4))


@pytest.mark.parametrize("name", ["ResNet-20", "NAT-ResNet-20", "MobileNetV2"])
def test_edges_of_plain_networks(name: str) -> None:
    accept(name, "cifar", Options())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "variant"), PLAIN)
def test_edges_of_all_plain_networks(name: str, variant: Variant) -> None:
    accept(name, variant, Options())


def test_nulls_of_a_basic_block_are_candidates() -> None:
    """Of every block but the first, the links from the block before last to both convolutions."""
    assert len(inspected("ResNet-20", "cifar", Options()).nulls) == 2 * 8
