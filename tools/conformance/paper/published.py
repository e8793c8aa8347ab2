"""The parameter and MAdds columns of the paper's two comparison tables, as its slides print them."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tools.research.networks.catalog import CATALOG, Variant

__all__ = ["REASONS", "ROWS", "Row"]


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        variant: Which table.
        name: The architecture's name in the catalog.
        params: Millions, as printed; "-" where nothing is.
        madds: Millions, as printed; "-" where nothing is.
    """

    variant: Variant
    name: str
    params: str
    madds: str


_TABLES: Mapping[Variant, str] = {
    "cifar": """
VGG16            15.2  313
NAO-VGG16        19.5  548
NAT-VGG16        15.2  315
ResNet-20        0.3   41
NAO-ResNet-20    0.4   61
NAT-ResNet-20    0.3   42
ResNet-56        0.9   127
NAO-ResNet-56    1.3   199
NAT-ResNet-56    0.9   129
MobileNetV2      2.3   91
NAO-MobileNetV2  2.9   131
NAT-MobileNetV2  2.3   92
AmoebaNet-A      3.2   -
PNASNet          3.2   -
SNAS             2.9   -
GHN              5.7   -
ENAS             4.6   804
NAO-ENAS         4.5   763
NAT-ENAS         4.6   804
DARTS            3.3   533
NAO-DARTS        3.5   577
NAT-DARTS        3.0   483
NAONet           128   66016
NAO-NAONet       143   73705
NAT-NAONet       113   58326
""",
    "imagenet": """
VGG16            138.4  15620
NAO-VGG16        147.7  18896
NAT-VGG16        138.4  15693
ResNet-18        11.7   1580
NAO-ResNet-18    17.9   2246
NAT-ResNet-18    11.7   1588
ResNet-50        25.6   3530
NAO-ResNet-50    34.8   4505
NAT-ResNet-50    25.6   3547
MobileNetV2      3.4    300
NAO-MobileNetV2  4.5    513
NAT-MobileNetV2  3.4    302
AmoebaNet-A      5.1    555
PNASNet          5.1    588
SNAS             4.3    522
GHN              6.1    569
ENAS             5.6    679
NAO-ENAS         5.5    656
NAT-ENAS         5.6    679
DARTS            5.9    595
NAO-DARTS        6.1    627
NAT-DARTS        3.9    515
NAONet           11.35  1360
NAO-NAONet       11.83  1417
NAT-NAONet       8.36   1025
""",
}


def _rows() -> Iterator[Row]:
    for variant, table in _TABLES.items():
        for line in table.strip().splitlines():
            name, params, madds = line.split()
            assert name in CATALOG, name
            yield Row(variant, name, params, madds)


ROWS: tuple[Row, ...] = tuple(_rows())

_UNTOLD_SHORTCUTS = "a shortcut without parameters costs nothing by our count; how the paper counts it is not known"
_OWN_CONFIGURATION = "the figures are of its own paper, whose configuration is not the layout here"
_OTHER_CELL = (
    "not the released genotype, whose reduction turns the expansion into a skip and so saves what the row does not"
)

REASONS: Mapping[tuple[Variant, str], str] = {
    ("cifar", "NAT-VGG16"): _UNTOLD_SHORTCUTS,
    ("cifar", "NAT-ResNet-20"): f"the MAdds agree by chance: the original's are by our count; {_UNTOLD_SHORTCUTS}",
    ("cifar", "NAT-ResNet-56"): _UNTOLD_SHORTCUTS,
    ("cifar", "NAT-MobileNetV2"): _OTHER_CELL,
    ("cifar", "AmoebaNet-A"): _OWN_CONFIGURATION,
    ("cifar", "PNASNet"): _OWN_CONFIGURATION,
    ("cifar", "SNAS"): _OWN_CONFIGURATION,
    ("cifar", "ENAS"): "the size is the ENAS paper's; no depth of 14 to 29 with a width of 28 to 51 gives both figures",
    ("cifar", "NAT-ENAS"): "as ENAS: it only drops two poolings",
    ("cifar", "NAT-DARTS"): "not the released genotype; see the line below the table",
    ("cifar", "NAONet"): "the size is the NAO paper's; the MAdds are three times the authors' count, why is not known",
    ("cifar", "NAT-NAONet"): "neither figure is this genotype's at 128 channels and 20 cells; why is not known",
    ("imagenet", "VGG16"): "15,470 million by definition; where the rest comes from is not known",
    ("imagenet", "NAT-VGG16"): "as VGG16",
    ("imagenet", "ResNet-18"): "1,814 million by definition; where the difference comes from is not known",
    ("imagenet", "NAT-ResNet-18"): "as ResNet-18",
    ("imagenet", "ResNet-50"): "3,858 million by definition; where the difference comes from is not known",
    ("imagenet", "MobileNetV2"): "the figures are the MobileNetV2 paper's; its layers add up to 3.5",
    ("imagenet", "NAT-MobileNetV2"): f"{_OTHER_CELL}; the parameters agree by chance",
    ("imagenet", "AmoebaNet-A"): _OWN_CONFIGURATION,
    ("imagenet", "PNASNet"): _OWN_CONFIGURATION,
    ("imagenet", "SNAS"): _OWN_CONFIGURATION,
    ("imagenet", "NAONet"): "the MAdds are the NAO paper's; the size is this network's",
}
"""What is known of rows that can be built and whose figures are not ours, or are so by chance."""
