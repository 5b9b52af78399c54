"""nano_vla itself: cameras, proprioception and instruction in, an action chunk out."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lerobot.policies.pretrained import PreTrainedPolicy
from lerobot.utils.constants import ACTION, OBS_LANGUAGE_TOKENS, OBS_STATE
from safetensors import safe_open
from torch import Tensor, nn

from robo_reward.errors import UserError
from robo_reward.policies.nano_vla.configuration_nano_vla import VIEW_PREFIX, NanoVlaConfig
from robo_reward.policies.nano_vla.heads import FlowHead, RegressionHead, TokenHead
from robo_reward.policies.nano_vla.language import InstructionEncoder
from robo_reward.policies.nano_vla.locator import HAND, PLACE_SCALE, PLACES, Locator, Off, Pointing, told, weighed
from robo_reward.policies.nano_vla.vision import CameraEncoder, Seen, augment, shifted, shrink

SHOWN = "observation.shown"
"""Which of a batch's pictures each of its rows is about, where several instructions are asked of one picture."""
FORMER = ".films."
"""In the names of weights of before cameras were asked questions."""


@dataclass(frozen=True, slots=True)
class _Looked:
    """The embedding (R, hidden); what the locator tells (R, L), None without one; what each camera saw and (., 2) by
    how much its pictures were shifted."""

    embedding: Tensor
    located: Tensor | None
    seen: Sequence[Seen]
    moved: Sequence[Tensor]


