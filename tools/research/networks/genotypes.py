"""The genotypes of the paper's tables: what NAT and NAT++ started from and what they made of it, and their rivals.

Cells of architectures of the VGG, ResNet, MobileNetV2, DARTS, ENAS and NAO papers, random ones, and those of
AmoebaNet-A (as in quark0/darts), PNASNet-5 (chenxi116/PNASNet.pytorch) and SNAS with a mild constraint (SNAS-Series).
They are facts, and no code of the authors is used.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tools.research.cells import Link

__all__ = ["GENOTYPES", "ORIGINS", "Genotype"]


class Genotype(NamedTuple):
    """A normal and a reduction cell, of which a network is stacked, with the nodes that each concatenates."""

    normal: tuple[Link, ...]
    normal_concat: tuple[int, ...]
    reduce: tuple[Link, ...]
    reduce_concat: tuple[int, ...]


def _read(block: str) -> Iterator[tuple[str, Genotype]]:
    """Genotypes between the same nodes, one a column: names, then cells, each with its concat in its first line."""
    names, *lines = (line.split() for line in block.splitlines())
    start = lines.index(next(line for line in lines if line[0] == "reduce"))
    for column, name in enumerate(names):
        normal, reduce = (tuple(_link(line, column) for line in part[1:]) for part in (lines[:start], lines[start:]))
        yield name, Genotype(normal, tuple(map(int, lines[0][1:])), reduce, tuple(map(int, lines[start][1:])))


def _link(line: list[str], column: int) -> Link:
    ends, origin, *others = line
    source, target = ends.split("->")
    op = (origin, *others)[column]
    return Link(origin if op == "." else op, int(source), int(target))


_TABLES = """
VGG NAT_VGG NATv2_VGG
normal 5
0->2  null          skip_connect  skip_connect
1->2  skip_connect  .             .
0->3  null          .             skip_connect
2->3  conv_3x3      .             .
0->4  null          .             .
3->4  conv_3x3      .             sep_conv_3x3
0->5  null          skip_connect  skip_connect
4->5  skip_connect  .             .
reduce 5
0->2  null          skip_connect  skip_connect
1->2  skip_connect  .             .
0->3  null          .             skip_connect
2->3  conv_3x3      .             .
0->4  null          .             .
3->4  conv_3x3      .             sep_conv_3x3
0->5  null          skip_connect  skip_connect
4->5  max_pool_3x3  skip_connect  .

ResBlock NAT_ResBlock NATv2_ResBlock
normal 5
0->2  null          .             skip_connect
1->2  skip_connect  .             .
0->3  null          skip_connect  skip_connect
2->3  conv_3x3      .             .
0->4  null          skip_connect  skip_connect
3->4  conv_3x3      .             .
2->5  skip_connect  .             .
4->5  skip_connect  .             .
reduce 5
0->2  null          .             skip_connect
1->2  skip_connect  .             .
0->3  null          skip_connect  skip_connect
2->3  conv_3x3      .             .
0->4  null          skip_connect  skip_connect
3->4  conv_3x3      .             sep_conv_3x3
2->5  skip_connect  .             .
4->5  skip_connect  .             .

Mobilenetv2 NAT_MobileNetv2 NATv2_MobileNetv2
normal 5
0->2  null          .             .
1->2  conv_1x1      .             .
0->3  null          .             .
2->3  sep_conv_3x3  .             .
0->4  null          skip_connect  skip_connect
3->4  conv_1x1      .             .
1->5  skip_connect  .             .
4->5  skip_connect  .             .
reduce 5
0->2  null          .             .
1->2  conv_1x1      skip_connect  skip_connect
0->3  null          skip_connect  skip_connect
2->3  sep_conv_3x3  .             .
0->4  null          .             .
3->4  conv_1x1      .             .
0->5  null          .             .
4->5  skip_connect  .             .

DARTS NAT_DARTS NATv2_DARTS
normal 2 3 4 5
0->2  sep_conv_3x3  .             .
1->2  sep_conv_3x3  .             .
0->3  sep_conv_3x3  skip_connect  null
1->3  sep_conv_3x3  .             skip_connect
1->4  sep_conv_3x3  skip_connect  dil_conv_3x3
0->4  skip_connect  .             .
0->5  skip_connect  .             .
2->5  dil_conv_3x3  .             .
reduce 2 3 4 5
0->2  max_pool_3x3  .             avg_pool_3x3
1->2  max_pool_3x3  skip_connect  .
2->3  skip_connect  .             .
1->3  max_pool_3x3  skip_connect  skip_connect
0->4  max_pool_3x3  .             avg_pool_3x3
2->4  skip_connect  null          .
2->5  skip_connect  .             .
1->5  max_pool_3x3  .             .

