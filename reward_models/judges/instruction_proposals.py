"""Counterfactual instructions by a language model: what a video of one task could be asked for and does not show.

Source: RoboReward (arXiv 2601.00675), negatives by changing the goal in place of the video.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from robo_reward.errors import UserError
from robo_reward.reward_models.judges.backend import Backend
from robo_reward.reward_models.judges.chat_reply import excerpt

LONGEST = 30
"""Words of an instruction; what is longer is an explanation."""
TOKENS = 40

REQUEST = """\
A video shows a robot that completes this task: {task}

{known}Propose {count} other instructions that a person could give in the same scene and that this video does NOT \
fulfil: another object, another place, the opposite, another order, or a further requirement. Do not reword the task. \
Write one short instruction per line, numbered 1 to {count}, and nothing else."""
KNOWN = "Other tasks in the same kind of scene, for the objects that there are:\n{listed}\n\n"


def propose(task: str, tasks: Sequence[str], backend: Backend, count: int = 4, retries: int = 2) -> list[str]:
    """1 to ``count`` instructions that differ from ``task`` and from each other.

    ``tasks``: the dataset's own instructions, which tell what scenes hold. Differences are checked word by word without
    case, punctuation and articles; whether the video really shows something else is for the caller to judge.

    Raises:
        UserError: an empty task, a count below 1, a backend that fails, or no usable proposal in all tries.
    """
    if not normalised(task):
        raise UserError(f"the task {task!r} is empty: counterfactual instructions need one to differ from")
    if count < 1 or retries < 0:
        raise UserError(f"count={count} must be at least 1 and retries={retries} at least 0")
    others = [other.strip() for other in dict.fromkeys(tasks) if normalised(other) not in ((), normalised(task))]
    known = KNOWN.format(listed="\n".join(f"- {other}" for other in others[:20])) if others else ""
    found: list[str] = []
    answer = ""
    for number in range(retries + 1):
        wording = REQUEST.format(task=task.strip(), known=known, count=count + number)  # the same would get the same
        answer = backend.answer([(wording,)], TOKENS * (count + number))[0]
        found = usable([*found, *proposals_in(answer)], task)[:count]
        if len(found) == count:
            return found
    if not found:
        raise UserError(
            f"the language model proposed no instruction other than {task!r} in {retries + 1} tries; the last answer "
            f"was {excerpt(answer)}. Use a model that follows formats, or rule-based proposals"
        )
    return found


def proposals_in(answer: str) -> list[str]:
    """The numbered or dashed lines of an answer, without their marks."""
    marked = re.findall(r"^\W*?(?:\d+\s*[.):]|[-*•])\s*(.+?)\s*$", answer, re.MULTILINE)
    return [re.sub(r"""^[\s"'*`]+|[\s"'*`]+$""", "", line) for line in marked]


def usable(proposals: Sequence[str], task: str) -> list[str]:
    """Those that are instructions of 2 to 30 words, other than ``task`` and each other."""
    seen, kept = {normalised(task)}, []
    for proposal in proposals:
        words = normalised(proposal)
        if words not in seen and len(words) >= 2 and len(proposal.split()) <= LONGEST:
            seen.add(words)
            kept.append(proposal)
    return kept


def normalised(instruction: str) -> tuple[str, ...]:
    """Its words in order, in lower case, without punctuation and articles. Order matters: it tells what goes where."""
    return tuple(word for word in re.findall(r"\w+", instruction.lower()) if word not in ("a", "an", "the"))
