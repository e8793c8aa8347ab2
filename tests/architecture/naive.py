"""What the paper's rules say, spelled out without regard to speed; shares no code with natonnx."""

from collections.abc import Collection
from typing import NamedTuple

from natonnx.architecture import (
    LETTERS,
    Architecture,
    ChannelCutRule,
    Edge,
    FeatureMap,
    Join,
    Operation,
    Skip,
    State,
    Weight,
)

__all__ = [
    "Counts",
    "Loss",
    "Losses",
    "StuckError",
    "active",
    "broken",
    "change",
    "cost",
    "grows",
    "illegal",
    "live",
    "losses",
    "needed",
    "runs",
    "single_is_legal",
    "transitions",
    "walk_options",
]


class Counts(NamedTuple):
    params: int
    madds: int | None


def transitions(edge: Edge, state: State) -> list[State]:
    """What an edge may be asked to become: S is no way back, and an operation only becomes a cheaper one."""
    if state in ("S", "N"):
        return [State.N if state == "S" else State.S]
    listed = {choice.state: list(choice.successors) for choice in edge.cheaper}
    return listed.get(state, [State.S, State.N, *listed])


def _carried(edge: Edge, state: State) -> Operation | None:
    listed = {choice.state: choice.carries for choice in edge.cheaper} | {"O": edge.operation}
    carried = listed.get(state)
    assert not isinstance(carried, Skip)
    return carried


def change(architecture: Architecture, edge: int, state: State) -> Architecture:
    """The architecture with one edge in another state."""
    states = list(architecture.states)
    states[edge] = state
    return Architecture(architecture.topology, tuple(states))


def live(architecture: Architecture, killed: Collection[str] = ()) -> set[str]:
    """Names of the maps that receive something, by repeating the rule until nothing changes."""
    found: set[str] = set()
    while True:
        more = set(found)
        for fmap in architecture.topology.maps:
            feeds = {
                edge.source
                for edge, state in zip(architecture.topology.edges, architecture.states, strict=True)
                if edge.target == fmap.name and state != "N"
            }
            receives = {
                Join.INPUT: True,
                Join.OPAQUE: set(fmap.inputs) <= found,
                Join.SINGLE: bool(feeds & found),
                Join.SUM: bool(feeds & found),
                Join.CONCAT: bool(feeds & found),
            }
            if receives[fmap.join] and fmap.name not in killed:
                more.add(fmap.name)
        if more == found:
            return found
        found = more


def needed(architecture: Architecture) -> set[str]:
    """Names of the maps that an output depends on, by repeating the rule until nothing changes."""
    found = set(architecture.topology.outputs)
    while True:
        more = set(found)
        for edge, state in zip(architecture.topology.edges, architecture.states, strict=True):
            if state != "N" and edge.target in found:
                more.add(edge.source)
        for fmap in architecture.topology.maps:
            if fmap.name in found:
                more.update(fmap.inputs)
        for _, inputs in _of_several(architecture, found):
            more.update(inputs)
        if more == found:
            return found
        found = more


