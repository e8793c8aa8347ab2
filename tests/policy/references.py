"""Slow, plain versions of what the policies compute."""

from collections.abc import Collection, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from natonnx.architecture import LETTERS, Architecture, Join, State, Topology, edits_between
from natonnx.policy.directed import DirectedGCNPolicy
from natonnx.policy.encode import encode, encode_choices
from natonnx.policy.gcn import GCNPolicy
from tests.architecture import naive

__all__ = [
    "by_alpha",
    "choices_of",
    "dense",
    "directed_logits",
    "draw_order",
    "edit_count",
    "enumerate_alphas",
    "gcn_logits",
    "is_one_of",
    "mean_over",
    "readers",
    "relations",
    "seeded",
]

STATES = LETTERS


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def choices_of(topology: Topology) -> torch.Tensor:
    return torch.from_numpy(encode_choices(topology))


def edit_count(alpha: Architecture, beta: Architecture) -> int:
    return len(edits_between(beta, alpha))


def readers(topology: Topology) -> set[tuple[int, int]]:
    """Pairs of edges of which the second reads what the first writes, through fixed nodes if need be."""
    maps = {fmap.name: fmap for fmap in topology.maps}

    def written_by_edges(name: str) -> set[str]:
        if maps[name].join is not Join.OPAQUE:
            return {name}
        return {found for source in maps[name].inputs for found in written_by_edges(source)}

    return {
        (e, f)
        for e, writer in enumerate(topology.edges)
        for f, reader in enumerate(topology.edges)
        if writer.target in written_by_edges(reader.source)
    }


def relations(topology: Topology) -> dict[str, set[tuple[int, int]]]:
    """Pairs of edges by what leads from the first to the second."""
    feeds = readers(topology)
    every = list(enumerate(topology.edges))
    return {
        "feeds": feeds,
        "reads": {(f, e) for e, f in feeds},
        "joins": {(e, f) for e, one in every for f, other in every if e != f and one.target == other.target},
    }


def dense(pairs: Collection[tuple[int, int]], count: int) -> NDArray[np.float64]:
    """The matrix of a relation: row f has ones where something leads to f."""
    matrix = np.zeros((count, count))
    for e, f in pairs:
        matrix[f, e] += 1
    return matrix


def mean_over(matrix: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Row by row the mean of the values that the row has ones for, zero where it has none."""
    count: NDArray[np.float64] = np.maximum(1, matrix.sum(1, keepdims=True))
    return matrix @ values / count


def gcn_logits(policy: GCNPolicy, architecture: Architecture) -> NDArray[np.float64]:
    """Z = (A·σ(A·X·W⁰ + b⁰)·W¹ + b¹)·W^FC + b^FC in float64, dense.

    A = D^-1/2·(A + Aᵀ + I)·D^-1/2, or without Aᵀ, where in- and out-degrees differ, or without I.
    """
    weights = parameters(policy)
    count = len(architecture.states)
    touching = dense(readers(architecture.topology), count)
    if not policy.directed:
        touching = touching + touching.T
    if policy.loops:
        touching = touching + np.eye(count)
    entering, leaving = (np.maximum(1, touching.sum(axis)) ** -0.5 for axis in (1, 0))
    mixing = entering[:, None] * touching * leaving[None, :]
    hidden: NDArray[np.float64] = encode(architecture).astype(np.float64)
    for i in range(len(policy.layers)):
        hidden = np.maximum(0, hidden) if i else hidden
        hidden = mixing @ hidden @ weights[f"layers.{i}.weight"] + weights[f"layers.{i}.bias"]
    return head_scores(policy.head, hidden, architecture.topology)


def directed_logits(
    policy: DirectedGCNPolicy, features: NDArray[np.float64], topology: Topology
) -> NDArray[np.float64]:
    """H ← H + W²·σ(W¹·[LN(H), means of LN(H) over feeds, reads, joins, all]), a layer; then a head on LN(H)."""
    weights = parameters(policy.body)
    count = len(topology.edges)
    around = [dense(pairs, count) for pairs in relations(topology).values()]

    def linear(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
        centred = values - values.mean(1, keepdims=True)
        unit: NDArray[np.float64] = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5)
        return unit * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    hidden = linear("embed", features)
    for i in range(len(policy.body.layers)):
        own = norm(f"layers.{i}.norm", hidden)
        seen = [own, *(mean_over(matrix, own) for matrix in around), mean_over(np.ones((count, count)), own)]
        inner: NDArray[np.float64] = np.maximum(0, linear(f"layers.{i}.mix", np.concatenate(seen, 1)))
        hidden = hidden + linear(f"layers.{i}.out", inner)
    return head_scores(policy.head, norm("norm", hidden), topology)


def head_scores(head: nn.Module, hidden: NDArray[np.float64], topology: Topology) -> NDArray[np.float64]:
    """(H·W + b) for O, S and N; for each other choice that of O, and what H makes of its features, one by one."""
    weights, choices = parameters(head), choices_of(topology).double().numpy()
    letters = hidden @ weights["letters.weight"].T + weights["letters.bias"]
    made = hidden @ weights["cheaper.weight"].T + weights["cheaper.bias"]
    columns = range(3, choices.shape[1])
    others = [
        [own[0] + float(row @ one[c, 3:]) for c in columns]
        for own, row, one in zip(letters, made, choices, strict=True)
    ]
    return np.concatenate([letters, np.array(others).reshape(len(hidden), len(columns))], 1)


def parameters(module: nn.Module) -> dict[str, NDArray[np.float64]]:
    """Weights by name, in float64."""
    return {name: value.detach().double().numpy() for name, value in module.named_parameters()}


def draw_order(beta: Architecture) -> list[int]:
    """Edges that carry nothing, null ones, the rest."""
    edges = range(len(beta.states))
    used = naive.active(beta)
    idle = [e for e in edges if beta.states[e] != "N" and not used[e]]
    return [*idle, *(e for e in edges if beta.states[e] == "N"), *(e for e in edges if used[e])]


def enumerate_alphas(beta: Architecture, logits: NDArray[np.float64]) -> dict[tuple[State, ...], float]:
    """All edge-by-edge choices, idle edges first, then null ones, as the states they lead to, and log π of them."""
    found: dict[tuple[State, ...], float] = {}
    order = draw_order(beta)

    def decide(alpha: Architecture, step: int, log_pi: float) -> None:
        if step == len(order):
            assert alpha.states not in found
            found[alpha.states] = log_pi
            return
        edge = order[step]
        options = naive.walk_options(alpha, edge, beta)
        states = [*STATES, *(choice.state for choice in beta.topology.edges[edge].cheaper)]
        scores = np.array([logits[edge, states.index(option)] for option in options])
        normaliser = np.log(np.exp(scores - scores.max()).sum()) + scores.max()
        for option, score in zip(options, scores, strict=True):
            decide(naive.change(alpha, edge, option), step + 1, log_pi + float(score - normaliser))

    decide(beta, 0, 0.0)
    return found


def by_alpha(table: dict[tuple[State, ...], float], beta: Architecture) -> dict[tuple[State, ...], list[float]]:
    """The choices that lead to each α when those without effect are undone: log π of all of them."""
    found: dict[tuple[State, ...], list[float]] = {}
    for states, log_pi in table.items():
        found.setdefault(naive.without_idle_edits(beta.with_states(states), beta).states, []).append(log_pi)
    return found


def is_one_of(values: Iterable[float], choices: Iterable[Sequence[float]]) -> bool:
    """Whether each value is within 1e-4 of one of its choices."""
    return all(min(abs(value - one) for one in some) < 1e-4 for value, some in zip(values, choices, strict=True))
