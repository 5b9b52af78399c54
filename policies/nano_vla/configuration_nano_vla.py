"""The settings of nano_vla, in LeRobot's own form: ``lerobot-train --policy.type=nano_vla`` reads them."""

from __future__ import annotations

from dataclasses import dataclass, field

from lerobot.configs import NormalizationMode, PreTrainedConfig
from lerobot.optim import AdamWConfig
from lerobot.optim.schedulers import CosineDecayWithWarmupSchedulerConfig

from robo_reward.errors import UserError

VIEW_PREFIX = "observation.images."
HEADS = ("flow", "tokens", "regression")


@PreTrainedConfig.register_subclass("nano_vla")
@dataclass
class NanoVlaConfig(PreTrainedConfig):  # type: ignore[misc]
    """nano_vla: one small convolutional encoder per camera, asked by the instruction, and a head for action chunks.

    ``chunk_size``: actions predicted at once; ``n_action_steps``: how many of them are executed: half of them,
    for what it sees of the last moments before a grasp is what the grasp hangs on. ``head``: ``flow`` (a
    flow-matching expert), ``tokens`` (every number of the chunk is one of ``bins``, all decoded in parallel as in
    OpenVLA-OFT) or ``regression`` (L1, OpenVLA-OFT's other head). ``blind``: pictures are never looked at; the twin
    that tells how much of a success rate needs no picture; it ignores ``crop`` and ``shift``.

    ``crop``: camera -> [top, bottom, left, right] as shares of the picture that are kept; ``image_size``: pixels a side
    after that, area-averaged. ``shift``: camera -> pixels of random shift in training; leave fixed cameras out, where a
    shift moves the place that the picture tells. ``brightness``, ``colour``: standard deviations of both augmentations.
    """

    chunk_size: int = 8
    n_action_steps: int = 4
    head: str = "flow"
    blind: bool = False

    image_size: int = 64
    crop: dict[str, list[float]] = field(default_factory=dict)
    shift: dict[str, int] = field(default_factory=dict)
    brightness: float = 0.2
    colour: float = 0.05

    waypoint_weight: float = 0.0
    """Weight of an auxiliary loss: how far the state is from where the fingers next open or close."""
    places_weight: float = 0.0
    """Weight of an auxiliary loss: cameras tell where things are, in demonstrations that were recorded with places."""
    places_size: int = 6
    heat_weight: float = 0.0
    """Weight of an auxiliary loss: the instruction's questions point at those places in the pictures, likewise."""
    bottleneck: bool = False
    """Actions see of the pictures only where things are (what ``places_weight`` or ``waypoint_weight`` teaches), beside
    state and instruction, and leave it as it is: few demonstrations are then not learned by heart by what else is seen.
    A blind policy ignores it."""
    hand: list[int] = field(default_factory=list)
    """Which three numbers of the state are the hand's position in metres, in the frame of the places (LIBERO's: 0, 1,
    2): actions then see places from the hand. Empty: the state does not tell, they see them as they are."""
    unseen_state: list[int] = field(default_factory=list)
    """Numbers of the state that actions do not see behind the bottleneck: with ``hand``, where on the table the hand is
    (LIBERO's: 0, 1), for one demonstration after the other can be told by that, and learned by heart."""
    wordless: bool = False
    """Behind the bottleneck actions do not hear the instruction either: places are the answer to it. For suites whose
    instructions differ in what is moved and whereto, not in what is done with it."""

    channels: int = 32
    keypoints: int = 32
    questions: int = 8
    """What the instruction asks of each picture: the first point at the places where ``heat_weight`` teaches them."""
    instruction_bytes: int = 128
    instruction_dim: int = 64
    hidden_dim: int = 256

    num_steps: int = 5
    """Euler steps of the flow."""
    draws: int = 8
    """(noise, t) pairs for every picture that is encoded in training: the head costs little next to the pictures."""
    bins: int = 32
    bin_range: float = 3.0
    """Tokens cover so many standard deviations to both sides."""

    normalization_mapping: dict[str, NormalizationMode] = field(
        default_factory=lambda: {
            "VISUAL": NormalizationMode.IDENTITY,
            "STATE": NormalizationMode.MEAN_STD,
            "ACTION": NormalizationMode.MEAN_STD,
        }
    )
    state_std_floor: float = 0.01
    action_std_floor: float = 0.1
    """What hardly moves is divided by no less than this."""

    optimizer_lr: float = 1e-3
    optimizer_weight_decay: float = 1e-3
    optimizer_grad_clip_norm: float = 1.0
    scheduler_warmup_steps: int = 100
    scheduler_decay_steps: int = 30_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.head not in HEADS:
            raise UserError(f"head={self.head} of nano_vla must be one of {', '.join(HEADS)}")
        if not 1 <= self.n_action_steps <= self.chunk_size:
            raise UserError(
                f"n_action_steps={self.n_action_steps} must be within 1 and chunk_size={self.chunk_size}: "
                "no more actions can be executed than are predicted"
            )
        one = ("num_steps", "draws", "keypoints", "questions", "instruction_bytes", "instruction_dim", "hidden_dim")
        least = {"image_size": 16, "bins": 2, **dict.fromkeys(one, 1)}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise UserError(f"{name}={getattr(self, name)} of nano_vla must be {bound} or more")
        for name in ("waypoint_weight", "places_weight", "heat_weight"):
            if getattr(self, name) < 0:
                raise UserError(f"{name}={getattr(self, name)} of nano_vla must be 0 (no auxiliary loss) or more")
        if self.bottleneck and not self.blind and not (self.places_weight > 0 or self.waypoint_weight > 0):
            raise UserError(
                "bottleneck=true of nano_vla leaves actions nothing of the pictures but places: set places_weight=3 "
                "(demonstrations with recording.places=true) or waypoint_weight=1, or bottleneck=false hand=[] "
                "unseen_state=[] wordless=false"
            )
        if not _numbers(self.hand) or (self.hand and (len(self.hand) != 3 or self.places_size % 3)):
            raise UserError(
                f"hand={self.hand} of nano_vla must be three different numbers of the state, as [0, 1, 2], and "
                f"places_size={self.places_size} a multiple of three; [] if the state does not tell where the hand is"
            )
        if self.hand and not self.places_weight > 0:
            raise UserError(
                f"hand={list(self.hand)} of nano_vla is where places are seen from: set places_weight=3, or hand=[] "
                "unseen_state=[]"
            )
        if not _numbers(self.unseen_state):
            raise UserError(
                f"unseen_state={self.unseen_state} of nano_vla must be different numbers of the state, as [0, 1]; "
                "[] to see all of it"
            )
        hidden = {"unseen_state": list(self.unseen_state), "wordless": self.wordless}
        for name, value in hidden.items():
            if value and not self.bottleneck:
                raise UserError(
                    f"{name}={value} of nano_vla hides what pictures tell anyhow: set bottleneck=true, too, or "
                    "unseen_state=[] wordless=false"
                )
        if self.channels < 8 or self.channels % 8:
            raise UserError(
                f"channels={self.channels} of nano_vla must be a multiple of 8 (groups of the normalisation)"
            )
        for camera, box in self.crop.items():
            if len(box) != 4 or not (0 <= box[0] < box[1] <= 1 and 0 <= box[2] < box[3] <= 1):
                raise UserError(
                    f"crop.{camera}={list(box)} must be [top, bottom, left, right], shares of the picture in [0, 1]"
                )

    @property
    def cameras(self) -> list[str]:
        """The keys of the pictures that are looked at, in order; none for the blind twin."""
        return [] if self.blind else sorted(self.image_features)

    @property
    def observation_delta_indices(self) -> None:
        """The present observation only."""
        return None

    @property
    def action_delta_indices(self) -> list[int]:
        """A whole chunk from now on."""
        return list(range(self.chunk_size))

    @property
    def reward_delta_indices(self) -> None:
        """No rewards."""
        return None

    def get_optimizer_preset(self) -> AdamWConfig:
        """AdamW."""
        return AdamWConfig(
            lr=self.optimizer_lr,
            weight_decay=self.optimizer_weight_decay,
            grad_clip_norm=self.optimizer_grad_clip_norm,
        )

    def get_scheduler_preset(self) -> CosineDecayWithWarmupSchedulerConfig:
        """Warm-up, then a cosine down to 2 %; shorter trainings are scaled by LeRobot."""
        return CosineDecayWithWarmupSchedulerConfig(
            num_warmup_steps=self.scheduler_warmup_steps,
            num_decay_steps=self.scheduler_decay_steps,
            peak_lr=self.optimizer_lr,
            decay_lr=0.02 * self.optimizer_lr,
        )

    def validate_features(self) -> None:
        """Raises UserError without actions, or without anything to see."""
        if self.action_feature is None:
            raise UserError("nano_vla needs the feature 'action' among its outputs")
        if not self.cameras and self.robot_state_feature is None:
            raise UserError("nano_vla sees nothing: it has neither a camera (or is blind) nor observation.state")
        state = self.robot_state_feature
        if self.bottleneck and self.cameras and not self.places_weight > 0 and state is None:
            raise UserError("bottleneck=true by waypoints alone needs observation.state: set places_weight=3")
        self.check_state(0 if state is None else state.shape[0])
        known = {key.removeprefix(VIEW_PREFIX): self.image_features[key] for key in self.cameras}
        for name in () if self.blind else (*self.crop, *self.shift):
            if name not in known:
                raise UserError(f"crop or shift names the camera '{name}'; nano_vla's are {', '.join(sorted(known))}")
            self.check_crop(name, *known[name].shape[1:])

    def check_state(self, size: int) -> None:
        """Raises UserError where ``hand`` or ``unseen_state`` name numbers that a state of this size has not."""
        if self.hand and max(self.hand) >= size:
            raise UserError(
                f"hand={list(self.hand)} names numbers of a state of {size}: set policy.hand to those that are the "
                "hand's position, or policy.hand=[] policy.unseen_state=[] if none are"
            )
        if self.unseen_state and max(self.unseen_state) >= size:
            raise UserError(
                f"unseen_state={list(self.unseen_state)} names numbers of a state of {size}: set policy.unseen_state "
                "to some of these, or to []"
            )

    def check_crop(self, camera: str, height: int, width: int) -> None:
        """Raises UserError where a camera's pictures are too small for its crop, or would be taken for cropped ones."""
        if camera not in self.crop or 0 in (height, width):
            return
        size, (top, bottom, left, right) = self.image_size, self.crop[camera]
        if (height, width) == (size, size):
            raise UserError(
                f"crop.{camera} needs larger pictures: those of {size}x{size} (image_size) count as cropped already. "
                f"Take pictures of 128x128 (env.height=128 env.width=128), or leave crop out"
            )
        if round(bottom * height) <= round(top * height) or round(right * width) <= round(left * width):
            raise UserError(f"crop.{camera}={list(self.crop[camera])} leaves nothing of pictures of {height}x{width}")


def _numbers(given: object) -> bool:
    """Whether it is a list of different numbers of a state."""
    if not isinstance(given, list | tuple) or len(set(map(repr, given))) != len(given):
        return False
    return all(isinstance(k, int) and not isinstance(k, bool) and k >= 0 for k in given)
