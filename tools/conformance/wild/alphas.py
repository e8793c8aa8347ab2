"""Random legal architectures, reached step by step."""

import random

from natonnx.architecture import Architecture, find_liveness, legal_transitions, violation

__all__ = ["random_alpha"]

_AT_ONCE = 16
"""A round makes this fraction of the missing changes at once; legality is judged anew after each round."""


def random_alpha(beta: Architecture, seed: random.Random | int, rate: float = 0.2) -> Architecture:
    """Draw a jointly legal α that differs from β.

    α is walked to: each round judges the transitions of the architecture as it is by then, so that changes combine
    which β alone would not allow (a shortcut before the operation that it makes superfluous).

    Args:
        beta: The architecture to start from.
        seed: Of the draw, or the generator to draw from.
        rate: Share of β's changeable edges to change, at least one; fewer where no legal change is left.

    Returns:
        α; β itself only where no single legal transition leads to a legal architecture.
    """
    generator = seed if isinstance(seed, random.Random) else random.Random(seed)  # noqa: S311 - not for secrets
    origin = find_liveness(beta)
    untouched = {e for e, verdict in enumerate(legal_transitions(beta)) if None in verdict.values()}
    missing = max(1, round(rate * len(untouched)))
    untouched = set(range(len(beta.states)))
    alpha = beta
    while missing > 0:
        verdicts = legal_transitions(alpha, origin)
        options = {e: [s for s, reason in verdicts[e].items() if reason is None] for e in sorted(untouched)}
        able = [e for e, states in options.items() if states]
        if not able:
            break
        chosen = generator.sample(able, min(len(able), max(1, missing // _AT_ONCE)))
        changes = {e: generator.choice(options[e]) for e in chosen}
        for attempt in (changes, dict([next(iter(changes.items()))])):
            states = tuple(attempt.get(e, state) for e, state in enumerate(alpha.states))
            if violation(beta.with_states(states), beta) is None:
                alpha = beta.with_states(states)
                untouched -= attempt.keys()
                missing -= len(attempt)
                break
        else:
            untouched.remove(chosen[0])
    return alpha
