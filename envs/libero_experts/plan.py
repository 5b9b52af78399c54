"""In which order a task's goals are to be brought about."""

from __future__ import annotations

from robo_reward.envs.libero_experts.aside import in_the_way
from robo_reward.envs.libero_experts.scene import Goal, Scene

RANK = {"aside": -2, "open": 0, "turnon": 1, "turnoff": 1, "in": 2, "on": 2, "close": 3}
SHUT = 0.08
"""Metres drawn out below which nothing can be laid into a drawer."""


def in_order(scene: Scene) -> list[Goal]:
    """Goals that do not hold yet: first what opens, then what is placed, what closes last."""
    goals = scene.goals
    opening = any(goal.predicate == "open" for goal in goals)
    ready = [goal for goal in _made_ready(scene, goals) if not reached(scene, goal)]
    return sorted(ready, key=lambda goal: -1 if opening and goal.predicate == "close" else RANK[goal.predicate])


def _made_ready(scene: Scene, goals: list[Goal]) -> list[Goal]:
    """With a drawer to be opened first, where something must go into a shut one."""
    into = [goal for goal in goals if goal.predicate == "in" and _drawer(scene, goal.target)]
    shut = [goal for goal in into if not scene.holds(goal) and _is_shut(scene, goal.target)]
    hidden = [Goal("aside", goal.thing, goal.target) for goal in shut if in_the_way(scene, goal)]
    return hidden + [Goal("open", goal.target) for goal in shut] + goals


def reached(scene: Scene, goal: Goal) -> bool:
    """Whether a goal, or a step on the way to one, is behind us."""
    return not in_the_way(scene, goal) if goal.predicate == "aside" else scene.holds(goal)


def _drawer(scene: Scene, name: str) -> bool:
    return "cabinet" in name and name.endswith("_region")


def _is_shut(scene: Scene, name: str) -> bool:
    return abs(scene.joint_value(scene.joint(name))) < SHUT
