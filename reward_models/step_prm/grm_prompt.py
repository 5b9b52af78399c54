"""The question that a released GRM checkpoint is asked about two moments, and how its answer is read.

The order of the eight pictures, their labels and the answer's tag are those of Robo-Dopamine's release (arXiv
2512.23703), which its checkpoints were trained on; the words are ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from robo_reward.contracts import Frames
from robo_reward.errors import UserError
from robo_reward.reward_models.judges.backend import Prompt
from robo_reward.reward_models.judges.one_verdict import are_alternatives

ROLES = ("Front", "Left Wrist", "Right Wrist")
ANSWER_TOKENS = 32
GREY = 128
TASK = """You judge how a robot's task progresses. Compare two moments and say whether AFTER is nearer to the goal \
than BEFORE. The two reference pictures show what the task's beginning and end look like; they may be of another scene.

Task: {task}
"""
RULES = """
Say by how much, as a whole percentage from -100% to +100%. If AFTER is nearer to the goal, give the share of what \
BEFORE had left to do that has been done since; if it is farther, the share of what BEFORE had done that has been \
undone, with a minus sign; 0% if nothing relevant changed or you cannot tell. Look at the front view for where things \
are and at the wrist views for grasps and contacts; leave aside light, colours and background.

Answer with one line only, in this form: <score>+NN%</score> or <score>-NN%</score> or <score>0%</score>"""
AGAIN = (
    "Your last answer could not be read. Answer with nothing but the tagged percentage: <score>+NN%</score> or "
    "<score>-NN%</score> or <score>0%</score>"
)

_TAG = re.compile(r"<score>([^<]*)</score>", re.IGNORECASE)
_PERCENT = re.compile(r"\s*([+\-\u2212]?\s*\d+(?:\.\d+)?)\s*%?\s*")

Moment = Mapping[str, Frames]
"""View name -> one picture (H, W, 3) uint8, the front view first."""


def build_prompt(task: str, start: Frames, goal: Frames | None, before: Moment, after: Moment) -> Prompt:
    """Texts and pictures: reference start and goal (front views), then three views of BEFORE and three of AFTER.

    A wrist view that is missing is replaced by the front view, as in the release; a goal that is not known by a grey
    picture. More than three views: the first three are shown.

    Raises:
        UserError: for an empty instruction, or moments without a picture.
    """
    if not task.strip():
        raise UserError("a reward model that reads instructions needs one: set env.task, or task= for a video")
    if not before or not after:
        raise UserError("a moment without a picture cannot be judged: set env.views")
    parts: list[str | Frames] = [TASK.format(task=task.strip())]
    parts += ["REFERENCE START, Robot Front Image (the task begins):", start]
    parts += [
        "REFERENCE END, Robot Front Image (the task is done):",
        np.full_like(start, GREY) if goal is None else goal,
    ]
    for label, moment in (("BEFORE", before), ("AFTER", after)):
        for role, picture in zip(ROLES, three_views(moment), strict=True):
            parts += [f"{label} Robot {role} Image:", picture]
    return (*parts, RULES)


def three_views(moment: Moment) -> list[Frames]:
    """Front, left wrist, right wrist; the front view where there is no such view."""
    pictures = list(moment.values())[: len(ROLES)]
    return pictures + [pictures[0]] * (len(ROLES) - len(pictures))


def parse_hop(answer: str) -> float | None:
    """The hop in [-1, 1] of an answer, None if it cannot be read.

    The tagged percentage counts, or an answer that is nothing but a percentage; decimals are read, and what lies beyond
    100% is clipped. Of several tags the last one counts, unless they are a choice (``are_alternatives``), as those of
    the question are.
    """
    tags = list(_TAG.finditer(answer))
    other = next((tag.end() for tag in reversed(tags) if tag[1].split() != tags[-1][1].split()), None)
    if other is not None and are_alternatives(answer[other : tags[-1].start()]):
        return None
    if not tags and not answer.rstrip().endswith("%"):
        return None
    found = _PERCENT.fullmatch(tags[-1][1] if tags else answer)
    if found is None:
        return None
    percent = float("".join(found[1].replace("\u2212", "-").split()))
    return min(max(percent / 100, -1.0), 1.0)
