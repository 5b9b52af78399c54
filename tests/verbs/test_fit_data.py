"""What fit is given: splits by video that are kept, copies, cards, the hub, and what nothing can be learned from."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fit_episodes import STEPS, demonstration, episodes, fit
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_reward import cli
from robo_reward.audit_record import read_record
from robo_reward.build import load_reward_model
from robo_reward.data.datasets import read_dataset
from robo_reward.errors import UserError
from robo_reward.fitting.all_copies import choose_counts, make_copies
from robo_reward.fitting.episodes import Episode, check_demonstrations
from robo_reward.fitting.splits import Split, StoredSplit, decided, read_split, split


def test_copies_of_one_video_land_on_one_side() -> None:
    """The same recording in two datasets, and under another instruction, is one video."""
    first, other = demonstration(), demonstration(seed=1)
    pairs = [(first, "a"), (other, "a"), (first, "b"), (replace(other, task="turn back"), "b")]
    listed = [Episode(trace, origin, k) for k, (trace, origin) in enumerate(pairs)]
    for seed in range(8):
        parts = split(listed, 0.5, np.random.default_rng(seed))
        assert sorted(e.number for e in parts.held_out) in ([0, 2], [1, 3])


@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=6), share=st.floats(0, 0.99), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_every_task_is_fitted_and_has_its_share_held_out(counts: list[int], share: float, seed: int) -> None:
    """With one task the draw is what results on file were measured with."""
    one = demonstration()
    of = [task for task, count in enumerate(counts) for _ in range(count)]
    listed = [Episode(replace(one, task=f"task {t}"), "paper", k, f"video {k}") for k, t in enumerate(of)]
    parts = split(listed, share, np.random.default_rng(seed))
    for task, count in enumerate(counts):
        out = [e for e in parts.held_out if of[e.number] == task]
        assert math.floor(share * count) <= len(out) <= min(count - 1, math.ceil(share * count))
    assert len(parts.held_out) <= math.floor(share * len(listed))
    if len(counts) == 1:
        drawn = np.random.default_rng(seed).permutation(len(listed))[: math.floor(share * len(listed))]
        assert {e.number for e in parts.held_out} == set(drawn.tolist())


def test_a_recording_under_two_instructions_is_not_the_last_of_either() -> None:
    one = demonstration()
    listed = [Episode(one, "a", k, f"video {k}") for k in range(4)]
    listed.append(Episode(replace(one, task="turn back"), "b", 0, "video 2"))
    for seed in range(8):
        parts = split(listed, 0.25, np.random.default_rng(seed))
        assert len(parts.held_out) == 1
        assert parts.tasks("fitted") == ["go right", "turn back"]


def test_a_task_without_a_held_out_demonstration_is_named(
    right: Path, left: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"data=[{right},{left}]", "demos=1", "held_out=0.5", "audit=none", "reward_model.encoder=state"]
    assert fit(words, tmp_path / "run") == 0
    assert "no demonstration is held out of 2 of 2 task(s): go right; turn back" in capsys.readouterr().out
    card = (tmp_path / "run" / "reward_model" / "README.md").read_text()
    assert "* turn back (no demonstration held out)" in card


def test_a_stored_split_is_kept(tmp_path: Path) -> None:
    numbered = [Episode(demonstration(), "paper", k, f"video {k}") for k in range(8)]
    first = split(numbered[:4], 0.5, np.random.default_rng(0))
    stored = {"demonstrations": first.as_json(), "negatives": {"fitted": [], "held_out": []}}
    (tmp_path / "split.json").write_text(json.dumps(stored))
    known = read_split(tmp_path)
    for episode in numbered[:4]:
        assert known.sides(episode) == {"held_out" if episode in first.held_out else "fitted"}
    assert not known.sides(numbered[4])
    again = split(numbered, 0.5, np.random.default_rng(5), [known])
    held_out = {e.number for e in again.held_out}
    assert {e.number for e in first.held_out} == held_out & {0, 1, 2, 3}
    assert len(held_out) == 4, "half of the new ones are held out too"
    (tmp_path / "split.json").write_text('{"demonstrations": {"fitted": [{"number": 1}], "held_out": []}}')
    with pytest.raises(UserError, match="no split of videos"):
        read_split(tmp_path)
    with pytest.raises(UserError, match=r"no split\.json"):
        read_split(tmp_path / "elsewhere")


def test_a_recording_is_known_whatever_is_read_of_it(tmp_path: Path) -> None:
    """Two that share states and actions too, and recordings in which nothing moves."""

    def read(seed: int, *views: str, moves: bool = True, origin: str = "data/paper", number: int = 0) -> Episode:
        one = demonstration(seed=seed)
        still: dict[str, Any] = {} if moves else {"state": one.state * 0, "action": one.action * 0}
        shown = {view: one.frames[view] for view in views}
        return Episode(replace(one, frames=shown, **still), origin, number)

    def stored(fitted: Episode, held_out: Episode, **changes: Any) -> StoredSplit:
        parts = {"demonstrations": Split([fitted], [held_out]).as_json(), "negatives": Split([], []).as_json()}
        for rows in parts["demonstrations"].values():
            rows[0] = {key: value for key, value in (rows[0] | changes).items() if value is not None}
        (tmp_path / "split.json").write_text(json.dumps(parts))
        return read_split(tmp_path)

    for moves in (True, False):
        known = stored(read(0, "front", moves=moves), read(1, "front", moves=moves, number=1))
        for views in ((), ("top",), ("front", "top"), ("front",)):
            for number, side in enumerate(("fitted", "held_out")):
                again = read(number, *views, moves=moves, origin="/elsewhere/paper", number=number)
                assert known.sides(again) == {side}, "by name where pictures do not tell"
                if "front" in views:
                    copy = read(number, *views, moves=moves, origin="copies", number=7)
                    assert known.sides(copy) == {side}, "by the pictures of the view that both read"
        assert not known.sides(read(2, "front", "top", moves=moves, origin="others")), "the motion is not all"
        unclear = known.sides(read(0, "top", moves=moves, origin="copies"))
        assert unclear == ({"fitted", "held_out"} if moves else set())
        assert decided(read(0, "top", moves=moves, origin="copies"), [known]) is (True if moves else None)
    before = stored(read(0, "front"), read(1, "front", number=1), motion=None, pictures=None)
    assert before.sides(read(1, "front")) == {"held_out"}
    assert not before.sides(read(1, "front", "top", number=1))


def test_a_split_is_kept_by_a_model_that_reads_something_else(right: Path, tmp_path: Path) -> None:
    quick = [f"data={right}", "audit=none"]
    assert fit([*quick, "reward_model.views=[front]"], tmp_path / "one") == 0
    known = read_split(tmp_path / "one").rows["demonstrations"]
    for k, words in enumerate((["reward_model.views=[front,top]"], ["reward_model.encoder=state"])):
        assert fit([*quick, *words, f"split={tmp_path / 'one'}", "seed=7"], tmp_path / str(k)) == 0
        again = read_split(tmp_path / str(k)).rows["demonstrations"]
        for side in ("fitted", "held_out"):
            assert [row["number"] for row in again[side]] == [row["number"] for row in known[side]]


def test_copies_land_where_their_demonstrations_are() -> None:
    demonstrations = Split(episodes(3), [Episode(demonstration(seed=9), "paper", 9)])
    counts = {"stopped": 3, "clipped": 3, "rewound": 2, "reversed": 2, "perturbed": 2}
    made = make_copies(demonstrations, counts, seed=0)
    assert {e.video for e in made.fitted} <= {e.video for e in demonstrations.fitted}
    assert {e.video for e in made.held_out} == {demonstrations.held_out[0].video}
    assert len(made.fitted) == 12
    assert not [e for e in made.held_out if e.trace.source == "counterfactual"]


@pytest.mark.parametrize(
    ("stepped", "tasks", "reads", "expected"),
    [
        (False, 2, True, {"stopped": 5, "clipped": 4, "rewound": 7, "reversed": 4, "counterfactual": 8}),
        (False, 1, True, {"stopped": 5, "clipped": 4, "rewound": 7, "reversed": 4, "counterfactual": 0}),
        (False, 2, False, {"stopped": 5, "clipped": 4, "rewound": 7, "reversed": 4, "counterfactual": 0}),
        (True, 2, True, {"stopped": 0, "clipped": 0, "rewound": 7, "reversed": 0, "counterfactual": 0}),
    ],
)
def test_how_many_copies_unless_asked(stepped: bool, tasks: int, reads: bool, expected: dict[str, int]) -> None:
    counts = choose_counts({"stopped": 5, "rewound": 7, "clipped": None}, stepped, tasks, reads)
    assert counts == expected | {"perturbed": 0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "  "}, "episode 1 of paper has an empty instruction"),
        ({"state": np.full((STEPS + 1, 2), np.nan, np.float32)}, r"states that are not finite \(frame 0\)"),
        ({"state": np.zeros((STEPS + 1, 3), np.float32)}, "have 3 numbers, those of paper have 2"),
    ],
)
def test_demonstrations_that_nothing_is_learned_from(change: dict[str, Any], message: str) -> None:
    wrong = Episode(replace(demonstration(), **change), "paper", 1)
    with pytest.raises(UserError, match=message):
        check_demonstrations([*episodes(1), wrong])


def test_two_tasks_are_fitted_with_copies_and_carded(
    right: Path, left: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All kinds of copies at once, a stored split used again, the card, and the upload."""
    pushed: list[tuple[str, Any]] = []
    uploaded: list[dict[str, str]] = []

    class Api:
        def create_repo(self, repo_id: str, **settings: Any) -> None:
            pushed.append((repo_id, settings))

        def upload_folder(self, repo_id: str, folder_path: Path, allow_patterns: list[str], **_: Any) -> None:
            names = {p.name for p in Path(folder_path).iterdir() if any(p.match(a) for a in allow_patterns)}
            pushed.append((repo_id, names))
            uploaded.append(
                {n: (Path(folder_path) / n).read_text() for n in ("split.json", "audit.json", "model.yaml")}
            )

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    copies = ["stopped=2", "clipped=2", "rewound=2", "reversed=2", "counterfactual=4", "perturbed=2"]
    words = [f"data=[{right},{left}]", "reward_model.views=[front]", *(f"negatives.{c}" for c in copies)]
    assert fit([*words, "push_to_hub=me/both"], tmp_path / "one") == 0
    assert "pushed to https://huggingface.co/me/both" in capsys.readouterr().out
    assert pushed[0] == ("me/both", {"private": True, "exist_ok": True, "repo_type": "model"})
    stored = json.loads((tmp_path / "one" / "reward_model" / "split.json").read_text())
    assert [r["source"] for r in stored["negatives"]["fitted"]].count("counterfactual") == 6
    assert {"README.md", "model.yaml", "split.json", "audit.json", "reward_model.json"} <= pushed[1][1]
    saved = tmp_path / "one" / "reward_model"
    for name, text in uploaded[0].items():
        assert str(right.parent) not in text, "no folder of this machine"
        assert name == "split.json" or text.split() == (saved / name).read_text().split()
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "split.json").write_text(uploaded[0]["split.json"])
    held_out = [Episode(t, str(right), k) for k, t in enumerate(read_dataset(right, views=["front"]))]
    assert [read_split(tmp_path / "up").sides(e) for e in held_out] == [read_split(saved).sides(e) for e in held_out]
    card = (tmp_path / "one" / "reward_model" / "README.md").read_text()
    for said in ("library_name: robo-reward", "pipeline_tag: robotics", "* go right", "| demonstrations | 6 | 2 |"):
        assert said in card
    assert str(tmp_path / "data") not in card, "no folder of this machine"
    assert fit([*words, f"split={tmp_path / 'one'}", "seed=7"], tmp_path / "two") == 0
    again = json.loads((tmp_path / "two" / "reward_model" / "split.json").read_text())
    for side in ("fitted", "held_out"):
        videos = [{row["video"] for row in told["demonstrations"][side]} for told in (stored, again)]
        assert videos[0] == videos[1]
    for row in [row for rows in stored["demonstrations"].values() for row in rows]:
        row |= {key: row[key] + " of other data" for key in ("video", "motion")}
    (tmp_path / "split.json").write_text(json.dumps(stored))
    assert fit([*words, f"split={tmp_path / 'split.json'}"], tmp_path / "three") == 2
    assert "knows none of these demonstrations" in capsys.readouterr().err
    assert not (tmp_path / "three").exists()


