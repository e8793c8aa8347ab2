"""Null propagation: which feature maps of an architecture are alive, which are needed, which edges carry anything."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from natonnx.architecture.graph import Architecture, Join
from natonnx.architecture.state import State

__all__ = ["Flags", "Flow", "Liveness", "find_liveness"]

Flags = NDArray[np.bool_]


class Flagged(Protocol):
    """Truth values by position."""

    def __getitem__(self, position: int, /) -> Any: ...


class Flow(Protocol):
    """Null propagation as `Liveness` has it, now."""

    @property
    def live(self) -> Flagged:
        """See `Liveness.live`."""

    @property
    def needed(self) -> Flagged:
        """See `Liveness.needed`."""

    @property
    def active(self) -> Flagged:
        """See `Liveness.active`."""


@dataclass(frozen=True)
class Liveness:
    """Null propagation of one architecture.

    Attributes:
        live: Per feature map: it receives a value from the model's input.
        needed: Per feature map: a model output depends on it through edges that are not null.
        active: Per edge: not null, its source alive and its target needed; only these cost anything.
        broken: Why the architecture cannot run (a dead output, or a dead input of a needed opaque join or of a needed
            operation that reads several maps); else None.
    """

    live: Flags
    needed: Flags
    active: Flags
    broken: str | None


def find_liveness(architecture: Architecture) -> Liveness:
    """Propagate null through an architecture, in time linear in its size.

    A map without a live input is dead, and its outgoing edges carry nothing; a concat does not live by members that
    have no channels. An opaque join needs all its inputs, and
    so does an operation that reads further maps besides its edge's source.
    """
    topology, states = architecture.topology, architecture.states
    maps, ends, empty = topology.maps, topology.ends, topology.empty_members
    live = [False] * len(maps)  # lists: element access is several times faster than on arrays
    for i, fmap in enumerate(maps):
        if fmap.join is Join.INPUT:
            live[i] = True
        elif fmap.join is Join.OPAQUE:
            live[i] = all(live[source] for source in topology.fixed_inputs[i])
        else:
            for e in topology.incoming[i]:
                if states[e] != State.N and live[ends[e][0]] and e not in empty:
                    live[i] = True
                    break
    needed = [False] * len(maps)
    for name in topology.outputs:
        needed[topology.map_index[name]] = True
    broken, further = None, topology.further_inputs
    for i in reversed(range(len(maps))):
        if not needed[i]:
            continue
        if not live[i]:
            broken = _explain(architecture, i) or broken
        for source in topology.fixed_inputs[i]:
            needed[source] = True
        for e in topology.incoming[i]:
            if states[e] != State.N:
                needed[ends[e][0]] = True
            if e in further and states[e].is_operation:
                for source in further[e]:
                    needed[source] = True
                if not all(live[source] for source in (ends[e][0], *further[e])):
                    broken = f"the operation {topology.edges[e].name!r} would lose an input"
    active = np.array(
        [state != State.N and live[s] and live[t] and needed[t] for state, (s, t) in zip(states, ends, strict=True)],
        bool,
    )
    return Liveness(np.array(live, bool), np.array(needed, bool), active, broken)


def _explain(architecture: Architecture, dead: int) -> str | None:
    fmap = architecture.topology.maps[dead]
    if fmap.name in architecture.topology.outputs:
        return f"the model's output {fmap.name!r} would no longer depend on its input"
    if fmap.join is Join.OPAQUE:
        return f"the fixed node that makes {fmap.name!r} would lose an input"
    return None
