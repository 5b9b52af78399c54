"""Trains the compact hop network: balanced pairs, the two anchored perspectives, negatives, wrong instructions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robo_reward.bounds import check_numbers, check_positive
from robo_reward.errors import UserError
from robo_reward.reward_models.image_encoder import augment
from robo_reward.reward_models.step_prm.hop_episodes import HopEpisode
from robo_reward.reward_models.step_prm.hop_net import HopNet

_COUNTS = ("steps", "slots", "pairs", "samples", "chunk")
_NOT_BELOW_ZERO = ("weight_decay", "brightness", "failed_weight", "adapt_share")
_SHARES = ("negatives", "mismatch", "swap", "drop_view", "drop_anchor", "ceiling")


@dataclass(frozen=True, slots=True)
class HopFit:
    """How the network is trained. A step sees ``slots`` episodes, ``pairs`` balanced pairs of each.

    ``negatives``: share of the slots that are random or failed episodes; ``mismatch``: share of the demonstrations'
    slots shown with another task's instruction; ``swap``: how often the goal anchor is another demonstration's;
    ``drop_view``, ``drop_anchor``: how often a view or an anchor is masked; ``samples``: balanced pairs drawn of each
    demonstration in all; ``chunk``: frames between labelled steps; ``ceiling``: progress that a failed replay may have,
    pressed with ``failed_weight``; ``adapt_share``: steps of an adaptation as a share of ``steps``.
    """

    steps: int = 600
    slots: int = 16
    pairs: int = 3
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    shift: int = 4
    brightness: float = 0.1
    negatives: float = 0.35
    mismatch: float = 0.15
    swap: float = 0.75
    drop_view: float = 0.2
    drop_anchor: float = 0.1
    samples: int = 1000
    chunk: int = 3
    ceiling: float = 0.3
    failed_weight: float = 0.3
    adapt_share: float = 0.25

    def __post_init__(self) -> None:
        """Raises UserError for a value out of its bounds, by its name."""
        owner = "reward_model.fit"
        check_numbers(owner, least=1, whole=True, **{name: getattr(self, name) for name in _COUNTS})
        check_numbers(owner, least=0, whole=True, shift=self.shift)
        check_numbers(owner, least=0, **{name: getattr(self, name) for name in _NOT_BELOW_ZERO})
        check_numbers(owner, least=0, most=1, **{name: getattr(self, name) for name in _SHARES})
        check_positive(owner, learning_rate=self.learning_rate)
        if round(self.negatives * self.slots) >= self.slots:
            raise UserError(f"{owner}: negatives={self.negatives} of slots={self.slots} must leave a demonstration one")


@dataclass(frozen=True, slots=True)
class HopLabels:
    """A batch: ``images`` (K, 3V, H, W) uint8, indices (B,) as in HopBatch, ``task`` (B, 32).

    ``hop`` (B,); where ``bound`` (B,) is True it is only the most that the hop may be.
    """

    images: Tensor
    before: Tensor
    after: Tensor
    start: Tensor
    goal: Tensor
    task: Tensor
    hop: Tensor
    bound: Tensor


def fit_hops(net: HopNet, episodes: Sequence[HopEpisode], settings: HopFit, dropped: Sequence[int] = ()) -> float:
    """Trains ``net`` in place; the last step's mean squared error. ``dropped``: views that were never recorded."""
    weights = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, settings.learning_rate, weight_decay=settings.weight_decay)
    warm = max(2, min(50, settings.steps // 10))  # the schedule divides by warm - 1 and by total - warm
    total = max(settings.steps, warm + 2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total, pct_start=warm / total)
    sampler, loss = HopSampler(episodes, settings), torch.zeros(())
    net.train()
    for _ in range(settings.steps):
        batch = sampler.draw()
        images = batch.images.float().div_(255).sub_(0.5)
        tokens = net.encode(augment(images, settings.shift, settings.brightness, groups=settings.slots))
        given = drop_inputs(len(batch.hop), net.views, settings, dropped)
        hop, _ = net(
            tokens[batch.before], tokens[batch.after], tokens[batch.start, 0], tokens[batch.goal, 0], batch.task, given
        )
        error = hop - batch.hop
        weight = torch.where(batch.bound, settings.failed_weight * (error > 0), 1.0)
        loss = (weight * error.square()).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
    net.eval()
    return float(loss.detach())


def drop_inputs(count: int, views: int, settings: HopFit, dropped: Sequence[int] = ()) -> Tensor:
    """(B, 2 + V) bool, which inputs a pair keeps: at least one view always."""
    given = torch.rand(count, 2 + views) >= torch.tensor([settings.drop_anchor] * 2 + [settings.drop_view] * views)
    given[:, [2 + v for v in dropped]] = False
    kept = torch.tensor([v for v in range(views) if v not in dropped])
    saved = kept[torch.randint(len(kept), (count,))]
    empty = ~given[:, 2:].any(1)
    given[empty, 2 + saved[empty]] = True
    return given


class HopSampler:
    """Draws batches. In each slot: frames of one episode, its first frame, and a goal frame of its instruction."""

    def __init__(self, episodes: Sequence[HopEpisode], settings: HopFit) -> None:
        self._settings = settings
        self._demos = [e for e in episodes if e.kind == "demonstration"]
        kinds = ("idle", "failed") if settings.failed_weight > 0 else ("idle",)
        pools = [[e for e in episodes if e.kind == kind] for kind in kinds]
        self._others = [pool for pool in pools if pool]
        self.tasks = sorted({e.text for e in self._demos})
        self._goals = {text: [e for e in self._demos if e.text == text] for text in self.tasks}

    def draw(self) -> HopLabels:
        s = self._settings
        others = round(s.negatives * s.slots) if self._others else 0
        slots = [self._slot(_one(self._demos)) for _ in range(s.slots - others)]
        slots += [self._slot(_one(self._others[k % len(self._others)])) for k in range(others)]
        # interleaved, so that one draw of the augmentation moves the pictures of one episode alike
        images = torch.stack([slot.images for slot in slots], 1).flatten(0, 1)
        parts = [_shifted(slot, k, s.slots) for k, slot in enumerate(slots)]
        return HopLabels(images, *(torch.cat(column) for column in zip(*parts, strict=True)))

    def _slot(self, episode: HopEpisode) -> HopLabels:
        """Pictures: 2P of the episode, its first, a goal to compare with and a goal for the anchor."""
        s = self._settings
        frames, hops = self._frames(episode)
        text, wrong = self._instruction(episode)
        mine = self._goals.get(text) or self._demos  # of an instruction that is nowhere fulfilled, any goal
        own = episode if episode.kind == "demonstration" and not wrong else _one(mine)
        compared, anchor = _one(mine), _one(mine) if float(torch.rand(())) < s.swap else own
        images = torch.cat([episode.images[frames], episode.images[:1], compared.images[-1:], anchor.images[-1:]])
        level = episode.progress[frames]
        if wrong:
            level, hops = torch.zeros_like(level), torch.zeros_like(hops)
        return self._label(images, level, hops, mine[0].task if text in self._goals else episode.task)

    def _label(self, images: Tensor, level: Tensor, hops: Tensor, task: Tensor) -> HopLabels:
        """Balanced pairs, and every frame once from the start and once from the goal.

        Where the progress of frames is unknown, it is bounded by the ceiling and their pairs are left out.
        """
        frames = torch.arange(len(level))
        count, first = len(frames) // 2, len(frames)
        bound = level.isnan()
        level = torch.where(bound, self._settings.ceiling, level)
        before = torch.cat([frames[:count], torch.full_like(frames, first), torch.full_like(frames, first + 1)])
        after = torch.cat([frames[count:], frames, frames])
        hop, unsure = torch.cat([hops, level, level - 1]), torch.cat([bound[:count], bound, bound])
        kept = torch.cat([~bound[:count], torch.ones(2 * len(frames), dtype=torch.bool)])
        start, goal = torch.full_like(before, first), torch.full_like(before, first + 2)
        columns = before, after, start, goal, task.expand(len(before), -1), hop, unsure
        return HopLabels(images, *(column[kept] for column in columns))

    def _frames(self, episode: HopEpisode) -> tuple[Tensor, Tensor]:
        """Indices (2P,) of the frames before and after, with hops (P,): balanced pairs, or any two of a negative."""
        count = self._settings.pairs
        if len(episode.pairs):
            drawn = torch.randint(len(episode.pairs), (count,))
            return episode.pairs[drawn].T.flatten(), episode.hops[drawn]
        pool = episode.late if len(episode.late) else torch.arange(len(episode.images))
        return pool[torch.randint(len(pool), (2 * count,))], torch.zeros(count)

    def _instruction(self, episode: HopEpisode) -> tuple[str, bool]:
        """What the episode is said to be for, and whether that is another task."""
        others = [text for text in self.tasks if text != episode.text]
        if others and float(torch.rand(())) < self._settings.mismatch:
            return others[int(torch.randint(len(others), (1,)))], True
        return episode.text, False


def _shifted(slot: HopLabels, number: int, slots: int) -> tuple[Tensor, ...]:
    """The slot's indices where its pictures lie in the interleaved batch."""
    places = [index * slots + number for index in (slot.before, slot.after, slot.start, slot.goal)]
    return (*places, slot.task, slot.hop, slot.bound)


def _one[T](pool: Sequence[T]) -> T:
    return pool[int(torch.randint(len(pool), (1,)))]
