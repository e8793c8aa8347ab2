"""What training asks of a table's networks."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from natonnx.policy.graph import Graph
from tools.research.nasbench.space import Walk

__all__ = ["Networks"]


class Networks(Protocol):
    """Networks of one topology, by position, as `Space` has them."""

    @property
    def cells(self) -> Sequence[str]:
        """What each is called."""

    @property
    def ops(self) -> Tensor:
        """What each edge of each network carries [networks, edges]."""

    @property
    def features(self) -> Tensor:
        """`encode` of every network [networks, edges, FEATURES]."""

    @property
    def choices(self) -> Tensor:
        """`encode_choices` of every network [networks, edges, width, CHOICE]."""

    @property
    def masks(self) -> Tensor:
        """What each edge of each network may become [networks, edges, width]."""

    @property
    def current(self) -> Tensor:
        """Column of each edge's state [networks, edges]."""

    def graph(self, count: int) -> Graph:
        """The graph of `count` networks at once."""

    def walk(self, betas: Tensor, logits: Tensor, count: int | None, generator: torch.Generator) -> Walk:
        """Draw α's; see `Space.walk`."""