def test_the_hub_is_asked_and_its_refusal_told(right: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["fit", f"data={right}", "push_to_hub=nobody", f"run_dir={tmp_path / 'run'}"]) == 2
    assert "OWNER/NAME" in capsys.readouterr().err
    with pytest.raises(UserError, match="the hub did not give a model of that name"):
        load_reward_model(Path("nobody/nothing-of-this-name"))
    (tmp_path / "model.yaml").write_text("_target_: none")
    assert cli.run(["fit", f"reward_model.path={tmp_path}", "push_to_hub=me/mine"]) == 2
    assert "is saved, but was not pushed to 'me/mine'" in capsys.readouterr().err


def test_a_hub_that_is_down_loses_no_record(
    right: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", fail)
    words = [f"data={right}", "reward_model.encoder=state", "push_to_hub=me/mine"]
    assert fit(words, tmp_path / "run") == 2
    assert "was not pushed to 'me/mine': no network" in capsys.readouterr().err
    record = read_record(tmp_path / "run" / "reward_model")
    assert record is not None
    assert record.current
    audited = {"data": str(right), "verdict": record.verdict, "shown": [{"data": "me/mine"}, 3]}
    (tmp_path / "run" / "reward_model" / "audit.json").write_text(json.dumps(audited))
    seen: list[Any] = []
    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", lambda *_, **__: None)
    read = lambda _, folder_path, **__: seen.append(json.loads((folder_path / "audit.json").read_text()))  # noqa: E731
    monkeypatch.setattr("huggingface_hub.HfApi.upload_folder", read)
    assert cli.run(["fit", f"reward_model.path={tmp_path / 'run'}", "push_to_hub=me/mine"]) == 0
    assert seen == [{**audited, "data": "right"}]


def test_members_of_an_ensemble_read_all_views_of_the_data_unless_they_say_otherwise(
    right: Path, tmp_path: Path
) -> None:
    words = [
        f"data={right}",
        "reward_model=ensemble",
        "~reward_model.models.second",
        "+reward_model@reward_model.models.third=success_classifier",
        "reward_model.models.first.fit.steps=8",
        "reward_model.models.third.fit.steps=8",
        "reward_model.models.third.views=[front]",
    ]
    assert cli.run(["fit", *words, f"run_dir={tmp_path / 'run'}"]) == 0
    model: Any = load_reward_model(tmp_path / "run")
    assert set(model.members["first"].needs.views) == {"front", "top"}
    assert model.members["third"].needs.views == ("front",)


def test_an_ensemble_that_reads_instructions_is_given_counterfactuals(
    right: Path, left: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As many as its members would be given alone, unasked; and what is fitted is not fitted again."""
    first = "reward_model.models.first"
    words = [f"data=[{right},{left}]", "reward_model=ensemble", "reward_model.models.second=null", "audit=none"]
    quick = [f"{first}.encoder=state", f"{first}.fit.steps=4", f"{first}.refit_steps=2"]
    assert cli.run(["fit", *words, *quick, f"run_dir={tmp_path / 'run'}"]) == 0
    stored = json.loads((tmp_path / "run" / "reward_model" / "split.json").read_text())
    assert [r["source"] for r in stored["negatives"]["fitted"]].count("counterfactual") == 8
    assert cli.run(["fit", *words, f"{first}.path={tmp_path / 'run'}", f"run_dir={tmp_path / 'again'}"]) == 2
    assert "came from its path already" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()
