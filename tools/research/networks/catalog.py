"""Every architecture of the paper's tables by name, with what it takes to build it, or why it cannot be built."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from tools.research.networks.genotypes import GENOTYPES, ORIGINS, Genotype
from tools.research.networks.plain import Plan, mobilenetv2, resnet, vgg16

__all__ = ["CATALOG", "CLASSES", "SIZES", "Architecture", "Method", "Stack", "Variant", "name_of"]

Variant = Literal["cifar", "imagenet"]
Method = Literal["original", "NAO", "NAT", "NAT++"]

CLASSES: Mapping[Variant, int] = {"cifar": 10, "imagenet": 1000}
SIZES: Mapping[Variant, int] = {"cifar": 32, "imagenet": 224}
_PREFIXES: Mapping[Method, str] = {"NAT": "NAT_", "NAT++": "NATv2_"}


class Stack(NamedTuple):
    """How wide the nodes of the first cells are, and how many cells there are."""

    channels: int
    cells: int


@dataclass(frozen=True)
class Architecture:
    """An architecture of the tables.

    Attributes:
        name: Such as "NAT-DARTS".
        family: The name of what it was made from.
        method: Who made it.
        genotype: Its cells; None where it is not built, and without links where no cell was published.
        stacks: Of networks of cells: their size, by variant.
        plans: Of others: what plans them from a genotype, by variant.
        reason: Why it cannot be built; "" where it can.
    """

    name: str
    family: str
    method: Method
    genotype: Genotype | None = None
    stacks: Mapping[Variant, Stack] = field(default_factory=dict)
    plans: Mapping[Variant, Callable[[Genotype], Plan]] = field(default_factory=dict)
    reason: str = ""

    @property
    def variants(self) -> tuple[Variant, ...]:
        """What it can be built for."""
        return () if self.reason else (*self.stacks, *self.plans)


_USUAL: Mapping[Variant, Stack] = {"cifar": Stack(36, 20), "imagenet": Stack(48, 14)}
_CELLS: Mapping[str, tuple[str, Mapping[Variant, Stack]]] = {
    "ENAS": ("ENAS", _USUAL),
    "DARTS": ("DARTS", _USUAL),
    "NAONet": ("NAONet", {"cifar": Stack(128, 20), "imagenet": Stack(42, 14)}),
    "AmoebaNet-A": ("AmoebaNet", _USUAL),
    "PNASNet": ("PNASNet", _USUAL),
    "SNAS": ("SNAS", _USUAL),
    **{f"R{i}": (f"R{i}", {"cifar": _USUAL["cifar"]}) for i in range(1, 6)},
}
_PLAIN: Mapping[str, tuple[str, Mapping[Variant, Callable[[Genotype], Plan]]]] = {
    "VGG16": ("VGG", {"cifar": vgg16, "imagenet": lambda genotype: vgg16(genotype, size=224)}),
    "ResNet-20": ("ResBlock", {"cifar": lambda genotype: resnet((3, 3, 3), genotype)}),
    "ResNet-56": ("ResBlock", {"cifar": lambda genotype: resnet((9, 9, 9), genotype)}),
    "ResNet-18": ("ResBlock", {"imagenet": lambda genotype: resnet((2, 2, 2, 2), genotype, size=224)}),
    "MobileNetV2": ("Mobilenetv2", {"cifar": lambda genotype: mobilenetv2(genotype, size=32), "imagenet": mobilenetv2}),
}
_NO_GENOTYPE = "no genotype of it was found"
_NO_NAO = "no genotype of what NAO made of it was found"
_NO_BOTTLENECK = "the cell of bottlenecks was not published"
_UNKNOWN = Genotype((), (), (), ())
_TRIED_BY_NAO = (*_PLAIN, "ResNet-50", "ENAS", "DARTS", "NAONet")


def name_of(family: str, method: Method) -> str:
    """What an architecture is called."""
    return family if method == "original" else f"{method}-{family}"


def _all() -> Iterator[Architecture]:
    for family, (origin, plans) in _PLAIN.items():
        for method, genotype in _genotypes(origin):
            yield Architecture(name_of(family, method), family, method, genotype, plans=plans)
    yield Architecture("ResNet-50", "ResNet-50", "original", _UNKNOWN, plans={"imagenet": _resnet50})
    yield Architecture("NAT-ResNet-50", "ResNet-50", "NAT", reason=_NO_BOTTLENECK)
    for family, (origin, stacks) in _CELLS.items():
        for method, genotype in _genotypes(origin):
            yield Architecture(name_of(family, method), family, method, genotype, stacks)
    yield Architecture("GHN", "GHN", "original", reason=_NO_GENOTYPE)
    for family in _TRIED_BY_NAO:
        yield Architecture(name_of(family, "NAO"), family, "NAO", reason=_NO_NAO)


def _resnet50(genotype: Genotype) -> Plan:
    return resnet((3, 4, 6, 3), genotype, size=224, bottleneck=True)


def _genotypes(origin: str) -> Iterator[tuple[Method, Genotype]]:
    yield "original", GENOTYPES[origin]
    for method, prefix in _PREFIXES.items():
        for name, source in ORIGINS.items():
            if source == origin and name.startswith(prefix):
                yield method, GENOTYPES[name]


CATALOG: Mapping[str, Architecture] = {architecture.name: architecture for architecture in _all()}
"""By name."""
