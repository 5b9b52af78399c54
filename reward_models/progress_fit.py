"""Fits a progress network: demonstrations against the negatives, a minute at most on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn

from robo_reward.bounds import check_numbers, check_positive
from robo_reward.reward_models.hops import hop_label
from robo_reward.reward_models.image_encoder import FrozenEncoder, augment
from robo_reward.reward_models.progress_net import ProgressNet
from robo_reward.reward_models.progress_order import COPIES, Shown, order_progress

ENCODED = 256
"""Pictures that are encoded at a time after training: all of many demonstrations need not fit into memory."""

ORDERED = 2048
"""Frames that order is learned on, at most: those of 512 demonstrated ones with their rewound and stopped copies."""

SHIFTED = 3
"""Augmented copies of each picture that a frozen network is shown, besides the picture itself."""

_NOT_BELOW_ZERO = ("weight_decay", "brightness", "hop_weight", "success_weight", "order_weight")


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How the network is trained. ``batch``: demonstration frames per step; half as many negatives join them.

    ``order_weight``: of the rise along a demonstration, which the progress head alone learns afterwards; 0: not at all.
    """

    steps: int = 250
    batch: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    shift: int = 4
    brightness: float = 0.1
    hop_weight: float = 0.5
    success_weight: float = 1.0
    mismatch: float = 0.2
    order_weight: float = 0.1

    def __post_init__(self) -> None:
        """Raises UserError for a value out of its bounds, by its name."""
        check_numbers("reward_model.fit", least=1, whole=True, steps=self.steps)
        check_numbers("reward_model.fit", least=2, whole=True, batch=self.batch)
        check_numbers("reward_model.fit", least=0, whole=True, shift=self.shift)
        least = {name: getattr(self, name) for name in _NOT_BELOW_ZERO}
        check_numbers("reward_model.fit", least=0, **least)
        check_numbers("reward_model.fit", least=0, most=1, mismatch=self.mismatch)
        check_positive("reward_model.fit", learning_rate=self.learning_rate)


@dataclass(frozen=True, slots=True)
class FrameSet:
    """Frames with labels. ``inputs`` (F, ...) images or states; ``progress``, ``success`` (F,), NaN where unlabelled.

    ``episode`` (F,) tells which frames belong together: hops are drawn inside an episode only. ``task`` (F, 32).
    """

    inputs: Tensor
    progress: Tensor
    success: Tensor
    episode: Tensor
    task: Tensor

    def __len__(self) -> int:
        return len(self.inputs)


def join(sets: Sequence[FrameSet]) -> FrameSet:
    """One set after another; episodes stay apart."""
    offset, episodes = 0, []
    for part in sets:
        if len(part) == 0:
            episodes.append(part.episode)
            continue
        episodes.append(part.episode + offset)
        offset += int(part.episode.max()) + 1
    return FrameSet(
        torch.cat([s.inputs for s in sets if len(s)]),
        torch.cat([s.progress for s in sets]),
        torch.cat([s.success for s in sets]),
        torch.cat(episodes),
        torch.cat([s.task for s in sets]),
    )


