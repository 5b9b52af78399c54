"""Test-time adaptation: a hook changes a policy on its own rollouts, within bounds, and sees nothing of the simulator.

A hook is an object that a user can write in one file. ``bind`` is the single arrow that runs back to the policy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np

from robo_reward.contracts import Estimate, Floats, Observation, Policy, Transition, World
from robo_reward.errors import UserError
from robo_reward.playground import Playground
from robo_reward.sealed_log import SealedError
from robo_reward.trace import Trace
from robo_reward.traits import traits_of
from robo_reward.verdicts import Kept, Verdicts, compared, share

SEEN = "adaptation must not see the simulator's reward or success: it learns from the reward model alone"

FORBIDDEN = ("annotated_success", "expert_action", "simulator", "places", "other_places", "point_out")
"""What worlds offer for annotating demonstrations and for viewers, and nobody who adapts may ask for."""


@runtime_checkable
class AdaptationHook(Protocol):
    """Adapts a policy in rounds. Weights that ``state`` holds are put back where the independent check finds harm."""

    def bind(self, policy: Policy, rounds: int, seed: int) -> None:
        """Takes the policy that is changed in place; ``rounds`` there will be at most."""
        ...

    def adapt(self, ground: Playground) -> Mapping[str, float]:
        """One round on ``ground``: metrics."""
        ...

    def drift(self) -> float:
        """How far the policy has moved, in nats (KL from where it began); NaN: it cannot be told."""
        ...

    def state(self) -> dict[str, Any]: ...

    def load(self, state: Mapping[str, Any]) -> None: ...

    def go_back(self, state: Mapping[str, Any]) -> None:
        """Takes back the weights of ``state``, and goes on counting."""
        ...


class Forbidden:
    """Stands where the simulator's reward was. Reading it in any way raises ``SealedError``."""

    def _raise(self, *_: Any, **__: Any) -> Any:
        raise SealedError(SEEN)

    __getitem__ = __array__ = __iter__ = __len__ = __float__ = __bool__ = __add__ = __radd__ = __mul__ = _raise
    __getattr__ = __eq__ = __lt__ = __gt__ = __sub__ = __rsub__ = __rmul__ = __neg__ = _raise
    __hash__ = None  # type: ignore[assignment]


class BlindWorld:
    """A world of which nothing can be read that the simulator knows: rewards, success, the expert.

    ``step`` gives transitions for the recorder (``env_reward`` is NaN there, which is checked at every step); everyone
    else gets them ``hidden``.
    """

    def __init__(self, world: World) -> None:
        """Raises UserError for a world that was built with an oracle."""
        if getattr(world, "oracle", "none") != "none":
            raise UserError("adaptation asks no simulator: build the world with oracle=none")
        self._world = world

    def __getattr__(self, name: str) -> Any:
        if name in FORBIDDEN:
            raise SealedError(SEEN)
        return getattr(self._world, name)

    def step(self, action: Floats) -> Transition:
        """As the world's, with the proof that no reward of the simulator is in it."""
        transition = self._world.step(action)
        if not np.isnan(transition.env_reward).all():
            raise SealedError(SEEN)
        return transition


def blinded(world: World) -> World:
    """The world as a ``BlindWorld`` that has all its other abilities, also where somebody asks for a protocol.

    Such questions look at the class, not at what ``__getattr__`` would find, so the class is made to fit the world.
    """
    names = {name for name in (*dir(type(world)), *vars(world)) if not name.startswith("_")}
    passed = names - set(FORBIDDEN) - set(dir(BlindWorld))
    kind = type("BlindWorld", (BlindWorld,), {name: property(_reader(name)) for name in passed})
    return cast(World, kind(world))


def _reader(name: str) -> Callable[[Any], Any]:
    return lambda self: getattr(self._world, name)


def hidden(transition: Transition) -> Transition:
    """The transition with a reward that cannot be read."""
    return replace(transition, env_reward=Forbidden())  # type: ignore[arg-type]


class BlindGround(Playground):
    """A playground whose world is blind; streams hand out hidden transitions."""

    def stream(
        self, policy: Policy, seed: int, on_first: Callable[[Observation], None], on_step: Callable[[Transition], bool]
    ) -> None:
        """As the playground's."""
        super().stream(policy, seed, on_first, lambda transition: on_step(hidden(transition)))


class Check(Protocol):
    """Says whether an episode succeeded, apart from the reward: a number of at least 0.5 is a success."""

    def judge(self, trace: Trace) -> float: ...


