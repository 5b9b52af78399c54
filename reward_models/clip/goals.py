"""How well a picture fits a goal that is told in words: goal-baseline projection and contrasting goals.

Sources: VLM-RMs (Rocamonde et al., ICLR 2024, arXiv 2310.12921); VLM-RL (arXiv 2412.15544).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from robo_reward.errors import UserError, unknown_name

GoalRule = Literal["baseline", "contrast"]
GOAL_RULES: tuple[GoalRule, ...] = ("baseline", "contrast")
TASK = "{task}"


@dataclass(frozen=True, slots=True)
class Prompts:
    """What is asked of a picture; ``{task}`` in a prompt stands for the episode's instruction.

    Several prompts of one kind are averaged. ``rule`` ``baseline``: ``goal`` against the neutral ``baseline``, mixed by
    ``alpha`` in [0, 1]; alpha 0 is the plain cosine and reads no baseline. ``contrast``: ``goal`` against ``negative``.

    Raises:
        UserError: for missing prompts, placeholders other than ``{task}`` and for alpha out of bounds.
    """

    goal: tuple[str, ...]
    baseline: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    rule: GoalRule = "baseline"
    alpha: float = 0.5

    def __post_init__(self) -> None:
        if self.rule not in GOAL_RULES:
            raise unknown_name("goal rule", self.rule, GOAL_RULES)
        if not 0 <= self.alpha <= 1:
            raise UserError(f"alpha={self.alpha} must lie in [0, 1]: 0 is the plain cosine, 1 the projection alone")
        if not self.goal:
            raise UserError("goal_clip needs a goal: reward_model.goal=['a robot arm that has opened the drawer']")
        if self.rule == "contrast" and not self.negative:
            raise UserError("rule=contrast needs what the goal is contrasted with: set reward_model.negative=[...]")
        if self.rule == "baseline" and self.alpha > 0 and not self.baseline:
            raise UserError(f"alpha={self.alpha} needs a neutral prompt: set reward_model.baseline=[...] or alpha=0")

        for prompt in (*self.goal, *self.baseline, *self.negative):
            if wrong := [word for word in re.findall(r"\{[^}]*\}", prompt) if word != TASK]:
                raise UserError(f"the prompt '{prompt}' holds {wrong[0]}; the only placeholder is {TASK}")

    @property
    def reference(self) -> tuple[str, ...]:
        """The prompts that the goal is compared with."""
        return self.negative if self.rule == "contrast" else self.baseline if self.alpha > 0 else ()

    def filled(self, prompts: tuple[str, ...], task: str) -> list[str]:
        """The prompts with the instruction in its place.

        Raises:
            UserError: if a prompt asks for the instruction and there is none.
        """
        if not task.strip() and any(TASK in prompt for prompt in prompts):
            raise UserError(
                "a prompt of goal_clip holds {task}, but this episode has no instruction: name the goal in words, "
                "reward_model.goal=[...], or give the dataset its tasks"
            )
        return [prompt.replace(TASK, task) for prompt in prompts]


def goal_score(pictures: Tensor, goal: Tensor, reference: Tensor | None, rule: GoalRule, alpha: float) -> Tensor:
    """Scores (F,) of unit vectors (F, D) for unit vectors ``goal`` and ``reference`` (D,)."""
    if rule == "contrast":
        assert reference is not None  # Prompts has seen to it
        return contrasting_goals(pictures, goal, reference)
    return goal_baseline(pictures, goal, reference, alpha)


def goal_baseline(pictures: Tensor, goal: Tensor, baseline: Tensor | None, alpha: float) -> Tensor:
    """1 - |alpha proj_L(s) + (1 - alpha) s - g|^2 / 2 with L the line through baseline and goal (VLM-RMs Def. 1), (F,).

    Raises:
        UserError: if goal and baseline are the same point, which is no line.
    """
    apart = pictures - goal
    if alpha > 0:
        assert baseline is not None  # Prompts has seen to it
        line = goal - baseline
        length = line.norm()
        if float(length) < 1e-6:
            raise UserError("goal and baseline prompts mean the same to this CLIP model: word them differently")
        line = line / length
        apart = alpha * torch.outer(apart @ line, line) + (1 - alpha) * apart
    return 1 - apart.square().sum(-1) / 2


def contrasting_goals(pictures: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """cos(s, positive) - cos(s, negative), (F,): VLM-RL's contrasting language goal with equal weights.

    Its code clips cos(negative) - cos(positive) to [0, 0.03] and turns it round: ``low=-0.03 high=0`` here.
    """
    return pictures @ positive - pictures @ negative
