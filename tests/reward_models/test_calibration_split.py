"""The success classifier calibrates on whole recordings that it never saw, with all copies of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from robo_reward.contract_tests import moving_square
from robo_reward.fitting.copied_negatives import copies
from robo_reward.fitting.episodes import Episode, stopped_copies
from robo_reward.reward_models.calibration_split import recordings
from robo_reward.reward_models.progress import ProgressModel
from robo_reward.reward_models.success_classifier import SuccessClassifier
from robo_reward.trace import Trace


@pytest.mark.parametrize("views", [["front"], []])
def test_what_calibrates_was_not_fitted_on(views: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of a demonstration lie where it does, whatever their place in the list."""
    shown = [noisy(moving_square(k, 16)) for k in range(6)]
    made = [Episode(trace, "here", k) for k, trace in enumerate(shown)]
    rng = np.random.default_rng(0)
    copied = [c.trace for kind in ("clipped", "rewound", "reversed") for c in copies(made, kind, 7, rng)]
    copied += [c.trace for c in stopped_copies(made, 5, rng)]
    alone = [noisy(moving_square(30 + k, 16, source="random")) for k in range(9)]
    own = [noisy(replace(moving_square(50 + k, 16), source="policy")) for k in range(4)]
    negatives = [copied[k] for k in rng.permutation(len(copied))] + alone
    fitted: list[Trace] = []

    class Reached(Exception): ...

    def caught(self: ProgressModel, *given: object) -> None:
        demonstrations, failures, _, taught = given
        fitted.extend([*demonstrations, *failures, *taught])  # type: ignore[misc]
        raise Reached

    monkeypatch.setattr(ProgressModel, "fit", caught)
    model = SuccessClassifier(views, stride=1, encoder="conv" if views else "state")
    with pytest.raises(Reached):
        model.fit(shown, negatives, 0, own)
    held = [trace for trace in (*shown, *negatives, *own) if trace not in fitted]
    assert [shown.index(trace) for trace in held if trace in shown] == [3]
    assert [len([t for t in held if t in group]) for group in (copied, alone, own)] == [4, 2, 1]
    assert not pictured(held) & pictured(fitted)


def noisy(trace: Trace) -> Trace:
    """No two recordings share a frame."""
    rng = np.random.default_rng(int(trace.state[0, 1] * 1e6) % 2**32)
    frames = trace.frames["front"]
    return replace(trace, frames={"front": frames + rng.integers(0, 9, frames.shape, dtype=np.uint8)})


def pictured(traces: list[Trace]) -> set[bytes]:
    return {frame.tobytes() for trace in traces for frame in trace.frames["front"]}


def test_a_recording_is_known_by_its_frames_whatever_stands_first() -> None:
    whole, other = (noisy(moving_square(k, 8)) for k in (1, 2))
    again = replace(whole, task="something else", source="counterfactual")
    traces = [whole.cut(3), whole.cut(5), other, whole, again, other.cut(0)]
    assert recordings(traces, ["front"]) == [3, 3, 2, 3, 3, 2]
    nothing = replace(other, frames={"front": other.frames["front"][:0]}, frame_steps=other.frame_steps[:0])
    assert recordings([other, nothing], ["front"]) == [0, 1]
