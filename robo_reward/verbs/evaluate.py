"""evaluate: the policy of a finished run, measured again in fresh episodes that anyone can repeat."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_reward.bounds import check_bounds, check_seeds
from robo_reward.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from robo_reward.contracts import Policy, World
    from robo_reward.evaluation import Evaluation
    from robo_reward.runs.summary import Summary

ARM_EPISODES = 10
"""On an arm, unless told otherwise: somebody has to watch each one."""
LEAST = {"seed": 0, "episodes": 1, "horizon": 1}
VIDEO = {"video_episodes": 1, "height": 16, "width": 16}
"""The least that a number may be, and of a video."""


def run(cfg: DictConfig) -> None:
    """Measures, writes a run folder of its own, and compares with what the run's summary says.

    Raises:
        UserError: not the folder of a finished run, a number out of range, or no screen for ``view=true``.
    """
    if cfg.robot.get("_target_") is not None:
        _on_arm(cfg)
        return
    swept = bool(cfg.disturbance.kinds)
    if swept:
        from robo_reward.pushes.sweep_settings import check_looked_at

        check_looked_at(cfg)
    trained, source = _trained(cfg)
    _check(cfg)
    if swept:
        from robo_reward.pushes.sweep_run import run_sweep

        run_sweep(cfg, trained, source)
        return
    import torch

    from robo_reward.build import check_policy_fits, load_policy
    from robo_reward.runs.folder import RunFolder

    torch.set_num_threads(int(trained.get("threads") or 1))
    policy = load_policy(Path(cfg.run) / "policy")
    if cfg.execute is not None:
        _execute(policy, cfg.execute)
    world = _world(trained, Path(cfg.run) / "config.yaml", cfg)
    try:
        check_policy_fits(Path(cfg.run) / "policy", world)
        with RunFolder.create("evaluate", Path(cfg.run).name, cfg, cfg.run_dir, tensorboard=False) as folder:
            parts = _measure(cfg, world, policy)
            _describe(folder.summary, cfg, source, world, parts)
            folder.summary.device = str(getattr(policy, "device", "cpu"))
            _say(folder.summary, cfg, source)
            if cfg.video and world.view_names:
                _record(cfg, world, policy, folder.path / "video.mp4")
            print(f"run folder: {folder.path}")
    finally:
        world.close()


def _execute(policy: Policy, count: Any) -> None:
    """Carries out so many actions of each chunk. UserError for a policy without chunks, or more than it decides."""
    config = getattr(policy, "config", None)
    chunk = getattr(config, "chunk_size", None) or getattr(config, "horizon", None)
    if chunk is None:
        raise UserError(f"execute={count} is for policies that decide chunks of actions; leave it out")
    if not isinstance(count, int) or not 1 <= count <= chunk:
        raise UserError(f"execute={count} must be within 1 and the {chunk} actions of the policy's chunk")
    policy.execute = count  # type: ignore[attr-defined]


def _on_arm(cfg: DictConfig) -> None:
    """The same policy on an arm; a person says of each episode whether it succeeded, of an emulated one its twin."""
    from hydra import compose
    from omegaconf import open_dict

    from robo_reward.arm.policy_run import run_on_arm

    given = {name: cfg[name] is not None for name in ("evaluation_seeds", "horizon", "execute")}
    given |= {"view": cfg.view, "disturbance": bool(cfg.disturbance.kinds)}
    given |= {f"env.{name}": value is not None for name, value in cfg.env.items()}
    if any(given.values()):
        named = ", ".join(name for name, is_set in given.items() if is_set)
        raise UserError(f"{named}: the simulator's, not an arm's; leave it out with robot=...")
    arm = compose("deploy")
    with open_dict(arm):
        arm.robot, arm.run, arm.run_dir, arm.seed = cfg.robot, cfg.run, cfg.run_dir, cfg.seed
        arm.episodes = ARM_EPISODES if cfg.episodes is None else cfg.episodes
        arm.operator = "plant" not in cfg.robot
    run_on_arm("evaluate", arm)


def _trained(cfg: DictConfig) -> tuple[DictConfig, Mapping[str, Any]]:
    """Config and summary of the run; what was left open in ``cfg`` is taken from them."""
    from omegaconf import DictConfig, OmegaConf

    from robo_reward.runs.folder import read_summary

    if cfg.run is None:
        raise UserError("evaluate needs run=DIR, the folder of a finished train run")
    folder = Path(cfg.run)
    for name in ("config.yaml", "summary.json"):
        if not (folder / name).is_file():
            raise UserError(f"run='{folder}' is not the folder of a finished train run (it has no {name})")
    trained = OmegaConf.load(folder / "config.yaml")
    source = read_summary(folder)
    if not isinstance(trained, DictConfig) or source.get("verb") not in ("train", "adapt"):
        raise UserError(f"run='{folder}' is a run of '{source.get('verb')}': give the folder of a train run")
    if source.get("status", "done") != "done":
        raise UserError(
            f"run='{folder}' is not finished ('{source['status']}'): go on with "
            f"robo-reward train run_dir='{folder}' resume=true and the same settings"
        )
    for key in ("episodes", "evaluation_seeds"):
        cfg[key] = trained[key] if cfg[key] is None else cfg[key]
    cfg.horizon = _horizon(trained, source, folder) if cfg.horizon is None else cfg.horizon
    return trained, source


def _horizon(trained: Any, source: Mapping[str, Any], folder: Path) -> int:
    """Simulator steps of an episode in the run, whose summary counts decisions."""
    from robo_reward.chosen_settings import settings_of_test

    chosen = settings_of_test(trained).get("horizon") or trained.env.get("horizon")
    if chosen is not None:
        return int(chosen)
    notes = source.get("notes") or {}
    if notes.get("horizon_steps") is not None:
        return int(notes["horizon_steps"])
    decisions = notes.get("horizon")
    if decisions is None:
        raise UserError(
            f"'{folder / 'summary.json'}' does not say how long episodes were: give horizon=150, or whatever it was"
        )
    return int(decisions) * int(trained.env.get("action_repeat") or 1)


def _check(cfg: DictConfig) -> None:
    check_bounds(cfg, LEAST)
    check_seeds(cfg.evaluation_seeds)
    if cfg.video:
        check_bounds(cfg, VIDEO)
    if cfg.view:
        from robo_reward.viewer import check_screen

        check_screen()


def _world(trained: DictConfig, file: Path, cfg: DictConfig) -> World:
    """The world in which the run was evaluated, or as ``env`` wants it: one copy, in this process, without oracle."""
    from robo_reward.build import load_world
    from robo_reward.chosen_settings import EVALUATION, chosen_settings, own_settings, settings_of_test

    chosen = chosen_settings(cfg.get("env"), trained.env, EVALUATION)
    length = {"horizon": cfg.horizon}
    last = length if "horizon" in settings_of_test(trained) else {}
    different = {**length, **own_settings(trained, file), **last, **chosen}
    return load_world(trained.env, file, num_worlds=1, workers="in_process", oracle="none", **different)


def _chosen(cfg: DictConfig) -> dict[str, Any]:
    """Settings of the world that this evaluation asks for."""
    return {str(name): value for name, value in (cfg.get("env") or {}).items() if value is not None}


def _measure(cfg: DictConfig, world: World, policy: Policy) -> list[Evaluation]:
    from robo_reward.evaluation import judge_episodes, run_seeds
    from robo_reward.viewer import Viewer

    viewer = Viewer.of(world) if cfg.view else None
    try:
        on_step = None if viewer is None else viewer.show
        played = run_seeds(world, policy, cfg.episodes, cfg.evaluation_seeds, on_step)
    finally:
        if viewer is not None:
            viewer.close()
    world.sealed.unseal()
    return [judge_episodes(world, positions) for positions in played]


def _describe(
    summary: Summary, cfg: DictConfig, source: Mapping[str, Any], world: World, parts: list[Evaluation]
) -> None:
    from robo_reward.evaluation import merge
    from robo_reward.walking import about_starts

    whole = merge(parts)
    summary.env, summary.policy, summary.learner = world.name, source.get("policy"), source.get("learner")
    summary.reward_model, summary.demos = source.get("reward_model"), source.get("demos")
    # what the policy was trained with: this evaluation changes nothing about it
    summary.used_env_reward, summary.used_env_success = source.get("used_env_reward"), source.get("used_env_success")
    summary.episodes = summary.success_episodes = whole.episodes
    summary.success_rate, summary.success_ci95 = whole.success_rate, whole.ci95
    summary.success_by_seed = [part.success_rate for part in parts]
    summary.env_return, summary.nan_resets = whole.env_return, world.nan_resets
    summary.stand_in_visuals = bool(getattr(world, "stand_in_visuals", False))
    starts = about_starts(world, [part.successes for part in parts])
    summary.notes = {
        "run": str(cfg.run),
        "horizon": cfg.horizon,
        "execute": cfg.execute,
        "reproduced": _reproduced(cfg, source, summary, starts),
        **starts,
    }


def _reproduced(cfg: DictConfig, source: Mapping[str, Any], summary: Summary, starts: Mapping[str, Any]) -> bool | None:
    """Whether the run's own numbers came out again; None where other episodes were asked for or no success is known.

    ``starts``: what is noted of where episodes began. Of runs whose seeds each began anew only the first one can be
    compared: a difference there is told, and nothing else is claimed.
    """
    if summary.success_rate is None or not _asked_as_the_run(cfg, source):
        return None
    same = [one == other for one, other in zip(source["success_by_seed"], summary.success_by_seed or [], strict=True)]
    if _began_anew(source, starts):
        return None if same[0] else False
    return all(same)


def _asked_as_the_run(cfg: DictConfig, source: Mapping[str, Any]) -> bool:
    """Whether the run itself was evaluated with the episodes and settings that are asked for now."""
    from omegaconf import OmegaConf

    folder = Path(cfg.run)
    trained = OmegaConf.load(folder / "config.yaml")
    own = (trained.episodes, list(trained.evaluation_seeds))
    same = (cfg.episodes, list(cfg.evaluation_seeds)) == own and not _chosen(cfg) and not cfg.execute
    return same and source.get("success_by_seed") is not None and bool(cfg.horizon == _horizon(trained, source, folder))


def _began_anew(source: Mapping[str, Any], starts: Mapping[str, Any]) -> bool:
    """Whether a former version played the run's later seeds from the first start on, not from where the last ended."""
    return len(starts.get("evaluated_from", ())) > 1 and "evaluated_from" not in (source.get("notes") or {})


