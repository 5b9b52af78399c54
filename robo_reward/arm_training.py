"""Learning on an arm: demonstrations, then practice with a person at hand, while a learner works beside it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robo_reward.arm_episode import ArmEpisode, read_episode, write_episode
from robo_reward.arm_learner import DEMONSTRATIONS, PRACTICE, WEIGHTS, episode_path, stored
from robo_reward.arm_learner_process import LearnerProcess
from robo_reward.errors import UserError
from robo_reward.runs import atomic
from robo_reward.seeding import derive_seed

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from robo_reward.contracts import Policy
    from robo_reward.runs.folder import RunFolder

LEAST = {"seed": 0, "threads": 1, "demos": 1, "rollouts": 1, "episodes": 0, "arm.behind": 0, "arm.checkpoint_every": 1}
LEAD = 3
"""Periods by which goals that were sent lie behind those that were asked for, in datasets that hold only the former."""
DROPPED = 3
"""So many demonstrations in a row may fail."""


def train_on_arm(cfg: DictConfig) -> None:
    """Demonstrations, evaluation, practice, evaluation; every episode is kept as ``deploy`` keeps them.

    Raises:
        UserError: refused before the arm had torque (exit code 2).
        SafetyStop: the arm was stopped (exit code 3); resume=true goes on.
    """
    from robo_reward.bounds import check_bounds
    from robo_reward.runs.folder import RunFolder, check_same, is_finished

    check_bounds(cfg, LEAST)
    if cfg.get("arm") is None or cfg.robot.get("_target_") is None:
        raise UserError("learning on an arm: robo-reward train learner=hil_serl robot=emulated_so101 (or robot=so101)")
    if cfg.rollouts is None:
        raise UserError("rollouts=N is needed: how many episodes the arm practises")
    import torch

    if cfg.resume and cfg.run_dir is not None and is_finished(Path(cfg.run_dir)):
        check_same(Path(cfg.run_dir), cfg)
        print(f"'{cfg.run_dir}' is finished: there is nothing to resume")
        return
    torch.set_num_threads(int(cfg.threads))
    with RunFolder.create("train", f"arm-{cfg.arm.name}", cfg, cfg.run_dir, cfg.resume) as folder:
        print(f"run folder: {folder.path}", flush=True)
        ArmTraining(cfg, folder).run()


class ArmTraining:
    """One run. ``practice`` is the arm, ``learner`` the process beside it; the twin's verdicts reach neither."""

    def __init__(self, cfg: DictConfig, folder: RunFolder) -> None:
        from robo_reward.build import build

        self.cfg, self.folder = cfg, folder
        self.learner = LearnerProcess(folder.path, folder.latest_checkpoint())
        self.schedule = build(cfg.learner)
        self.practice: Any = None

    def run(self) -> None:
        """All of it; the arm is left in order whatever happens."""
        from robo_reward.build import build

        self.practice = _practice(self.cfg, self.folder.path)
        clean = False
        try:
            self._learn()
            clean = True
        finally:
            try:
                print(f"the arm: {self.practice.close(clean)}", flush=True)
            finally:
                self.learner.close()
                build(self.cfg.arm.ending)(self.practice.deployment.robot)

    def _learn(self) -> None:
        self._prepare()
        if self._missing() == 0:  # learned from before the arm is powered
            self.learner.start()
        self.practice.open()
        if self._missing():
            self._demonstrations()
            self.folder.log(0, {"practice/demonstrations": float(self.cfg.demos or 10)})  # from now on the run is kept
            self.learner.start()
        before = self._once("before", "prior")
        self._practise()
        self.learner.catch_up(int(self.cfg.rollouts), 0)
        self.learner.save(self.folder.path, "finish")
        self.practice.interface.save(self.folder.path / "policy")
        kept = getattr(self._newest(None, 0), "mode", "average")
        found = {"prior": self._once("imitation", "prior")}
        if self.schedule.corrects:
            found["average"] = self._once("corrected", "average")
        self._end(before, found[kept], found)

    # --- demonstrations ----------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """What can be refused before the arm has torque."""
        if self.cfg.data is not None:
            if not stored(self.folder.path, DEMONSTRATIONS):
                self._read()
        elif not self.practice.demonstrates:
            raise UserError(
                "an arm learns from demonstrations: robo-reward collect robot=... teleop=so101_leader demos=10, then "
                "data=FOLDER here"
            )

    def _read(self) -> None:
        from robo_reward.data.datasets import read_dataset

        traces = read_dataset(self.cfg.data)[: self.cfg.demos]
        joints = len(self.practice.interface.joints)
        for number, trace in enumerate(traces):
            if trace.action.shape[1] != joints or set(self.practice.interface.views) - set(trace.frames):
                raise UserError(
                    f"'{self.cfg.data}' was not recorded on this arm: its actions have {trace.action.shape[1]} numbers "
                    f"and its cameras are {sorted(trace.frames)}; the arm has {joints} joints and "
                    f"{list(self.practice.interface.views)}"
                )
            asked = trace.action[np.minimum(np.arange(len(trace)) + LEAD, len(trace) - 1)]
            self._keep(DEMONSTRATIONS, number, ArmEpisode(trace, asked, np.ones(len(trace), bool), "demonstration"))

    def _missing(self) -> int:
        """Demonstrations that are still to be shown."""
        kept = len(stored(self.folder.path, DEMONSTRATIONS))
        return 0 if self.cfg.data is not None else max(0, int(self.cfg.demos or 10) - kept)

    def _demonstrations(self) -> None:
        """A simulated operator shows what is still missing; what did not succeed in its eyes is dropped."""
        tried = 0
        while self._missing():
            kept = len(stored(self.folder.path, DEMONSTRATIONS))
            outcome = self._play("demonstration", kept, None, derive_seed(self.cfg.seed, "demonstration", kept, tried))
            shown = outcome.episode
            if shown is None or shown.trace.success is None or not shown.trace.success.any():
                tried += 1
                if tried >= DROPPED:
                    raise UserError(f"{DROPPED} demonstrations in a row did not succeed ({outcome.reason})")
                continue
            trace = replace(shown.trace, source="demonstration")
            self._keep(DEMONSTRATIONS, kept, replace(shown, trace=trace, kind="demonstration"))
            tried = 0

    # --- practice ----------------------------------------------------------------------------------------------------

    def _practise(self) -> None:
        """The loop: an episode by the newest weights, handed over, and the next one."""
        cfg = self.cfg
        done = len(stored(self.folder.path, PRACTICE))
        for number in range(done, int(cfg.rollouts)):
            self.learner.catch_up(number, int(cfg.arm.behind))
            mode = self.schedule.mode(number)
            policy = self._newest(mode, derive_seed(cfg.seed, "explore", number))
            outcome = self._play("practice", number, policy, derive_seed(cfg.seed, "practice", number), mode)
            if outcome.episode is not None:
                self._keep(PRACTICE, number, outcome.episode)
                self.learner.tell(number)
            if (number + 1) % cfg.arm.checkpoint_every == 0:
                with self.folder.checkpoint(number + 1) as place:
                    self.learner.save(place)

    def _newest(self, mode: str | None, seed: int) -> Policy:
        """The policy of the learner's newest weights, told how to act; None: as it was saved."""
        from robo_reward.build import load_policy

        policy: Any = load_policy(self.learner.listen())
        if mode is not None:
            policy.practise(seed, mode)
        learned: Policy = policy
        return learned

    def _once(self, name: str, mode: str | None) -> list[bool]:
        """Evaluation episodes, nobody takes over; read where a resumed run has them. The same places each time.

        The twin says what succeeded; of a real arm, a person does.
        """
        from robo_reward.arm_run import asked

        file = self.folder.path / f"{name}.json"
        if not file.exists():
            found = []
            for number in range(int(self.cfg.episodes)):
                policy = self._newest(mode, derive_seed(self.cfg.seed, name, number))
                seed = derive_seed(self.cfg.seed, "arm evaluation", number)
                outcome = self._play("evaluation", number, policy, seed, name)
                found.append(outcome.success if self.practice.twin is not None else asked(number))
            atomic.write_json(file, found)
        held: list[bool] = [bool(value) for value in json.loads(file.read_text()) if value is not None]
        return held

    def _play(self, role: str, number: int, policy: Any, seed: int, how: str = "") -> Any:
        outcome = self.practice.play(role, number, policy, seed)
        line = {"role": role, "how": how, **outcome.line()}
        episode = outcome.episode
        if episode is not None:
            line |= {"interventions": episode.interventions, "steps_by_hand": int(episode.by_hand.sum())}
        with open(self.folder.path / "episodes.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=str) + "\n")
        self._tell(role, number, how, line)
        self.practice.deployment.raise_if_stopped(outcome)
        return outcome

    def _tell(self, role: str, number: int, how: str, line: dict[str, Any]) -> None:
        taken = line.get("interventions", 0)
        print(
            f"{role} {number} {how}: {line['reason']}" + (f", {taken} interventions" if role == "practice" else ""),
            flush=True,
        )
        if role == "practice":
            told, self.learner.metrics = self.learner.metrics, {}
            by_hand = {"practice/interventions": float(taken), "practice/steps_by_hand": float(line["steps_by_hand"])}
            timing = {f"timing/{key}": float(value) for key, value in told.items()}
            self.folder.log(number, {**by_hand, **timing})

    def _keep(self, folder: str, number: int, episode: ArmEpisode) -> None:
        (self.folder.path / folder).mkdir(exist_ok=True)
        write_episode(episode_path(self.folder.path, folder, number), episode)

    # --- the end -----------------------------------------------------------------------------------------------------

    def _end(self, before: list[bool], after: list[bool], found: dict[str, list[bool]]) -> None:
        """Dataset and summary; what only a resume needs is deleted."""
        from robo_reward.arm_summary import summarise
        from robo_reward.data.dataset_writer import write_dataset

        path = self.folder.path
        episodes = [read_episode(place) for place in stored(path, PRACTICE)]
        traces = [replace(episode.trace, success=None) for episode in episodes]
        if traces and not (path / "episodes").exists():
            write_dataset(traces, path / "episodes", robot_type=self.practice.deployment.robot.name)
        summarise(self.folder, self.cfg, episodes, before, after, found)
        for part in (PRACTICE, WEIGHTS):
            shutil.rmtree(path / part, ignore_errors=True)


def _practice(cfg: DictConfig, folder: Path) -> Any:
    """The arm at which the policy practises, not open yet."""
    from omegaconf import OmegaConf

    from robo_reward.build import build

    robot: Any = OmegaConf.to_container(cfg.robot, resolve=True)
    if "plant" in robot:
        robot["plant"]["task"] = robot["plant"].get("task") or cfg.arm.name
    arm = cfg.arm
    return build(arm.practice)(
        robot=robot,
        black_box=folder / "black_box.jsonl",
        task=arm.task,
        start=dict(arm.start),
        fps=arm.fps,
        seconds=arm.seconds,
        loop=build(arm.loop),
        sight=build(arm.sight),
        teleop=arm.teleop,
        leader=dict(arm.leader),
        operator=build(arm.operator),
        pause=float(arm.pause),
    )
