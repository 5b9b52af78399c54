"""Puts a deployment together from what the command line says: run, robot, who watches, what is tolerated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from robo_reward.build import build, build_transforms, load_policy, load_reward_model, model_folder, read_recipe
from robo_reward.contracts import Policy
from robo_reward.errors import UserError
from robo_reward.real_robot.deploy.adapting import ArmAdaptation
from robo_reward.real_robot.deploy.camera_watch import CameraPlan
from robo_reward.real_robot.deploy.critic import Watchers
from robo_reward.real_robot.deploy.deployment import Deployment
from robo_reward.real_robot.deploy.display import Display
from robo_reward.real_robot.deploy.interface import PolicyInterface, interface_of_world, read_interface
from robo_reward.real_robot.deploy.live_view import LiveView
from robo_reward.real_robot.deploy.loop import LoopPlan
from robo_reward.real_robot.deploy.preflight import check_finite
from robo_reward.real_robot.deploy.progress_stop import ProgressPlan
from robo_reward.real_robot.deploy.scripted import ScriptedPolicy
from robo_reward.real_robot.deploy.take_over import make_hand
from robo_reward.reward_stack import RewardStack
from robo_reward.rollout import Stopper
from robo_reward.session import Judge, Saveable
from robo_reward.trust import check_recipe


def prepare(
    run: str | Path | None,
    robot: Any,
    black_box: str | Path,
    loop: LoopPlan,
    sight: CameraPlan,
    progress: ProgressPlan,
    seconds: float | None = None,
    views: list[str] | None = None,
    watch: bool = True,
    stopper: Stopper | None = None,
    dry_run: bool = False,
    teleop: str | None = None,
    leader: Mapping[str, Any] | None = None,
    live: str | None = None,
    world: Mapping[str, Any] | None = None,
    adaptation: ArmAdaptation | None = None,
) -> Deployment:
    """A deployment that is not open yet. ``robot``: the yaml of the group, built last, when all else is known to fit.

    ``adaptation`` changes the policy between episodes.
    ``run`` None: the scripted expert of an emulated arm, whose task is that of ``world``, a yaml of the group ``env``.

    Raises:
        UserError: the run's policy cannot be read, or was not made for an arm; an adaptation that is none.
    """
    if adaptation is not None and not callable(getattr(adaptation, "adapt", None)):
        raise UserError(f"adaptation: a {type(adaptation).__name__} has no adapt(policy, episode)")
    policy, interface, own = _trained(Path(run), watch) if run is not None else _scripted(world)
    if views is not None:
        interface = interface.only(tuple(views))
    watchers = replace(own, stopper=stopper, plan=progress)
    plan = replace(loop, seconds=episode_seconds(interface, seconds))
    config = dict(robot)
    if config.get("black_box") is None:
        config["black_box"] = str(Path(black_box).absolute())
    stack = None if run is None else load_stack(Path(run), watchers)
    terminal = Display(interface.fps, plan.seconds, goals=dry_run)
    display = terminal if live is None else LiveView(live, interface.joints, terminal)
    hand = make_hand(teleop, leader or {}, interface)
    made = build(config)
    acting = policy if policy is not None else ScriptedPolicy(getattr(made, "twin", None), interface.joints)
    return Deployment(
        made, acting, interface, watchers, plan, sight, dry_run, hand, display, stack=stack, adaptation=adaptation
    )


def _trained(run: Path, watch: bool) -> tuple[Policy, PolicyInterface, Watchers]:
    """The run's policy, how it meets an arm, and who watches it."""
    check_finite(run / "policy")
    interface = read_interface(run)
    return load_policy(run / "policy"), interface, load_watchers(run, interface) if watch else Watchers()


def _scripted(world: Mapping[str, Any] | None) -> tuple[None, PolicyInterface, Watchers]:
    """Of the scripted expert: it is made once the emulated arm is there."""
    if world is None:
        raise UserError("without run=DIR the scripted expert needs a world whose task it does")
    from omegaconf import OmegaConf

    recipe = OmegaConf.create({**world, "control": "goals"})
    return None, interface_of_world(recipe, Path("world")), Watchers()


def episode_seconds(interface: PolicyInterface, seconds: float | None) -> float:
    """What was asked for, else as long as an episode of training."""
    if seconds is not None:
        return seconds
    if interface.horizon is None:
        raise UserError("seconds=N is needed: the policy does not say how long its episodes were")
    return interface.horizon / interface.fps


def load_watchers(run: Path, interface: PolicyInterface) -> Watchers:
    """The run's own reward model and success judge, where it has them."""
    model = load_reward_model(run / "reward_model") if (run / "reward_model").is_dir() else None
    judge = load_judge(run / "judge") if (run / "judge").is_dir() else None
    return Watchers(model, judge)


def load_judge(folder: Path) -> Judge:
    """The success guard that a train run saved. UserError where the folder holds none."""
    file = model_folder(folder) / "model.yaml"
    recipe = read_recipe(file)
    check_recipe(recipe, file, "robo_reward.reward_models")
    judge: Any = build(recipe)
    if not isinstance(judge, Saveable) or not hasattr(judge, "moment"):
        raise UserError(f"'{file}' builds a {type(judge).__name__}, which judges no success")
    judge.load(folder)
    return judge  # type: ignore[return-value]


def load_stack(run: Path, watchers: Watchers) -> RewardStack | None:
    """The reward that the run was trained with, for the episodes that are kept; None where it asks the simulator."""
    from omegaconf import OmegaConf

    if watchers.model is None or watchers.model.needs.oracle != "none":
        return None
    trained: Any = OmegaConf.load(run / "config.yaml")
    return RewardStack(watchers.model, build_transforms(trained.transform))
