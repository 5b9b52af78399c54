"""adapt: a trained policy goes on learning at test time, by a learned reward; nothing of the simulator is asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_reward.answer_counts import note_counts
from robo_reward.bounds import check_bounds, check_seeds
from robo_reward.default_views import NO_WORLD, name_views
from robo_reward.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from robo_reward.adaptation import Adaptation, Check
    from robo_reward.contracts import Policy
    from robo_reward.evaluation import Evaluation
    from robo_reward.reward_stack import RewardStack
    from robo_reward.runs.folder import RunFolder
    from robo_reward.session import Session

LEAST = {"seed": 0, "threads": 1, "rollouts": 1, "steps": 1, "episodes": 1, "checkpoint_every": 1, "worlds": 1}


def run(cfg: DictConfig) -> None:
    """Adapts, evaluates before and after, and writes ``policy/`` and the summary.

    Raises:
        UserError: no finished run with a policy, no fitted reward, a reward that asks the simulator, or what the hook
            says of the policy.
    """
    check_bounds(cfg, LEAST)
    check_seeds(cfg.evaluation_seeds)
    source = _take_up(cfg)
    import torch

    from robo_reward.build import check_policy_fits, load_policy
    from robo_reward.runs.folder import RunFolder, is_finished
    from robo_reward.runs.same_config import tell_finished

    name_views(cfg)
    if cfg.resume and cfg.run_dir is not None and is_finished(Path(cfg.run_dir)):
        tell_finished(Path(cfg.run_dir), cfg)
        return
    torch.set_num_threads(cfg.threads)
    stack = _stack(cfg)
    with RunFolder.create("adapt", Path(cfg.run).name, cfg, cfg.run_dir, cfg.resume) as folder:
        policy, check = load_policy(Path(cfg.run) / "policy"), _check(cfg)
        session = _session(cfg, folder, stack, check)
        print(f"run folder: {folder.path}", flush=True)
        assert session.test_world is not None
        try:
            check_policy_fits(Path(cfg.run) / "policy", session.test_world)
            _describe(cfg, session, source)
            folder.summary.device = str(getattr(policy, "device", "cpu"))
            _adapt(cfg, session, policy, check)
        finally:
            note_counts(folder.summary, stack.model, before=session.tally.counts)
            session.world.close()
            session.test_world.close()


def _take_up(cfg: DictConfig) -> dict[str, Any]:
    """The run's summary; its world and its reward where none were given."""
    from omegaconf import DictConfig, OmegaConf, open_dict

    from robo_reward.runs.folder import read_summary

    if cfg.run is None:
        raise UserError("adapt needs run=DIR, the folder of a finished train run (learner=sft makes VLAs)")
    folder = Path(cfg.run)
    for name in ("config.yaml", "summary.json", "policy/policy.yaml"):
        if not (folder / name).is_file():
            raise UserError(f"run='{folder}' is not the folder of a finished train run (it has no {name})")
    trained = OmegaConf.load(folder / "config.yaml")
    source = read_summary(folder)
    if not isinstance(trained, DictConfig) or source.get("verb") not in ("train", "adapt"):
        raise UserError(f"run='{folder}' is a run of '{source.get('verb')}': give the folder of a train run")
    with open_dict(cfg):
        if cfg.env["_target_"] == NO_WORLD:
            cfg.env = trained.env
            _check_world(cfg, folder)
            if cfg.env.get("horizon") is None and (source.get("notes") or {}).get("horizon_steps") is not None:
                cfg.env.horizon = source["notes"]["horizon_steps"]
        if cfg.worlds is not None:
            cfg.env.num_worlds = cfg.worlds
        if cfg.reward_model.get("path") is None and (folder / "reward_model" / "model.yaml").is_file():
            cfg.reward_model.path = str(folder / "reward_model")
    return source


def _check_world(cfg: DictConfig, folder: Path) -> None:
    """A run's recipe may come from elsewhere."""
    from omegaconf import OmegaConf

    from robo_reward.trust import check_recipe

    check_recipe(OmegaConf.to_container(cfg.env, resolve=True), folder / "config.yaml", "robo_reward.envs")


