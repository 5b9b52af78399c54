"""Checks a chain of transforms when it is built: pieces that undo or contradict each other, and why they do."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import pairwise
from math import isclose

from robo_reward.errors import UserError
from robo_reward.transform_kinds import Nature, Transform, name_of, nature_of

WAYS_OUT = "(docs/shaping.md has the table of what may follow what)"


def check_chain(transforms: Sequence[Transform], has_base: bool) -> None:
    """Refuses what contradicts itself and warns about what has no effect or weakens a promise.

    ``has_base``: the reward is not zero before the first transform (the simulator's own reward).

    Raises:
        UserError: with the two pieces, the reason and the order that works.
    """
    parts = [(name_of(t), nature_of(t)) for t in transforms]
    _check_reshapes_have_something(parts, has_base)
    _check_potentials(parts)
    _check_discounts(parts)
    _check_normalisers(parts)
    _check_scopes(parts)
    _check_strata(parts)
    _check_lasting(parts)
    _warn_about_repeats(transforms)
    _warn_about_bounds(parts)
    _warn_about_changes(parts)
    _warn_about_filters(parts)


def check_normalised_advantage(transforms: Sequence[Transform]) -> None:
    """For learners that divide a group's rewards by their standard deviation, as GRPO does.

    (R - mean) / std cancels every positive factor that a group shares, so a scale in the chain would be silently inert.

    Raises:
        UserError: that names the piece and the ways out.
    """
    for transform in transforms:
        if nature_of(transform).scales:
            raise UserError(
                f"transform {name_of(transform)} scales the rewards of a whole group, and advantages that are divided "
                "by the group's standard deviation cancel that exactly: leave the scale out (weighting=false)"
            )


def check_learners_discount(transforms: Sequence[Transform], gamma: float | None) -> None:
    """For a learner that discounts a transition by ``gamma``; None: not known.

    Raises:
        UserError: for a piece that was given another discount, under which it would move the optimum.
    """
    for transform in transforms:
        nature = nature_of(transform)
        if gamma is not None and nature.discount is not None and not isclose(nature.discount, gamma):
            raise UserError(
                f"transform {name_of(transform)} discounts by {_discount(nature)} and the learner by {gamma:g}: only "
                "the learner's own leaves the optimum where it is. A chain takes it over with "
                "gamma: ${oc.select:learner.sac.gamma,${oc.select:learner.gamma,0.98}}, as transform=potential does"
            )


def pays_unbounded_level(transforms: Sequence[Transform]) -> str | None:
    """The name of a level reward that no absorbing end completes; None without one.

    Where success ends the episode such a level is an income that ends with it, so it pays a policy to avoid success.
    """
    name = None
    for transform in transforms:
        nature = nature_of(transform)
        if _is_cut(nature):
            name = name_of(transform)
        elif nature.at_end == "completes":
            name = None
    return name


def _is_cut(nature: Nature) -> bool:
    """Whether it is an income that ends with the episode."""
    return nature.pays == "level" or nature.lifts or nature.at_end == "cut"


def _check_reshapes_have_something(parts: Sequence[tuple[str, Nature]], has_base: bool) -> None:
    seen = has_base
    for name, nature in parts:
        if nature.role == "reshape" and nature.pays is None and not seen:
            raise UserError(
                f"transform {name} reshapes the reward so far, and nothing before it pays any: "
                f"put an objective (level, gold, gain) before it {WAYS_OUT}"
            )
        seen = seen or nature.role in ("objective", "unknown") or nature.pays is not None


def _check_potentials(parts: Sequence[tuple[str, Nature]]) -> None:
    shaped = False
    for name, nature in parts:
        shaped = shaped or nature.role == "potential"
        if nature.role == "reshape" and shaped:
            raise UserError(
                f"transform {name} after Potential: a reshaped potential no longer telescopes, so the shaping would "
                f"move the optimum; put Potential last, after {name} {WAYS_OUT}"
            )


def _check_discounts(parts: Sequence[tuple[str, Nature]]) -> None:
    first: tuple[str, Nature] | None = None
    for name, nature in parts:
        if nature.discount is None:
            continue
        first = first or (name, nature)
        if not isclose(nature.discount, first[1].discount or 0.0):
            raise UserError(
                f"transform {first[0]} with {_discount(first[1])} and {name} with {_discount(nature)}: only the "
                "learner's discount leaves the optimum where it is, and a learner has one; give both the same"
            )


def _discount(nature: Nature) -> str:
    over = "" if nature.steps == 1 else f" over {nature.steps} steps ({nature.discount:g} a transition)"
    return f"gamma={nature.gamma:g}{over}"


def _check_normalisers(parts: Sequence[tuple[str, Nature]]) -> None:
    running = [name for name, nature in parts if nature.scope == "running"]
    if len(running) > 1:
        raise UserError(f"transforms {' and '.join(running)}: the later one undoes the earlier one's scale; keep one")
    for (first, before), (second, after) in pairwise(parts):
        if after.scope == "running" and before.role == "reshape" and before.high is not None and before.low is not None:
            warnings.warn(
                f"transform {second} right after {first}: it rescales the range [{before.low:g}, {before.high:g}] that "
                f"{first} was chosen for; swap them to bound the reward that the learner sees",
                stacklevel=4,
            )


def _check_scopes(parts: Sequence[tuple[str, Nature]]) -> None:
    running = [name for name, nature in parts if nature.scope == "running"]
    whole = [name for name, nature in parts if nature.scope in ("episode", "group")]
    if running and whole:
        raise UserError(
            f"transform {running[0]} prices as the worlds go, transform {whole[0]} only when an episode is over: "
            "they cannot stand in one chain; leave one out"
        )


def _check_strata(parts: Sequence[tuple[str, Nature]]) -> None:
    strata = None
    for name, nature in parts:
        if strata is not None and (nature.role in ("objective", "potential") or nature.pays is not None):
            raise UserError(
                f"transform {name} after {strata}: what it adds could put a failure above a success, which {strata} "
                f"rules out; put {name} before it, or leave it out {WAYS_OUT}"
            )
        strata = name if nature.scope == "group" and nature.role == "reshape" else strata


def _check_lasting(parts: Sequence[tuple[str, Nature]]) -> None:
    lasting = completed = once = None
    paid = set[str | None]()
    for name, nature in parts:
        if completed and _is_cut(nature):
            raise UserError(
                f"transform {name} pays a level after {completed}, so success would end that income again and the "
                f"policy be paid for avoiding it: put {name} before {completed} {WAYS_OUT}"
            )
        if lasting and nature.role == "reshape" and not (nature.low is None and nature.high is None):
            raise UserError(
                f"transform {name} after {lasting} bounds what the lasting end is worth, so that hovering short of "
                "success would earn more than success: "
                + (f"put {name} before {lasting}" if paid - {lasting} else f"leave {name} out")
                + f" {WAYS_OUT}"
            )
        if nature.at_end == "completes" and completed:
            raise UserError(f"transform {name} twice: the last state would count as lasting twice over; keep one")
        if nature.at_end == "completes" and once:
            raise UserError(
                f"transform {once} before {name} is paid in full already, or once: what happens once does not go on "
                "after the end. "
                + (f"Put {once} after {name}" if paid - {once} else f"Leave {name} out")
                + f" {WAYS_OUT}"
            )
        completed = name if nature.at_end == "completes" else completed
        lasting = name if nature.at_end in ("completes", "lasts") else lasting
        once = name if nature.pays in ("change", "event") and nature.at_end != "cut" else once
        paid |= {name} if nature.role in ("objective", "unknown") else set()


def _warn_about_repeats(transforms: Sequence[Transform]) -> None:
    for earlier, later in pairwise(transforms):
        nature = nature_of(later)
        same = (name_of(earlier), nature_of(earlier), earlier.base_reward)
        if same != (name_of(later), nature, later.base_reward):
            continue
        if nature.role == "reshape":
            why = "it bends again what it has bent"
        elif nature.role == "objective" and nature.pays in ("level", "change"):
            why = f"{nature.pays}s of the same are paid twice; one with the sum of the weights says so"
        else:
            continue
        warnings.warn(f"transform {name_of(later)} right after {name_of(earlier)}: {why}", stacklevel=4)


def _warn_about_bounds(parts: Sequence[tuple[str, Nature]]) -> None:
    for (first, before), (second, after) in pairwise(parts):
        if None in (before.low, before.high, after.low, after.high) or second != "Clip":
            continue
        assert before.low is not None
        assert before.high is not None
        assert after.low is not None
        assert after.high is not None
        if after.low <= before.low and before.high <= after.high:
            warnings.warn(
                f"transform {second} to [{after.low:g}, {after.high:g}] has no effect: {first} already keeps the "
                f"reward within [{before.low:g}, {before.high:g}]",
                stacklevel=4,
            )


def _warn_about_changes(parts: Sequence[tuple[str, Nature]]) -> None:
    changes = [name for name, nature in parts if nature.pays == "change"]
    if changes and any(nature.role == "potential" for _, nature in parts):
        warnings.warn(
            f"transform {changes[0]} beside Potential: both pay for progress that changes, and {changes[0]} moves the "
            "optimum that Potential leaves alone; drop one",
            stacklevel=4,
        )
    names = [name for name, _ in parts]
    if changes and "MinForm" in names[names.index(changes[0]) :]:
        warnings.warn(
            f"transform MinForm over {changes[0]}: changes of progress are often rightly negative (going back to try "
            "again), and the minimum then blames the retreat; use it on the progress itself (transform=min_form)",
            stacklevel=4,
        )


def _warn_about_filters(parts: Sequence[tuple[str, Nature]]) -> None:
    if parts and parts[-1][1].role == "filter":
        warnings.warn(
            f"transform {parts[-1][0]} stands last and has no effect: it changes what the pieces after it see; put it "
            "first",
            stacklevel=4,
        )
        return
    for place, (name, nature) in enumerate(parts):
        if nature.role != "filter" or nature.source is None:
            continue
        after = [part for part in parts[place + 1 :] if part[1].role != "filter"]
        if not any(_may_read(nature.source, part) for _, part in after):
            reads = ", ".join(f"{n} reads {part.source}" for n, part in after if part.source)
            warnings.warn(
                f"transform {name} has no effect: it changes {nature.source}, which nothing after it reads"
                + (f" ({reads})" if reads else ""),
                stacklevel=4,
            )


def _may_read(source: str, nature: Nature) -> bool:
    """Whether a piece reads that estimate; one that adds to the reward and names no source may read any."""
    return nature.source == source or (nature.source is None and nature.role != "reshape")
