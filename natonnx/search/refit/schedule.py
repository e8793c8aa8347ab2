"""What a refit has to run: which operators it fits, the steps that they depend on, and what the original gives."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from natonnx.search.refit.aim import Aim
from natonnx.search.refit.site import Site
from natonnx.supernet.plan import Plan

__all__ = ["Schedule"]


@dataclass(frozen=True)
class Schedule:
    """What a refit has to run.

    Attributes:
        steps: Positions in the plan, in order.
        fits: The sites to fit, by the position of the step behind which that is done.
        given: Tensors that the original computes just as well.
        spent: Tensors that nothing reads behind a step, by its position.
    """

    steps: tuple[int, ...]
    fits: Mapping[int, tuple[tuple[Site, Aim], ...]]
    given: tuple[str, ...]
    spent: Mapping[int, tuple[str, ...]]

    @classmethod
    def of(
        cls, plan: Plan, original: Plan, sites: Iterable[tuple[Site, Aim]], constants: Collection[str]
    ) -> "Schedule":
        """Find the sites whose input, join or target differs from the original's, and what they need.

        Args:
            plan: What α runs.
            original: What the original runs.
            sites: All sites of α.
            constants: Names of the tensors that depend on no input.
        """
        known = {name for step in original.steps for name in step.outputs}
        ending: dict[int, list[tuple[Site, Aim]]] = {}
        for site, aim in sites:
            if aim.tensor in known:
                ending.setdefault(aim.end, []).append((site, aim))
        fits, changed = _affected(plan, original, ending)
        own = {position for found in fits.values() for site, _ in found for position in site.steps}
        reads = {
            i: {name for name in step.inputs if name and name not in constants} for i, step in enumerate(plan.steps)
        }
        needed: set[str] = set()
        spent: dict[int, tuple[str, ...]] = {}
        steps: list[int] = []
        for i in reversed(range(len(plan.steps))):
            made = set(plan.steps[i].outputs)
            if i in fits or i in own or (i in changed and not needed.isdisjoint(made)):
                steps.append(i)
                read = reads[i].union(*(reads[site.steps[0]] for site, _ in fits.get(i, ())))
                spent[i] = tuple((read | made) - needed)
                needed |= read
        made = {name for i in steps for name in plan.steps[i].outputs}
        return cls(tuple(steps[::-1]), fits, tuple(sorted(needed - made)), spent)


def _affected(
    plan: Plan, original: Plan, ending: Mapping[int, list[tuple[Site, Aim]]]
) -> tuple[dict[int, tuple[tuple[Site, Aim], ...]], set[int]]:
    """Return the sites to fit by where they end, and the positions of the steps that make something new."""
    same = {step.instruction for step in original.steps}
    fits: dict[int, tuple[tuple[Site, Aim], ...]] = {}
    positions: set[int] = set()
    changed: set[str] = set()
    for i, step in enumerate(plan.steps):
        differs = step.instruction not in same or not changed.isdisjoint(step.inputs)
        found = tuple((site, aim) for site, aim in ending.get(i, ()) if differs or aim.is_passed_on)
        if found:
            fits[i] = found
        if differs or found:
            positions.add(i)
            changed.update(filter(None, step.outputs))
    return fits, positions