def _record(cfg: DictConfig, world: World, policy: Policy, path: Path) -> None:
    """The first episodes of the first seed once more, in good quality: drawing during the measurement would slow it.

    Where nothing can be rendered it says so: what was measured holds without a video.
    """
    import numpy as np

    from robo_reward.data.video import encode_video
    from robo_reward.evaluation import run_episodes
    from robo_reward.runs import atomic

    picture = getattr(world, "picture", None)
    if picture is None:
        return
    frames: list[Any] = []
    view = world.view_names[0]

    def draw(transition: Any) -> None:
        if not transition.done[0]:  # a world that is done shows the next episode already
            frames.append(picture(0, view, cfg.height, cfg.width))

    try:
        run_episodes(world, policy, cfg.video_episodes, cfg.evaluation_seeds[0], on_step=draw)
    except UserError as error:
        print(f"no video was made (video=false asks for none): {error}", file=sys.stderr)
        return
    if frames:
        atomic.write_bytes(path, encode_video(np.stack(frames), world.fps))


def _say(summary: Summary, cfg: DictConfig, source: Mapping[str, Any]) -> None:
    if summary.success_rate is None:
        print(f"{summary.env}: return {summary.env_return:.1f} over {summary.episodes} episodes (no success test)")
        return
    low, high = summary.success_ci95 or (0.0, 1.0)
    rates = zip(cfg.evaluation_seeds, summary.success_by_seed or [], strict=True)
    by_seed = ", ".join(f"seed {seed}: {rate:.2f}" for seed, rate in rates if rate is not None)
    verdict = {True: "as in the run's summary", False: f"the run's summary says {source.get('success_rate')}"}
    told = verdict.get(summary.notes["reproduced"])
    if told is None and _asked_as_the_run(cfg, source) and _began_anew(source, summary.notes):
        told = "seeds now go on in the starts, the run's began anew, so only its first one played the same episodes"
    print(
        f"{summary.env}: success {summary.success_rate:.3f} (95% {low:.2f}-{high:.2f}, {summary.episodes} episodes; "
        f"{by_seed})" + (f"; {told}" if told else "")
    )