def fit_progress(
    net: ProgressNet,
    demonstrations: FrameSet,
    negatives: FrameSet,
    settings: FitSettings,
    tasks: Tensor,
    ordered: bool = True,
) -> dict[str, float]:
    """Trains all heads together and returns the last losses.

    A step sees demonstration frames (labels from time), final frames (success), negatives with progress labels (random
    episodes: 0) and hard negatives that only the success head may judge (late frames of failed replays). ``tasks``
    (K, 32): with several tasks a share of the demonstration frames is shown with a wrong instruction and label 0.
    A frozen encoder sees every picture once, and ``SHIFTED`` copies of it. ``ordered``: False where nobody reads the
    progress head, which then learns no order.
    """
    if isinstance(net.encoder, FrozenEncoder):
        demonstrations = seen_once(net.encoder, demonstrations, settings)
        negatives = seen_once(net.encoder, negatives, settings)
    optimizer = torch.optim.AdamW(
        [p for p in net.parameters() if p.requires_grad],
        settings.learning_rate,
        weight_decay=settings.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    losses = {"fit/progress": 0.0, "fit/hop": 0.0, "fit/success": 0.0}
    sampler = _Sampler(demonstrations, negatives, settings, tasks)
    net.train()
    for _ in range(settings.steps):
        batch = sampler.draw()
        loss, losses = batch_loss(net, net.encoder(varied(batch.inputs, settings)), batch, sampler.paired, settings)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    net.eval()
    if settings.order_weight and ordered:
        _order(net, thinned(demonstrations), thinned(negatives), settings, tasks)
    return losses


def thinned(frames: FrameSet) -> FrameSet:
    """At most ``ORDERED`` of the frames, evenly drawn and in their order."""
    if len(frames) <= ORDERED:
        return frames
    kept = torch.linspace(0, len(frames) - 1, ORDERED, dtype=torch.float64).round().long()
    return FrameSet(*(getattr(frames, part.name)[kept] for part in fields(frames)))


def _order(
    net: ProgressNet, demonstrations: FrameSet, negatives: FrameSet, settings: FitSettings, tasks: Tensor
) -> None:
    """The rise along demonstrations; what random episodes and wrong instructions are worth stays."""
    known = torch.nonzero(~negatives.progress.isnan()).flatten()
    with torch.random.fork_rng(devices=[]):
        z = _copies(net, demonstrations.inputs, settings)
        others, named = [_copies(net, negatives.inputs[known], settings)] if len(known) else [], [negatives.task[known]]
        if len(tasks) > 1:
            others.append(z)
            named.append(tasks[torch.randint(len(tasks), (len(z),))])
    order_progress(
        net,
        Shown(z, demonstrations.task),
        demonstrations.progress,
        demonstrations.episode,
        Shown(torch.cat(others) if others else z[:0], torch.cat(named)),
        settings.order_weight,
        settings.steps,
        settings.learning_rate,
    )


@torch.no_grad()
def _copies(net: ProgressNet, inputs: Tensor, settings: FitSettings) -> Tensor:
    """Embeddings (F, C, 64) of each frame and of copies of it as the fit has shown them; one copy of a state."""
    plain = inputs[:, 0] if inputs.dim() == 3 else inputs
    count = COPIES if inputs.dim() > 2 else 1
    seen = (varied(inputs, settings) if copy else plain for copy in range(count))  # one at a time: they are large
    return torch.stack([torch.cat([net.encoder(part) for part in x.split(ENCODED)]) for x in seen], 1)


def seen_once(encoder: FrozenEncoder, frames: FrameSet, settings: FitSettings) -> FrameSet:
    """The frames with what the encoder's network sees in place of pictures: inputs (F, 1 + SHIFTED, D)."""
    images = frames.inputs
    if not len(images):
        return frames  # nothing is drawn of them; ``join`` leaves them out
    copies = (augment(images, settings.shift, settings.brightness) for _ in range(SHIFTED))
    return replace(frames, inputs=torch.stack([encoder.features(x) for x in (images, *copies)], 1))


def varied(inputs: Tensor, settings: FitSettings) -> Tensor:
    """Pictures (B, C, H, W) shifted and brightened, one copy each of seen ones (B, copies, D), states as they are."""
    if inputs.dim() == 4:
        return augment(inputs, settings.shift, settings.brightness)
    if inputs.dim() == 3:
        return inputs[torch.arange(len(inputs)), torch.randint(inputs.shape[1], (len(inputs),))]
    return inputs


def batch_loss(
    net: ProgressNet, z: Tensor, batch: FrameSet, paired: int, settings: FitSettings
) -> tuple[Tensor, dict[str, float]]:
    """The weighted sum of all heads' losses on embeddings ``z`` (B, 64), and each part as a number.

    Frame k of the first ``paired`` frames and frame k of the next ``paired`` ones are of one episode: hops are theirs.
    """
    progress = _progress_loss(net, z, batch)
    success = _success_loss(net, z, batch)
    hop = _hop_loss(net, z, batch, paired)
    parts = {"fit/progress": progress, "fit/hop": hop, "fit/success": success}
    loss = progress + settings.success_weight * success + settings.hop_weight * hop
    return loss, {name: float(part.detach()) for name, part in parts.items()}


class _Sampler:
    """Draws the parts of a batch: paired demonstration frames, final frames, negatives with and without progress."""

    def __init__(self, demonstrations: FrameSet, negatives: FrameSet, settings: FitSettings, tasks: Tensor) -> None:
        self._all = join([demonstrations, negatives])
        count = len(demonstrations)
        self._demos = torch.arange(count)
        self._final = torch.nonzero(demonstrations.success == 1).flatten()
        rest = torch.arange(count, len(self._all))
        hard = self._all.progress[rest].isnan()
        self._random, self._hard = rest[~hard], rest[hard]
        self._settings, self._tasks = settings, tasks
        self.paired = settings.batch // 2

    def draw(self) -> FrameSet:
        half = self.paired
        first = _pick(self._demos, half)
        second = self._partner(first)
        parts = [first, second, _pick(self._final, half // 2)]
        parts += [_pick(pool, half) for pool in (self._random, self._hard) if len(pool)]
        index = torch.cat(parts)
        batch = FrameSet(
            self._all.inputs[index],
            self._all.progress[index].clone(),
            self._all.success[index].clone(),
            self._all.episode[index],
            self._all.task[index].clone(),
        )
        if len(self._tasks) > 1:
            self._mislead(batch)
        return batch

    def _partner(self, first: Tensor) -> Tensor:
        """For each frame another one of the same episode."""
        episodes = self._all.episode
        start = torch.searchsorted(episodes, episodes[first])
        stop = torch.searchsorted(episodes, episodes[first], right=True)
        return torch.minimum(start + (torch.rand(len(first)) * (stop - start)).long(), stop - 1)

    def _mislead(self, batch: FrameSet) -> None:
        """Shows a share of the paired frames with another task's instruction: no progress, no success."""
        wrong = torch.nonzero(torch.rand(self.paired) < self._settings.mismatch).flatten()
        for index in torch.cat([wrong, wrong + self.paired]).tolist():
            others = self._tasks[(self._tasks != batch.task[index]).any(1)]
            batch.task[index] = others[int(torch.randint(len(others), (1,)))]
            batch.progress[index], batch.success[index] = 0.0, 0.0


def _pick(pool: Tensor, count: int) -> Tensor:
    return pool[torch.randint(0, len(pool), (count,))]


def _member_mask(members: int, count: int) -> Tensor:
    """(E, B) weights that give each member its own bootstrap of the batch."""
    return torch.poisson(torch.ones(members, count)) if members > 1 else torch.ones(1, count)


def _masked_mean(values: Tensor, known: Tensor) -> Tensor:
    weights = _member_mask(*values.shape).to(known.device) * known
    return (values * weights).sum() / weights.sum().clamp(min=1)


def _progress_loss(net: ProgressNet, z: Tensor, batch: FrameSet) -> Tensor:
    error = net.progress(z, batch.task) - batch.progress.nan_to_num()
    return _masked_mean(error.square(), (~batch.progress.isnan()).float())


def _success_loss(net: ProgressNet, z: Tensor, batch: FrameSet) -> Tensor:
    logit = net.success_logit(z, batch.task)
    label = batch.success.nan_to_num().expand_as(logit)
    each = nn.functional.binary_cross_entropy_with_logits(logit, label, reduction="none")
    known = ~batch.success.isnan()
    positive = known & (batch.success == 1)
    negative = known & (batch.success == 0)
    return _masked_mean(each, positive.float()) + _masked_mean(each, negative.float())


def _hop_loss(net: ProgressNet, z: Tensor, batch: FrameSet, half: int) -> Tensor:
    before, after = slice(0, half), slice(half, 2 * half)
    label = hop_label(batch.progress[before], batch.progress[after])
    predicted = net.hop(z[before], z[after], batch.task[after])
    return _masked_mean((predicted - label).square(), torch.ones_like(label))