def _stack(cfg: DictConfig) -> RewardStack:
    from robo_reward.build import build_stack
    from robo_reward.reward_audits import audits_of, check_audits
    from robo_reward.traits import is_unfitted

    stack = build_stack(cfg)
    if stack.model.needs.oracle != "none":
        raise UserError(
            "adapt asks no simulator, and this reward (the run's own, where reward_model.path names no other) does: "
            "name a fitted one, reward_model.path=FOLDER, or use learner=grpo"
        )
    if is_unfitted(stack.model, cfg.reward_model):
        raise UserError(
            "adapt needs a fitted reward, and the run holds none: robo-reward fit reward_model=progress "
            "reward_model.head=milestones env=..., then reward_model.path=FOLDER"
        )
    check_audits(audits_of(stack.model, cfg.reward_model), cfg.accept_refused_reward)
    return stack


def _check(cfg: DictConfig) -> Check | None:
    """The independent success check: the one that was named, else the run's own judge; None without either."""
    from robo_reward.adaptation import ClassifierCheck
    from robo_reward.build import MODEL_YAML, build, model_folder, read_recipe
    from robo_reward.session import Saveable
    from robo_reward.trust import check_recipe

    own = Path(cfg.run) / "judge"
    if cfg.check is None and not (own / MODEL_YAML).is_file():
        print("no success check (check=FOLDER): nothing will be rolled back", flush=True)
        return None
    folder = own if cfg.check is None else model_folder(cfg.check)
    recipe = read_recipe(folder / MODEL_YAML)
    check_recipe(recipe, folder / MODEL_YAML, "robo_reward.reward_models")
    found: Any = build(recipe)
    if isinstance(found, Saveable):
        found.load(folder)
        check: Any = found
        return check if hasattr(check, "judge") else ClassifierCheck(check)
    return found if hasattr(found, "judge") else ClassifierCheck(found)


def _session(cfg: DictConfig, folder: RunFolder, stack: RewardStack, check: Check | None) -> Session:
    from omegaconf import OmegaConf

    from robo_reward.adaptation import blinded
    from robo_reward.build import build_test_world, build_world
    from robo_reward.contracts import Budget
    from robo_reward.session import Session

    test: Any = OmegaConf.to_container(cfg.test, resolve=True) if cfg.test else {}
    # whatever a hook reaches through its session is blind
    world = blinded(build_world(cfg.env, oracle="none"))
    tested = blinded(build_test_world(cfg.env, oracle="none", **test))
    session = Session(
        world=world,
        stack=stack,
        demonstrations=[],
        budget=Budget(cfg.rollouts, cfg.steps),
        run=folder,
        seed=cfg.seed,
        judge=check,  # type: ignore[arg-type]
    )
    session.test_world = tested
    return session


def _adapt(cfg: DictConfig, session: Session, policy: Policy, check: Check | None) -> None:
    """Before, the rounds, after; verdicts are read when nothing will be updated any more."""
    from robo_reward.adaptation import Adaptation, AdaptationHook, BlindGround
    from robo_reward.build import build
    from robo_reward.evaluation import judge_episodes, run_seeds
    from robo_reward.reward_truth import told_apart

    test_world = session.test_world
    assert test_world is not None

    def measure() -> list[list[int]]:
        return run_seeds(test_world, policy, cfg.episodes, cfg.evaluation_seeds)

    hook = build(cfg.adaptation)
    if not isinstance(hook, AdaptationHook):
        raise UserError(f"adaptation builds a {type(hook).__name__}, which lacks a method of AdaptationHook")
    adaptation = Adaptation(hook, build(cfg.bounds), check)
    hook.bind(policy, adaptation.bounds.rounds, cfg.seed)
    ground = BlindGround(session)
    latest = session.run.latest_checkpoint()
    if latest is None:
        before = measure()
    else:
        session.restore(latest)
        restored = session.restored or {}
        adaptation.load(restored["adaptation"])
        before, ground.earned = restored["before"], [(int(k), float(r)) for k, r in restored["earned"]]
    ground.heard.append(adaptation.hear)
    while not adaptation.ended:
        _round(cfg, session, adaptation, ground, before)
    policy.save(session.run.path / "policy")
    after = measure()
    session.world.sealed.unseal()
    test_world.sealed.unseal()
    judged = [[judge_episodes(test_world, positions) for positions in told] for told in (before, after)]
    _summarise(cfg, session, adaptation, judged[0], judged[1])
    session.run.summary.notes |= told_apart(ground.earned, session.world.sealed)


