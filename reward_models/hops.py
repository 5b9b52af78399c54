"""The signed hop between two moments of a task, and the rules that accumulate hops into progress.

Sources: Robo-Dopamine (arXiv 2512.23703) Eq. 2-7; EVOLVE-VLA (arXiv 2512.14666) Eq. 2; VLAC's public value rules.
"""

from __future__ import annotations

from typing import Literal

import torch

from robo_reward.errors import unknown_name
from robo_reward.gains import LEAST_SHARE

Rule = Literal["remaining_gap", "grm", "vlac_mix", "vlac_reciprocal"]
RULES: tuple[Rule, ...] = ("remaining_gap", "grm", "vlac_mix", "vlac_reciprocal")


def hop_label(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """The hop between two progress values in [0, 1], in [-1, 1], elementwise (Robo-Dopamine Eq. 2).

    Forward it is the share of the remaining distance that was covered, backward the share of the covered distance
    that was lost. Denominators below ``LEAST_SHARE`` are raised to it. ``gains.signed_hop`` is the same for arrays.
    """
    delta = after - before
    forward = delta / (1 - before).clamp(min=LEAST_SHARE)
    backward = delta / before.clamp(min=LEAST_SHARE)
    return torch.where(delta >= 0, forward, backward).clamp(-1, 1)


def accumulate(progress: float, hop: float, rule: Rule) -> float:
    """The progress after a hop, clamped to [0, 1].

    ``remaining_gap``: v + (1 - v) h, for either sign (EVOLVE-VLA Eq. 2; the clamp is ours, the paper prints none).
    ``grm``: backward hops take a share of what was covered, v + v h (Robo-Dopamine Eq. 4).
    ``vlac_mix`` and ``vlac_reciprocal``: VLAC's two further rules; the last undoes a forward hop exactly.
    """
    if rule not in RULES:
        raise unknown_name("recursion rule", rule, RULES)
    if hop >= 0 or rule == "remaining_gap":
        value = progress + (1 - progress) * hop
    elif rule == "grm" or (rule == "vlac_mix" and progress <= 0.5):
        value = progress + progress * hop
    else:
        back = 1 - max(1 - progress, 0.01) / max(1 + hop, 1e-6)
        value = max(0.10, back) if rule == "vlac_mix" else back
    return float(min(max(value, 0.0), 1.0))


def fuse(forward: torch.Tensor, backward: torch.Tensor) -> torch.Tensor:
    """Progress from two anchored hops: ``forward`` from the episode's start, ``backward`` from a goal frame.

    Mean of H(start, s) and 1 + H(goal, s), clamped to [0, 1], elementwise: Robo-Dopamine Eq. 5-6 without the
    incremental term.
    """
    return ((forward + 1 + backward) / 2).clamp(0, 1)