def _of_several(architecture: Architecture, wanted: Collection[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Source and further inputs of each operation that has any, and that something wanted is made of."""
    pairs = zip(architecture.topology.edges, architecture.states, strict=True)
    carried = [(edge, _carried(edge, state)) for edge, state in pairs if edge.target in wanted]
    return [(edge.source, operation.inputs) for edge, operation in carried if operation and operation.inputs]


def active(architecture: Architecture, killed: Collection[str] = ()) -> list[bool]:
    """Per edge, whether it carries something that is used."""
    alive, wanted = live(architecture, killed), needed(architecture)
    pairs = zip(architecture.topology.edges, architecture.states, strict=True)
    return [state != "N" and edge.source in alive and edge.target in wanted for edge, state in pairs]


def broken(architecture: Architecture, killed: Collection[str] = ()) -> bool:
    """Whether an output, or a fixed node or operation of several inputs that an output depends on, starves."""
    alive = live(architecture, killed)
    vital = set(architecture.topology.outputs)
    for fmap in architecture.topology.maps:
        if fmap.join == "opaque" and fmap.name in needed(architecture):
            vital.update({fmap.name, *fmap.inputs})
    for source, inputs in _of_several(architecture, needed(architecture)):
        vital.update({source, *inputs})
    return not vital <= alive


class Loss(NamedTuple):
    """What a tensor has lost of an axis: which of so many channels."""

    axis: int
    size: int
    gone: frozenset[int]


class Losses(NamedTuple):
    """By the name of a map: what its join has lost, and what its readers miss. Whole maps are absent."""

    joins: dict[str, Loss]
    values: dict[str, Loss]


class StuckError(Exception):
    """A tensor has lost channels, and its reader cannot do without them."""


def losses(architecture: Architecture, killed: Collection[str] = ()) -> Losses:
    """What is missing where, from the input on: what feeds a concat no more is missing in it, and in its readers.

    Raises:
        StuckError: If somebody cannot do without.
    """
    found = Losses({}, {})
    used = live(architecture, killed) & needed(architecture)
    carried = active(architecture, killed)
    for fmap in architecture.topology.maps:
        entering = [(e, edge) for e, edge in enumerate(architecture.topology.edges) if edge.target == fmap.name]
        if fmap.name not in used:
            continue
        if fmap.join == "opaque":
            arriving = [found.values.get(name) for name in fmap.inputs]
            if len(arriving) > 1 and any(arriving):
                arriving = [_together(fmap, {name: found.values.get(name) for name in fmap.inputs})]
        elif fmap.join == "concat":
            parts = [
                (_map(architecture, edge.source), found.values.get(edge.source), carried[e]) for e, edge in entering
            ]
            arriving = [_joined(parts, fmap.axis)]
        else:
            arriving = [
                _over(edge, architecture.states[e], found.values.get(edge.source)) for e, edge in entering if carried[e]
            ]
            if any(name in found.values for _, inputs in _of_several(architecture, {fmap.name}) for name in inputs):
                raise StuckError
        if len(set(arriving)) > 1:
            raise StuckError  # one sum, different channels
        for loss in filter(None, set(arriving)):
            found.joins[fmap.name] = loss
            rest = _through(fmap.cut_rules, loss)
            if rest is not None:
                found.values[fmap.name] = rest
                if fmap.name in architecture.topology.outputs:
                    raise StuckError
    return found


def _together(fmap: FeatureMap, losses: dict[str, Loss | None]) -> Loss:
    """A node that reads several tensors can do with less if those that must have all lost the same."""
    lost = {name: loss for name, loss in losses.items() if loss is not None}
    first, *others = lost.values()
    rule = _rule(fmap.cut_rules, first)
    if rule is None or any(other != first for other in others):
        raise StuckError
    for name in losses:
        allowed = {True: name in rule.alike, False: name not in rule.alike or name in rule.whole}
        if not allowed[name in lost]:
            raise StuckError
    return first


def _map(architecture: Architecture, name: str) -> FeatureMap:
    return next(fmap for fmap in architecture.topology.maps if fmap.name == name)


def _joined(parts: list[tuple[FeatureMap, Loss | None, bool]], axis: int | None) -> Loss | None:
    """The members' channels stand one behind the other: nobody knows where if a size is unknown."""
    if all(there and loss is None for _, loss, there in parts):
        return None
    missing: list[bool] = []
    for source, loss, there in parts:
        size = None if axis is None else source.shape[axis]
        if not isinstance(size, int) or (there and loss is not None and loss.axis != axis):
            raise StuckError
        if there and loss is not None:
            missing += [channel in loss.gone for channel in range(loss.size)]
        else:
            missing += [not there] * size
    assert axis is not None
    return Loss(axis, len(missing), frozenset(channel for channel, gone in enumerate(missing) if gone))


def _over(edge: Edge, state: State, loss: Loss | None) -> Loss | None:
    """What an edge makes of its source's loss."""
    if loss is None:
        return None
    operation = _carried(edge, state)
    if operation is not None:
        return _through(operation.cut_rules, loss)
    assert edge.skip is not None
    if edge.skip.pad_channels or (edge.skip.pool and loss.axis != 1):
        raise StuckError  # zeros are appended to all channels; only channels can be pooled one by one
    return loss


def _through(cut_rules: Collection[ChannelCutRule], loss: Loss) -> Loss | None:
    rule = _rule(cut_rules, loss)
    if rule is None:
        raise StuckError
    if rule.out is None:
        return None
    gone = {rule.repeat * channel + k for channel in loss.gone for k in range(rule.repeat)}
    return Loss(rule.out, rule.repeat * loss.size, frozenset(gone))


def _rule(cut_rules: Collection[ChannelCutRule], loss: Loss | None) -> ChannelCutRule | None:
    rules = [rule for rule in cut_rules if loss is not None and rule.axis == loss.axis]
    assert len(rules) <= 1
    return rules[0] if rules else None


def runs(architecture: Architecture, killed: Collection[str] = ()) -> bool:
    """Whether nothing starves and everybody can do without what they lose."""
    if broken(architecture, killed):
        return False
    try:
        losses(architecture, killed)
    except StuckError:
        return False
    return True


def cost(architecture: Architecture) -> Counts:
    """Parameters, each tensor once, and multiply-adds of what is used and not lost."""
    tensors: set[tuple[str, int]] = set()
    madds: list[int | None] = []
    lost = losses(architecture)
    for edge, state, used in zip(architecture.topology.edges, architecture.states, active(architecture), strict=True):
        operation = _carried(edge, state)
        if operation is not None and used:
            loss = lost.values.get(edge.source)
            rule = _rule(operation.cut_rules, loss)
            tensors |= _left(operation.weights, loss, rule)
            count = operation.madds
            if rule is not None and count is not None:
                count = count - rule.madds + _share(rule.madds, loss)
            madds.append(count)
    for fmap in architecture.topology.maps:
        if fmap.name in live(architecture) and fmap.name in needed(architecture):
            loss = lost.joins.get(fmap.name)
            tensors |= _left(fmap.weights, loss, _rule(fmap.cut_rules, loss))
    known = [count for count in madds if count is not None]
    return Counts(sum(size for _, size in tensors), sum(known) if len(known) == len(madds) else None)


def _left(weights: Collection[Weight], loss: Loss | None, rule: ChannelCutRule | None) -> set[tuple[str, int]]:
    cut = rule.weights if rule is not None else frozenset()
    return {(name, _share(size, loss) if name in cut else size) for name, size in weights}


def _share(count: int, loss: Loss | None) -> int:
    """What is left of a count, in proportion."""
    return count if loss is None else count * (loss.size - len(loss.gone)) // loss.size


def grows(before: Counts, after: Counts) -> bool:
    """Whether a count grows; one that was unknown before cannot be seen to."""
    if after.params > before.params:
        return True
    return before.madds is not None and (after.madds is None or after.madds > before.madds)


def illegal(alpha: Architecture, beta: Architecture) -> str | None:
    """Which rule α breaks as a whole: "transition", "broken" or "cost"; None if it is legal."""
    for edge, before, after in zip(beta.topology.edges, beta.states, alpha.states, strict=True):
        if after != before and after not in transitions(edge, before):
            return "transition"
    if not runs(alpha):
        return "broken"
    return "cost" if grows(cost(beta), cost(alpha)) else None


def without_idle_edits(alpha: Architecture, beta: Architecture) -> Architecture:
    """α, but an edge between maps of which one is dead or useless is as in β, unless it carried something there."""
    plain = alpha
    for e, edge in enumerate(alpha.topology.edges):
        joins = edge.source in live(alpha) and edge.target in needed(alpha)
        if not joins and not active(beta)[e]:
            plain = change(plain, e, beta.states[e])
    if plain == alpha or active(plain) != active(alpha):
        return alpha
    return without_idle_edits(plain, beta)


def single_is_legal(architecture: Architecture, edge: int, after: State, origin: Architecture | None = None) -> bool:
    """Whether one edge may make one transition that exists, where there are no concats.

    An operation or a skip that carries nothing any more stays as it is; one that never did may change. Null is to be
    undone nowhere: an added skip brings back nothing that costs anything. In the middle of a larger transformation the
    map that it enters may have lost its other inputs just now: what follows may come back if it lived at the origin.
    """
    if after == "S" and architecture.topology.edges[edge].skip is None:
        return False
    if architecture.states[edge] != "N" and not active(architecture)[edge]:
        return not active(origin or architecture)[edge]
    if architecture.states[edge] == "N":
        if architecture.topology.edges[edge].source not in live(architecture):
            return False
        target = architecture.topology.edges[edge].target
        added = change(architecture, edge, after)
        paid = _below(added, target) if target in live(origin or architecture) else set()
        return not _revived(architecture, added, edge) - paid
    changed = change(architecture, edge, after)
    return not broken(changed) and (after in ("S", "N") or not grows(cost(architecture), cost(changed)))


def _revived(before: Architecture, after: Architecture, edge: int) -> set[str]:
    """Maps that are made or read at a cost after an edge was added, and were not before."""
    used = (live(after) & needed(after)) - (live(before) & needed(before))
    found = {name for name in used if _map(after, name).weights}
    for fmap in after.topology.maps:
        if fmap.inputs and fmap.name in needed(after):  # a fixed node that starves, or did
            found |= ({fmap.name} - live(after)) | ((live(after) - live(before)) & set(fmap.inputs))
    for source, inputs in _of_several(after, needed(after)):
        found |= {source, *inputs} - live(after)
    changes = zip(active(before), active(after), strict=True)
    for e, (was, now) in enumerate(changes):
        operation = _carried(after.topology.edges[e], after.states[e])
        costs = operation is not None and (operation.weights or operation.madds != 0)
        if now and not was and e != edge and costs:
            found.add(after.topology.edges[e].source)
    return found


def _below(architecture: Architecture, name: str) -> set[str]:
    """A map and all that depends on it."""
    found = {name}
    for fmap in architecture.topology.maps:
        fed = zip(architecture.topology.edges, architecture.states, strict=True)
        sources = {edge.source for edge, state in fed if edge.target == fmap.name and state != "N"} | set(fmap.inputs)
        if sources & found:
            found.add(fmap.name)
    return found


def walk_options(architecture: Architecture, edge: int, origin: Architecture) -> list[State]:
    """What a policy may choose for one edge in the middle of a draw."""
    current = architecture.states[edge]
    own = architecture.topology.edges[edge]
    moves = [after for after in transitions(own, current) if single_is_legal(architecture, edge, after, origin)]
    states = [*LETTERS, *(choice.state for choice in own.cheaper)]
    return [state for state in states if state in (current, *moves)]