ENAS NAT_ENAS NATv2_ENAS
normal 2 3 4 5 6
1->2  sep_conv_3x3  .             .
1->2  skip_connect  .             null
0->3  skip_connect  .             .
1->3  sep_conv_5x5  .             .
0->4  avg_pool_3x3  null          .
1->4  sep_conv_3x3  .             .
0->5  sep_conv_3x3  .             .
1->5  avg_pool_3x3  .             .
0->6  avg_pool_3x3  .             skip_connect
1->6  sep_conv_5x5  .             sep_conv_3x3
reduce 2 3 6
0->2  sep_conv_5x5  .             sep_conv_3x3
1->2  avg_pool_3x3  .             .
1->3  sep_conv_3x3  .             .
1->3  avg_pool_3x3  .             .
1->4  avg_pool_3x3  .             .
1->4  sep_conv_3x3  .             avg_pool_3x3
1->5  avg_pool_3x3  null          .
4->5  sep_conv_5x5  .             .
0->6  sep_conv_5x5  .             .
5->6  sep_conv_3x3  .             max_pool_3x3

NAONet NAT_NAONet NATv2_NAONet
normal 3 5 6
0->2  conv_3x3      .             .
1->2  avg_pool_5x5  .             .
1->3  conv_3x3      null          .
2->3  conv_1x3_3x1  .             .
0->4  conv_1x1      .             max_pool_3x3
1->4  conv_3x3      skip_connect  .
0->5  conv_1x3_3x1  .             max_pool_3x3
4->5  conv_3x3      .             .
0->6  conv_3x3      .             sep_conv_3x3
1->6  skip_connect  .             .
reduce 3 4 5 6
0->2  conv_3x3      null          .
1->2  avg_pool_2x2  avg_pool_3x3  skip_connect
0->3  conv_1x1      .             avg_pool_3x3
0->3  avg_pool_3x3  .             .
0->4  max_pool_2x2  skip_connect  .
1->4  conv_1x7_7x1  .             .
0->5  avg_pool_3x3  .             skip_connect
2->5  conv_1x1      skip_connect  skip_connect
0->6  conv_3x3      .             max_pool_3x3
1->6  max_pool_3x3  .             .

AmoebaNet
normal 4 5 6
0->2  avg_pool_3x3
1->2  max_pool_3x3
0->3  sep_conv_3x3
2->3  sep_conv_5x5
0->4  sep_conv_3x3
3->4  avg_pool_3x3
1->5  sep_conv_3x3
1->5  skip_connect
0->6  skip_connect
1->6  avg_pool_3x3
reduce 3 4 6
0->2  avg_pool_3x3
1->2  sep_conv_3x3
0->3  max_pool_3x3
2->3  sep_conv_7x7
0->4  sep_conv_7x7
1->4  avg_pool_3x3
0->5  max_pool_3x3
1->5  max_pool_3x3
0->6  conv_7x1_1x7
5->6  sep_conv_3x3

PNASNet
normal 2 3 4 5 6
0->2  sep_conv_5x5
0->2  max_pool_3x3
1->3  sep_conv_7x7
1->3  max_pool_3x3
1->4  sep_conv_5x5
1->4  sep_conv_3x3
4->5  sep_conv_3x3
1->5  max_pool_3x3
0->6  sep_conv_3x3
1->6  skip_connect
reduce 2 3 4 5 6
0->2  sep_conv_5x5
0->2  max_pool_3x3
1->3  sep_conv_7x7
1->3  max_pool_3x3
1->4  sep_conv_5x5
1->4  sep_conv_3x3
4->5  sep_conv_3x3
1->5  max_pool_3x3
0->6  sep_conv_3x3
1->6  skip_connect