class ClassifierCheck:
    """A success classifier as a check: sure in two priced frames in a row."""

    def __init__(self, model: Any, threshold: float | None = None) -> None:
        self.model, self.needs = model, model.needs
        own = traits_of(model).threshold
        self._threshold = (0.5 if own is None else own) if threshold is None else threshold

    def judge(self, trace: Trace) -> float:
        """1 or 0."""
        estimate: Estimate = self.model.estimate_episode(trace)
        sure = estimate.success >= self._threshold
        return float((sure[1:] & sure[:-1]).any())


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far adaptation may go. ``drift``: nats from where the policy began; None: as far as it likes.

    ``fall``: by how much the share of episodes that the check calls successes, over the last ``window`` episodes, may
    lie below the best share so far before the weights of that time are put back. Of several tasks the window holds
    equally many episodes each, and shares are compared over tasks that both have: some are easier than others.
    ``patience``: so many returns end it.
    """

    rounds: int = 20
    drift: float | None = None
    fall: float = 0.2
    window: int = 32
    patience: int = 3

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.window < 1 or self.patience < 1:
            raise UserError(
                f"bounds.rounds={self.rounds}, window={self.window} and patience={self.patience} must be 1 or more"
            )
        if not 0 < self.fall <= 1 or (self.drift is not None and self.drift <= 0):
            raise UserError(f"bounds.fall={self.fall} must be within 0 and 1, drift={self.drift} above 0 or null")


class Adaptation:
    """Runs a hook's rounds within bounds. ``check`` None: nothing is ever put back."""

    def __init__(self, hook: AdaptationHook, bounds: Bounds, check: Check | None) -> None:
        self.hook, self.bounds, self._check = hook, bounds, check
        self._verdicts = Verdicts(bounds.window)
        self.done = self.returns = 0
        self.ended = ""
        self._best: tuple[Kept, dict[str, Any]] | None = None
        """What was said of the best weights so far, and those weights."""

    def hear(self, trace: Trace) -> None:
        """Lets the check judge an episode."""
        if self._check is not None:
            self._verdicts.add(trace.task, self._check.judge(trace) >= 0.5)

    @property
    def judged(self) -> float | None:
        """The share of the last episodes that the check calls successes; None without a check or an episode."""
        return share(self._verdicts.last())

    def round(self, ground: Playground) -> dict[str, float]:
        """One round: metrics, among them ``judged`` and whether weights were put back.

        Raises:
            UserError: the drift is bounded, and the hook cannot tell it.
        """
        if self.bounds.drift is not None and not self.done and math.isnan(self.hook.drift()):
            raise UserError(
                f"bounds.drift={self.bounds.drift:g} cannot be kept: how far the policy moves is not known here (with "
                "noise.level=0 no step is random): set noise.level above 0, or bounds.drift=null"
            )
        before = self.hook.state()
        metrics = dict(self.hook.adapt(ground))
        self.done += 1
        # what was judged was played with the weights before the update
        judged = self._weigh(before)
        metrics |= judged | {"drift": self.hook.drift()}
        returned = judged.get("rolled_back") == 1
        # after a rollback ``before`` holds the weights that were just judged bad
        if not returned and self.bounds.drift is not None and not metrics["drift"] <= self.bounds.drift:
            self.hook.go_back(before)
            self.ended = f"the policy has moved {metrics['drift']:.3g} nats, bounds.drift is {self.bounds.drift:g}"
        elif self.returns >= self.bounds.patience:
            self.ended = f"{self.returns} rollbacks"
        elif self.done >= self.bounds.rounds:
            self.ended = "all rounds done"
        return metrics

    def state(self) -> dict[str, Any]:
        """What a resumed run needs."""
        best = None if self._best is None else [dict(self._best[0]), self._best[1]]
        return {
            "hook": self.hook.state(),
            "verdicts": self._verdicts.state(),
            "counts": [self.done, self.returns],
            "best": best,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave; verdicts of before tasks were told apart are forgotten."""
        self.hook.load(state["hook"])
        self.done, self.returns = (int(n) for n in state["counts"])
        if isinstance(state["verdicts"], Mapping):  # before tasks were told apart, a list
            self._verdicts.load(state["verdicts"])
            best: Sequence[Any] | None = state["best"]
            self._best = None if best is None else (dict(best[0]), dict(best[1]))

    def _weigh(self, before: dict[str, Any]) -> dict[str, float]:
        """Puts the best weights back where the check sees much fewer successes than it did with them.

        What is said of tasks that the best weights were not judged by is noted, and says nothing of these weights.
        """
        judged, now = self.judged, self._verdicts.last()
        if judged is None or not self._verdicts.full:
            return {} if judged is None else {"judged": judged}
        then, best = self._best or ({}, before)
        shares = compared(now, then) if self._verdicts.heard(then) else None
        if shares is not None and shares[0] < shares[1] - self.bounds.fall:
            self.hook.go_back(best)
            self.returns += 1
            self._verdicts.clear()
            return {"judged": judged, "rolled_back": 1.0}
        if shares is None:
            self._best = ({**now, **then}, best)
            self._verdicts.mark()
        elif shares[0] >= shares[1]:
            self._best = ({**then, **now}, before)
            self._verdicts.mark()
        else:
            self._best = ({**now, **then}, best)
        return {"judged": judged, "rolled_back": 0.0}
