"""The cells of the NAT paper and of NAS-Bench-201 as architectures."""

from tools.research.cells.cheaper import TRANSITIONS, Transitions, cheaper_ops
from tools.research.cells.genotype import (
    Link,
    cell,
    links,
    nasbench201_cell,
    nasbench201_ops,
    nasbench201_text,
    transformed,
)

__all__ = [
    "TRANSITIONS",
    "Link",
    "Transitions",
    "cell",
    "cheaper_ops",
    "links",
    "nasbench201_cell",
    "nasbench201_ops",
    "nasbench201_text",
    "transformed",
]