class NanoVlaPolicy(PreTrainedPolicy):  # type: ignore[misc]
    """A vision-language-action policy of a million parameters, through LeRobot's interface.

    Batches hold pictures (B, 3, H, W), uint8 or float in [0, 1], normalised ``observation.state`` (B, S), byte tokens
    of the instruction and, in training, the normalised ``action`` (B, K, A): what its processors make of a raw batch.
    With ``SHOWN`` (R,) there may be more rows than pictures.
    Learners that go on from here use ``encode`` once per observation, then ``velocity`` (flow) or ``head`` (tokens).
    """

    labelled = True
    """False: batches are of own episodes, which have no labels for auxiliary losses; the actions alone are learned."""

    config_class = NanoVlaConfig  # pyright: ignore[reportAssignmentType]
    name = "nano_vla"  # pyright: ignore[reportAssignmentType]

    def __init__(self, config: NanoVlaConfig, **_: Any) -> None:
        super().__init__(config)
        config.validate_features()
        self.config: NanoVlaConfig = config
        words, hidden = config.instruction_dim, config.hidden_dim
        sizes = (config.image_size, config.channels, config.keypoints, words, config.questions)
        encoders = [CameraEncoder(*sizes) for _ in config.cameras]
        self.cameras = nn.ModuleList(encoders)
        crops = [(_short(key), config.crop.get(_short(key))) for key in config.cameras]
        self.pointing = Pointing(crops, config.questions) if crops and config.heat_weight > 0 else None
        self.instruction = InstructionEncoder(words)
        state = config.robot_state_feature
        numbers = state.shape[0] if state is not None else 0
        self.locator = _locator(config, words + numbers + sum(encoder.places for encoder in encoders))
        self._bottleneck = config.bottleneck and self.locator is not None
        unseen = config.unseen_state if self._bottleneck else ()
        self._felt = [k for k in range(numbers) if k not in unseen]
        self._wordless = config.wordless and self._bottleneck
        if unseen and not config.hand and config.pretrained_path is None and not config.waypoint_weight > 0:
            warnings.warn(
                f"unseen_state={list(unseen)} of nano_vla without hand: if these are where the hand is, actions do not "
                "know it; set policy.hand to the numbers of its position, or policy.unseen_state=[]",
                stacklevel=2,
            )
        self.proprioception = _proprioception(len(self._felt)) if self._felt else None
        size = (0 if self._wordless else words) + len(self._felt) + (64 if self._felt else 0)
        size += 0 if self.locator is None else self.locator.size
        size += 0 if self._bottleneck else sum(encoder.places + encoder.rest for encoder in encoders)
        self.trunk = nn.Sequential(
            nn.Linear(size, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()
        )
        self.head = _head(config)
        self.reset()

    # --- what LeRobot asks for ---------------------------------------------------------------------------------------

    def get_optim_params(self) -> Any:
        """All parameters."""
        return self.parameters()

    def reset(self) -> None:
        """Forgets the chunk that is being executed."""
        self._queue: deque[Tensor] = deque(maxlen=self.config.n_action_steps)

    def forward(self, batch: Mapping[str, Any], reduction: str = "mean") -> tuple[Tensor, dict[str, float]]:
        """The training loss, a scalar, or (R,) with ``reduction="none"``; actions behind an episode's end count not.

        Each part is a mean over what it is about: actions that count, rows with a label of an auxiliary loss.
        """
        looked = self._look(batch)
        error, kept = self._error(looked.embedding, batch[ACTION], batch.get("action_is_pad"))
        per_sample = error.sum(1) / kept.sum(1).clamp(min=1)
        loss = per_sample if reduction == "none" else error.sum() / kept.sum().clamp(min=1)
        acted = per_sample.detach()[kept.any(1)]
        said = {f"{self.config.head}_loss": float(acted.mean()) if len(acted) else 0.0}
        off: dict[str, Off] = {}
        if self.labelled and self.locator is not None and looked.located is not None:
            off |= self.locator.losses(looked.located, batch, self.config.pretrained_path is not None)
        if self.labelled and self.pointing is not None:
            off |= self.pointing.losses(looked.seen, looked.moved, batch)
        more = weighed(off, {key: getattr(self.config, f"{key}_weight") for key in ("waypoint", "places", "heat")})
        said |= told({key: part.loss for key, part in off.items()})
        return loss + (more if reduction == "none" or isinstance(more, float) else more.mean()), said

    @property
    def acts_on_places(self) -> bool:
        """Whether true places say all that actions see of pictures, and there is something to teach by them."""
        acting = (self.trunk, self.head, *(() if self.proprioception is None else (self.proprioception,)))
        taught = any(weight.requires_grad for part in acting for weight in part.parameters())
        return self._bottleneck and self.locator is not None and self.locator.sizes[0] == 0 and taught

    def acting_loss(self, batch: Mapping[str, Any]) -> Tensor:
        """The actions' loss, a scalar, by true places alone, of a policy that ``acts_on_places``: nothing is looked at.

        Every row tells all places and at least one action.
        """
        words = None if self._wordless else self.instruction(batch[OBS_LANGUAGE_TOKENS])
        located = PLACE_SCALE * batch[PLACES].float()
        embedding = self._from_places(words, self._felt_state(batch, located), located, batch)
        error, kept = self._error(embedding, batch[ACTION], batch["action_is_pad"])
        return error.sum() / kept.sum()

    def _error(self, embedding: Tensor, actions: Tensor, padded: Tensor | None) -> tuple[Tensor, Tensor]:
        """(R, K): the head's error of each action that counts, else 0; and which count, 1 or 0.

        Rows of which none counts cost nothing.
        """
        # LeRobot's loader drops an action's axis where it has one number
        chunk = actions.float().reshape(len(embedding), *self.head.shape)
        error = torch.zeros_like(chunk[..., 0])
        kept = torch.ones_like(error) if padded is None else (~padded).to(error.dtype)
        acts = kept.any(1)
        with torch.autocast(embedding.device.type, enabled=False):
            if acts.all():
                return self.head.loss(embedding.float(), chunk).mean(-1) * kept, kept
            if acts.any():
                error[acts] = self.head.loss(embedding.float()[acts], chunk[acts]).mean(-1)
            return error * kept, kept

    @torch.no_grad()
    def predict_action_chunk(self, batch: Mapping[str, Any], noise: Tensor | None = None, **_: Any) -> Tensor:
        """A normalised chunk (B, K, A); the flow starts from ``noise`` (B, K, A), drawn where it is None."""
        self.eval()
        return self.decode(self.encode(batch).float(), noise)

    @torch.no_grad()
    def select_action(self, batch: Mapping[str, Any], noise: Tensor | None = None, **_: Any) -> Tensor:
        """The next normalised action (B, A); a new chunk is predicted when the last one is used up."""
        if not self._queue:
            chunk = self.predict_action_chunk(batch, noise)[:, : self.config.n_action_steps]
            self._queue.extend(chunk.transpose(0, 1))
        return self._queue.popleft()

    def _get_default_peft_targets(self) -> dict[str, Any]:
        inner = r"trunk\.[03]|proprioception\.[02]|instruction\.out\.1|cameras\.\d\.questions"
        return {"target_modules": rf"{inner}|head\.(noisy|context|out|net\.[02]|blocks\.\d\.[13])"}

    # --- what learners build on --------------------------------------------------------------------------------------

    def encode(self, batch: Mapping[str, Any]) -> Tensor:
        """The observations' embedding (B, hidden); pictures are augmented in training mode."""
        return self._look(batch).embedding

    def _look(self, batch: Mapping[str, Any]) -> _Looked:
        words, shown = self.instruction(batch[OBS_LANGUAGE_TOKENS]), batch.get(SHOWN)
        pictures = [self._picture(batch, key) for key in self.config.cameras]
        seen = [camera(shot, words, shown) for (shot, _), camera in zip(pictures, self.cameras, strict=True)]
        moved = [by if shown is None or len(by) == 1 else by[shown] for _, by in pictures]
        # the state as it is too: what is missing to a place is a difference, which a ReLU's features only approach
        state = self._felt_state(batch, words)
        # where the questions point tells places better without the rest of what is seen
        pointed = torch.cat([*(each.places for each in seen), words.float(), state], -1)
        located = None if self.locator is None else self.locator(pointed)
        if self._bottleneck and self.locator is not None and located is not None:
            # actions learn from true places: what is told while it is learned is noise to them
            true = self.locator.corrected(located, batch) if self.training else located
            heard = None if self._wordless else words
            return _Looked(self._from_places(heard, state, true, batch), located, seen, moved)
        known = [pointed, *(each.rest for each in seen)]
        known += [] if self.proprioception is None else [self.proprioception(state).float()]
        if self.locator is not None and located is not None:
            known.append(self.locator.from_hand(located, batch[HAND]) if self.config.hand else located)
        return _Looked(self.trunk(torch.cat(known, -1)), located, seen, moved)

    def _from_places(self, words: Tensor | None, state: Tensor, located: Tensor, batch: Mapping[str, Any]) -> Tensor:
        """The embedding behind a bottleneck: actions teach nothing of what lies before it."""
        assert self.locator is not None
        own = state[:, self._felt]
        where = self.locator.from_hand(located, batch[HAND]) if self.config.hand else located
        known = [own] if words is None else [words.detach().float(), own]
        known += [] if self.proprioception is None else [self.proprioception(own).float()]
        embedding: Tensor = self.trunk(torch.cat([*known, where.detach()], -1))
        return embedding

    def _felt_state(self, batch: Mapping[str, Any], like: Tensor) -> Tensor:
        """The state (R, S) float32; (R, 0) without one."""
        return batch[OBS_STATE].float() if self.config.robot_state_feature is not None else like[:, :0].float()

    def velocity(self, observation_embedding: Tensor, noisy_chunk: Tensor, t: Tensor) -> Tensor:
        """The flow's velocity (B, K, A) at ``noisy_chunk`` (B, K, A) and time t (B,): 1 is noise, 0 the action.

        Raises:
            UserError: the policy has another head.
        """
        if not isinstance(self.head, FlowHead):
            raise UserError(f"policy.head={self.config.head} has no velocity: train with policy.head=flow")
        return self.head.velocity(observation_embedding, noisy_chunk, t)

    def decode(self, observation_embedding: Tensor, noise: Tensor | None = None) -> Tensor:
        """A normalised chunk (B, K, A) from the embedding (B, hidden), without randomness if ``noise`` is given."""
        if isinstance(self.head, FlowHead):
            return self.head.sample(observation_embedding, noise, self.config.num_steps)
        if isinstance(self.head, TokenHead):
            return self.head.values(self.head.draw(observation_embedding))
        return self.head.chunk(observation_embedding)

    def shrink_picture(self, key: str, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) of ``observation.images.<camera>`` cropped and small, as the network reads them."""
        return shrink(pictures, self.config.image_size, self.config.crop.get(_short(key)))

    def _picture(self, batch: Mapping[str, Any], key: str) -> tuple[Tensor, Tensor]:
        """Pictures as the network reads them, and by how much they were shifted, (B, 2) or (1, 2)."""
        pictures = self.shrink_picture(key, batch[key])
        pictures = (pictures.float() / 255 if pictures.dtype == torch.uint8 else pictures) - 0.5
        if torch.is_autocast_enabled(pictures.device.type):
            pictures = pictures.to(torch.get_autocast_dtype(pictures.device.type))
        moved = torch.zeros(1, 2, device=pictures.device)
        if not self.training:
            return pictures, moved
        if shift := self.config.shift.get(_short(key), 0):
            pictures, moved = shifted(pictures, shift)
        return augment(pictures, self.config.brightness, self.config.colour), moved

    @classmethod
    def _load_as_safetensor(cls, model: Any, model_file: str, map_location: str, strict: bool) -> Any:
        """Refuses weights of an earlier nano_vla, which LeRobot would replace by random ones without a word."""
        with safe_open(model_file, "pt") as held:
            if any(FORMER in name for name in held.keys()):  # noqa: SIM118
                raise UserError(
                    f"'{model_file}' holds a nano_vla of before its cameras were asked by the instruction: train it "
                    "again, or use it with the robo-reward that wrote it"
                )
        return super()._load_as_safetensor(model, model_file, map_location, strict)


def _short(key: str) -> str:
    """A camera's name."""
    return key.removeprefix(VIEW_PREFIX)


def _locator(config: NanoVlaConfig, features: int) -> Locator | None:
    """What the auxiliary losses need; None where there are none, or nothing is seen."""
    state = config.robot_state_feature
    waypoint = state.shape[0] if config.waypoint_weight > 0 and state is not None else 0
    places = config.places_size if config.places_weight > 0 else 0
    return Locator(features, config.hidden_dim, waypoint, places) if config.cameras and waypoint + places else None


def _proprioception(size: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size, 64), nn.ReLU(), nn.Linear(64, 64))


def _head(config: NanoVlaConfig) -> FlowHead | TokenHead | RegressionHead:
    assert config.action_feature is not None, "validate_features has refused that"
    actions, chunk, hidden = config.action_feature.shape[0], config.chunk_size, config.hidden_dim
    if config.head == "flow":
        return FlowHead(hidden, chunk, actions, hidden, config.draws)
    if config.head == "tokens":
        return TokenHead(hidden, chunk, actions, hidden, config.bins, config.bin_range)
    return RegressionHead(hidden, chunk, actions, hidden)
