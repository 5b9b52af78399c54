"""Compiles the quadruped on a terrain, and its randomised variants."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.envs.locomotion.terrain import HALF, Terrain
from robo_reward.envs.rendering import choose_renderer
from robo_reward.errors import UserError

if TYPE_CHECKING:
    import mujoco

FEET = ("FL", "FR", "RL", "RR")
STANDING: NDArray[np.float64] = np.array([0.1, 0.8, -1.5, -0.1, 0.8, -1.5, 0.1, 1.0, -1.5, -0.1, 1.0, -1.5])
"""Joint angles (12,) of the standing pose, legged_gym's for the A1."""


@dataclass(frozen=True, slots=True)
class Randomisation:
    """Ranges from which a variant's physics is drawn; ``variants`` 1 leaves the nominal robot alone.

    ``friction`` of the feet (the ground's counts where it is higher, see ``build_variants``), ``payload`` kilograms on
    the trunk, ``strength`` factor of the gains and torque limits. Variant 0 is always nominal.
    """

    variants: int = 1
    friction: tuple[float, float] = (0.5, 1.25)
    payload: tuple[float, float] = (-1.0, 2.0)
    strength: tuple[float, float] = (0.9, 1.1)

    def __post_init__(self) -> None:
        if self.variants < 1:
            raise UserError(f"env.randomise.variants={self.variants} must be 1 or more")
        for name in ("friction", "payload", "strength"):
            low, high = getattr(self, name)
            if low > high:
                raise UserError(f"env.randomise.{name}=[{low}, {high}] must be a lower and an upper bound")
        if self.friction[0] <= 0 or self.strength[0] <= 0 or self.payload[0] < -4.0:
            raise UserError(
                f"env.randomise: friction {self.friction} and strength {self.strength} must be above 0, and payload "
                f"{self.payload} above -4 kg, since the trunk has 4.7 kg"
            )


def build_variants(terrain: Terrain, randomise: Randomisation, seed: int = 0) -> list[mujoco.MjModel]:
    """Compiled models of equal sizes, the nominal one first."""
    rng = np.random.default_rng(seed)
    models = [build_model(terrain)]
    for _ in range(1, randomise.variants):
        model = build_model(terrain)
        # a contact's friction is the larger one of the two geoms: both take the variant's
        friction = rng.uniform(*randomise.friction) * terrain.friction / 0.8
        _set_friction(model, friction)
        payload, strength = rng.uniform(*randomise.payload), rng.uniform(*randomise.strength)
        trunk = model.body("trunk").id
        scale = (model.body_mass[trunk] + payload) / model.body_mass[trunk]
        model.body_mass[trunk] *= scale
        model.body_inertia[trunk] *= scale
        for part in (model.actuator_gainprm, model.actuator_biasprm, model.actuator_forcerange):
            part *= strength
        _refresh(model)
        models.append(model)
    return models


def build_model(terrain: Terrain) -> mujoco.MjModel:
    """The nominal robot on a terrain, standing at the origin."""
    choose_renderer()
    import mujoco

    xml = files("robo_reward.envs").joinpath("assets/quadruped/a1.xml").read_text("utf-8")
    spec = mujoco.MjSpec.from_string(xml)
    if not terrain.even:
        _lay_field(spec, terrain)
    model = spec.compile()
    _set_friction(model, terrain.friction)
    return model


def _lay_field(spec: Any, terrain: Terrain) -> None:
    """Replaces the plane by a height field."""
    import mujoco

    heights = terrain.field()
    top = float(heights.max())
    spec.add_hfield(
        name="terrain",
        nrow=len(heights),
        ncol=len(heights),
        size=[HALF, HALF, top, 0.5],
        userdata=(heights / top).ravel(),
    )
    floor = spec.geom("floor")
    floor.type, floor.hfieldname = mujoco.mjtGeom.mjGEOM_HFIELD, "terrain"


def _set_friction(model: Any, friction: float) -> None:
    for name in ("floor", *(f"{foot}_foot" for foot in FEET)):
        model.geom(name).friction[0] = friction


def _refresh(model: Any) -> None:
    """Recomputes what MuJoCo derives from masses."""
    import mujoco

    mujoco.mj_setConst(model, mujoco.MjData(model))