SNAS
normal 2 3 4 5
0->2  sep_conv_3x3
1->2  sep_conv_3x3
0->3  skip_connect
1->3  dil_conv_3x3
0->4  skip_connect
1->4  skip_connect
0->5  skip_connect
1->5  sep_conv_3x3
reduce 2 3 4 5
0->2  max_pool_3x3
1->2  max_pool_3x3
1->3  max_pool_3x3
2->3  skip_connect
1->4  max_pool_3x3
2->4  skip_connect
0->5  max_pool_3x3
2->5  dil_conv_5x5

R1 NAT_R1
normal 2 3 4 5
1->2  dil_conv_5x5  skip_connect
1->2  dil_conv_5x5  .
1->3  dil_conv_5x5  null
2->3  dil_conv_5x5  .
0->4  sep_conv_3x3  .
3->4  sep_conv_3x3  .
1->5  skip_connect  .
0->5  max_pool_3x3  .
reduce 2 3 4 5
0->2  sep_conv_5x5  .
0->2  max_pool_3x3  .
0->3  skip_connect  .
0->3  sep_conv_3x3  .
0->4  conv_3x3      skip_connect
2->4  max_pool_3x3  skip_connect
2->5  avg_pool_3x3  skip_connect
3->5  conv_3x3      .

R2 NAT_R2
normal 2 3 4 5
1->2  max_pool_3x3  .
0->2  dil_conv_3x3  .
2->3  sep_conv_5x5  null
2->3  avg_pool_3x3  null
0->4  dil_conv_5x5  .
3->4  skip_connect  null
1->5  sep_conv_3x3  .
3->5  max_pool_3x3  .
reduce 2 3 4 5
1->2  conv_3x3      skip_connect
1->2  avg_pool_3x3  .
0->3  max_pool_3x3  skip_connect
0->3  dil_conv_5x5  .
0->4  max_pool_3x3  null
0->4  skip_connect  .
4->5  dil_conv_5x5  .
4->5  skip_connect  .

R3 NAT_R3
normal 2 3 4 5
0->2  conv_3x3      .
0->2  skip_connect  .
0->3  conv_3x3      null
0->3  max_pool_3x3  .
1->4  sep_conv_5x5  null
3->4  sep_conv_3x3  null
4->5  avg_pool_3x3  .
4->5  avg_pool_3x3  null
reduce 2 3 4 5
0->2  skip_connect  .
0->2  max_pool_3x3  .
2->3  sep_conv_5x5  .
0->3  avg_pool_3x3  .
3->4  skip_connect  null
2->4  max_pool_3x3  skip_connect
1->5  max_pool_3x3  .
4->5  sep_conv_5x5  .

R4 NAT_R4
normal 2 3 4 5
1->2  conv_3x3      .
1->2  sep_conv_3x3  .
2->3  conv_3x3      skip_connect
2->3  conv_3x3      null
3->4  sep_conv_3x3  .
0->4  conv_3x3      .
0->5  max_pool_3x3  .
4->5  max_pool_3x3  null
reduce 2 3 4 5
0->2  sep_conv_3x3  .
1->2  sep_conv_5x5  .
2->3  skip_connect  .
2->3  sep_conv_3x3  .
2->4  sep_conv_5x5  skip_connect
1->4  conv_3x3      .
2->5  dil_conv_5x5  null
4->5  max_pool_3x3  skip_connect

R5 NAT_R5
normal 2 3 4 5
0->2  skip_connect  .
0->2  max_pool_3x3  .
2->3  max_pool_3x3  null
0->3  dil_conv_5x5  .
2->4  max_pool_3x3  null
2->4  conv_3x3      .
0->5  conv_3x3      .
2->5  sep_conv_5x5  .
reduce 2 3 4 5
0->2  dil_conv_5x5  .
1->2  avg_pool_3x3  .
0->3  sep_conv_5x5  .
2->3  avg_pool_3x3  .
0->4  conv_3x3      .
0->4  dil_conv_5x5  null
0->5  sep_conv_3x3  skip_connect
4->5  skip_connect  .
"""

_FAMILIES = [dict(_read(block)) for block in _TABLES.strip().split("\n\n")]

GENOTYPES: Mapping[str, Genotype] = {name: genotype for family in _FAMILIES for name, genotype in family.items()}
"""All of them by name; those of NAT begin with NAT_, those of NAT++ with NATv2_."""

ORIGINS: Mapping[str, str] = {name: origin for origin, *others in _FAMILIES for name in others}
"""What each transformed one was made from."""
