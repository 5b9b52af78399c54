"""Learning on an arm: demonstrations, then practice with a person at hand, while a learner works beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_reward.arm.direction import BACK, Direction
from robo_reward.arm.episode import DEMONSTRATIONS, PRACTICE, read_episode
from robo_reward.errors import UserError
from robo_reward.runs import atomic
from robo_reward.seeding import derive_seed

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from robo_reward.runs.folder import RunFolder

LEAST = {"seed": 0, "threads": 1, "demos": 1, "rollouts": 1, "episodes": 0, "arm.behind": 0, "arm.checkpoint_every": 1}
DROPPED = 3
"""So many demonstrations in a row may fail."""


def train_on_arm(cfg: DictConfig) -> None:
    """Demonstrations, evaluation, practice, evaluation; every episode is kept as ``deploy`` keeps them.

    Raises:
        UserError: refused before the arm had torque (exit code 2).
        SafetyStop: the arm was stopped (exit code 3); resume=true goes on.
    """
    from robo_reward.bounds import check_bounds
    from robo_reward.runs.folder import RunFolder, is_finished
    from robo_reward.runs.same_config import check_same

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
    """One run. ``practice`` is the arm, each of ``ways`` has a learner beside it; the twin's verdicts reach neither.

    With ``arm.back`` there are two ways and no resets (RoboFuME, Yang et al. 2023, arXiv 2310.15145): an episode that
    does the task and one that undoes it, each with its own demonstrations, reward and learner, take turns.
    """

    def __init__(self, cfg: DictConfig, folder: RunFolder) -> None:
        from robo_reward.build import build

        self.cfg, self.folder = cfg, folder
        self.ways = _directions(cfg, folder)
        self.first = self.facing = self.ways[0]
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
                for way in self.ways:
                    way.learner.close()
                build(self.cfg.arm.ending)(self.practice.deployment.robot)

    def _learn(self) -> None:
        self._prepare()
        for way in self.ways:
            if not way.missing:  # learned from before the arm is powered
                way.learner.start()
        self.practice.open()
        for way in self.ways:
            if way.missing:
                self._demonstrations(way)
                self.folder.log(0, {"practice/demonstrations": float(way.shown)})  # from now on the run is kept
                way.learner.start()
        before = self._once("before", "prior")
        self._practise()
        for number, way in enumerate(self.ways):
            way.learner.catch_up(len(range(number, int(self.cfg.rollouts), len(self.ways))), 0)
            way.finish(self.practice.interface)
        kept = getattr(self.first.newest(None, 0), "mode", "average")
        found = {"prior": self._once("imitation", "prior")}
        if self.schedule.corrects:
            found["average"] = self._once("corrected", "average")
        self._end(before, found[kept], found)

    # --- demonstrations ----------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """What can be refused before the arm has torque."""
        interface = self.practice.interface
        for way in self.ways:
            if way.data is None and not self.practice.demonstrates:
                where = "arm.back.data=FOLDER" if way.back else "data=FOLDER"
                raise UserError(
                    "an arm learns from demonstrations: robo-reward collect robot=... teleop=so101_leader demos=10, "
                    f"then {where} here"
                )
            self._turn(way)
            way.read(interface.joints, interface.views, self.cfg.demos)

    def _turn(self, way: Direction) -> None:
        """What is done from now on; nothing to say to the arm where there is one direction only."""
        self.facing = way
        if len(self.ways) > 1:
            self.practice.turn(way.task, way.back)

    def _demonstrations(self, way: Direction) -> None:
        """A simulated operator shows what is still missing; what did not succeed in its eyes is dropped."""
        self._turn(way)
        tried, named = 0, "demonstration back" if way.back else "demonstration"
        while way.missing:
            kept = way.shown
            outcome = self._play("demonstration", kept, None, derive_seed(self.cfg.seed, named, kept, tried))
            shown = outcome.episode
            if shown is None or shown.trace.success is None or not shown.trace.success.any():
                tried += 1
                if tried >= DROPPED:
                    raise UserError(f"{DROPPED} demonstrations in a row did not succeed ({outcome.reason})")
                continue
            trace = replace(shown.trace, source="demonstration")
            way.keep(DEMONSTRATIONS, kept, replace(shown, trace=trace, kind="demonstration"))
            tried = 0

    # --- practice ----------------------------------------------------------------------------------------------------

    def _practise(self) -> None:
        """The loop: an episode by the newest weights, handed over, and the next one, back and forth if it is without
        resets.
        """
        cfg, ways = self.cfg, len(self.ways)
        done = sum(len(way.practised) for way in self.ways)
        for turn in range(done, int(cfg.rollouts)):
            way, number = self.ways[turn % ways], turn // ways
            way.learner.catch_up(number, int(cfg.arm.behind))
            mode = self.schedule.mode(number)
            policy = way.newest(mode, derive_seed(cfg.seed, "explore", turn))
            self._turn(way)
            fresh = ways == 1 or turn == done
            outcome = self._play("practice", number, policy, derive_seed(cfg.seed, "practice", turn), mode, way, fresh)
            if outcome.episode is not None:
                way.keep(PRACTICE, number, outcome.episode)
                way.learner.tell(number)
            if (turn + 1) % cfg.arm.checkpoint_every == 0:
                with self.folder.checkpoint(turn + 1) as place:
                    for each in self.ways:
                        each.checkpoint(place)

    def _once(self, name: str, mode: str | None) -> list[bool]:
        """Evaluation episodes, nobody takes over; read where a resumed run has them. The same places each time.

        The twin says what succeeded; of a real arm, a person does.
        """
        from robo_reward.arm.policy_run import asked

        file = self.folder.path / f"{name}.json"
        if not file.exists():
            self._turn(self.first)
            found = []
            for number in range(int(self.cfg.episodes)):
                policy = self.first.newest(mode, derive_seed(self.cfg.seed, name, number))
                seed = derive_seed(self.cfg.seed, "arm evaluation", number)
                outcome = self._play("evaluation", number, policy, seed, name)
                found.append(outcome.success if self.practice.twin is not None else asked(number))
            atomic.write_json(file, found)
        held: list[bool] = [bool(value) for value in json.loads(file.read_text()) if value is not None]
        return held

    def _play(
        self,
        role: str,
        number: int,
        policy: Any,
        seed: int,
        how: str = "",
        way: Direction | None = None,
        fresh: bool = True,
    ) -> Any:
        """``fresh``: an emulated arm's things are put somewhere first."""
        put_back = self.practice.put_back
        outcome = self.practice.play(role, number, policy, seed, fresh)
        back = self.facing.back
        line = {"role": role, "how": how, "back": back, **outcome.line()}
        line["put_back"] = self.practice.put_back > put_back
        episode = outcome.episode
        if episode is not None:
            line |= {"interventions": episode.interventions, "steps_by_hand": int(episode.by_hand.sum())}
        with open(self.folder.path / "episodes.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=str) + "\n")
        self._tell(role, number, f"{how} back" if back else how, line, way)
        self.practice.deployment.raise_if_stopped(outcome)
        return outcome

    def _tell(self, role: str, number: int, how: str, line: dict[str, Any], way: Direction | None) -> None:
        taken = line.get("interventions", 0)
        print(
            f"{role} {number} {how}: {line['reason']}" + (f", {taken} interventions" if role == "practice" else ""),
            flush=True,
        )
        if way is not None:
            told, way.learner.metrics = way.learner.metrics, {}
            led = {"interventions": float(taken), "steps_by_hand": float(line.get("steps_by_hand", 0))}
            group, timing = ("back", "timing/back") if way.back else ("practice", "timing")
            counted = {f"{group}/{key}": value for key, value in led.items()}
            self.folder.log(number, {**counted, **{f"{timing}/{key}": float(value) for key, value in told.items()}})

    # --- the end -----------------------------------------------------------------------------------------------------

    def _end(self, before: list[bool], after: list[bool], found: dict[str, list[bool]]) -> None:
        """Dataset and summary; what only a resume needs is deleted."""
        from robo_reward.arm.summary import summarise
        from robo_reward.data.dataset_writer import write_dataset

        path = self.folder.path
        episodes = [read_episode(place) for way in self.ways for place in way.practised]
        traces = [replace(episode.trace, success=None) for episode in episodes]
        if traces and not (path / "episodes").exists():
            robot, joints = self.practice.deployment.robot.name, self.practice.interface.joints
            write_dataset(traces, path / "episodes", robot_type=robot, joints=joints)
        summarise(self.folder, self.cfg, episodes, before, after, found)
        if len(self.ways) > 1:
            lines = (path / "episodes.jsonl").read_text("utf-8").splitlines()  # those before an interruption, too
            self.folder.summary.notes["put_back"] = sum(json.loads(line)["put_back"] for line in lines)
        for way in self.ways:
            way.clear()


def _directions(cfg: DictConfig, folder: RunFolder) -> list[Direction]:
    """One, or with ``arm.back`` two: practice without resets. Raises UserError."""
    checkpoint, back = folder.latest_checkpoint(), cfg.arm.get("back")
    there = Direction(folder.path, checkpoint, cfg, cfg.arm.task, cfg.data)
    if back is None:
        return [there]
    if not back.get("task"):
        raise UserError("arm.back needs the words of what brings things back: 'arm.back={task: push the cube back}'")
    return [there, Direction(folder.path / BACK, checkpoint, cfg, back.task, back.get("data"), back=True)]


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