def _round(cfg: DictConfig, session: Session, adaptation: Adaptation, ground: Any, before: Any) -> None:
    metrics = adaptation.round(ground)
    session.tally.updates = adaptation.done
    session.log({f"adapt/{key}": value for key, value in metrics.items()})
    told = ", ".join(f"{key} {metrics[key]:.3f}" for key in ("reward", "drift", "judged") if key in metrics)
    print(f"round {adaptation.done}/{adaptation.bounds.rounds}: {told}", flush=True)
    if not adaptation.ended and not session.left():
        adaptation.ended = "the budget of rollouts or steps is used up"
    if not adaptation.ended and adaptation.done % cfg.checkpoint_every == 0:
        earned = [list(pair) for pair in ground.earned]
        session.checkpoint({"adaptation": adaptation.state(), "before": before, "earned": earned})


def _describe(cfg: DictConfig, session: Session, source: dict[str, Any]) -> None:
    from robo_reward.naming import reward_name, snake_case
    from robo_reward.provenance import oracle_before

    summary = session.run.summary
    summary.env, summary.policy, summary.demos = session.world.name, source.get("policy"), source.get("demos")
    summary.learner = snake_case(cfg.adaptation["_target_"].rpartition(".")[2])
    summary.reward_model, summary.base_reward = reward_name(session.stack.model), session.stack.base_reward
    summary.transforms = [snake_case(type(t).__name__) for t in session.stack.transforms]
    # of the whole way to this policy: what it was trained with before counts too
    summary.used_env_reward, summary.used_env_success = oracle_before(str(cfg.run))
    summary.stand_in_visuals = bool(getattr(session.world, "stand_in_visuals", False))


def _summarise(
    cfg: DictConfig, session: Session, adaptation: Adaptation, before: list[Evaluation], after: list[Evaluation]
) -> None:
    from robo_reward.evaluation import merge
    from robo_reward.walking import about_starts

    summary, world = session.run.summary, session.world
    assert session.test_world is not None
    start, end = merge(before), merge(after)
    summary.rollouts, summary.env_steps = session.tally.rollouts, session.tally.env_steps
    summary.episodes, summary.updates = session.tally.rollouts, session.tally.updates
    summary.success_rate, summary.success_ci95, summary.success_episodes = end.success_rate, end.ci95, end.episodes
    summary.success_by_seed = [part.success_rate for part in after]
    summary.env_return, summary.nan_resets = end.env_return, session.nan_resets
    summary.pricing_seconds = round(session.tally.pricing_seconds, 3)
    summary.frames_rendered, summary.render_seconds = session.frames_rendered, round(session.render_seconds, 3)
    summary.notes = {
        "run": str(cfg.run),
        "before_success_rate": start.success_rate,
        "before_ci95": start.ci95,
        "before_by_seed": [part.success_rate for part in before],
        "ended": adaptation.ended,
        "rollbacks": adaptation.returns,
        "judged": adaptation.judged,
        "horizon": world.horizon,
        "horizon_steps": cfg.env.get("horizon") or world.horizon * int(cfg.env.get("action_repeat") or 1),
        **about_starts(session.test_world, [part.successes for part in after]),
    }
    if end.success_rate is not None and start.success_rate is not None:
        print(f"success {start.success_rate:.2f} before, {end.success_rate:.2f} after ({end.episodes} episodes)")
    if cfg.report:
        note_counts(summary, session.stack.model, before=session.tally.counts)
        _report(cfg, session, start, end)


def _report(cfg: DictConfig, session: Session, start: Evaluation, end: Evaluation) -> None:
    from omegaconf import OmegaConf

    from robo_reward.report.pages import ReportData, write_report

    data = ReportData(summary=session.run.summary.as_json(), config=OmegaConf.to_yaml(cfg, resolve=True))
    if start.success_rate is not None and end.success_rate is not None:
        data.notes = [
            f"On the same starts the policy succeeded in {start.success_rate:.0%} before adaptation and in "
            f"{end.success_rate:.0%} after it."
        ]
    write_report(session.run.path, data)
    print(f"report: {session.run.path / 'report' / 'index.html'}", flush=True)
