"""Rows without a label, as scenes have no waypoint, take nothing from the weight of those that have one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from one_camera import one_camera

from robo_reward.policies.nano_vla.locator import PLACES, WAYPOINT
from robo_reward.policies.nano_vla.modeling_nano_vla import NanoVlaPolicy

POINTS = "observation.points.top"
WEIGHTS = {"waypoint_weight": 1.0, "places_weight": 3.0, "heat_weight": 0.5}
LABELS = (WAYPOINT, PLACES, POINTS)


def policy() -> NanoVlaPolicy:
    torch.manual_seed(0)
    return NanoVlaPolicy(one_camera(2, 1, places_size=3, **WEIGHTS)).eval()


def rows(count: int) -> dict[str, Any]:
    """What the processors make of so many samples, all with every label."""
    drawn = torch.Generator().manual_seed(1)
    return {
        "observation.images.top": torch.rand(count, 3, 16, 16, generator=drawn),
        "observation.state": torch.randn(count, 2, generator=drawn),
        "observation.language.tokens": torch.randint(1, 99, (count, 8), generator=drawn),
        "action": torch.randn(count, 2, 1, generator=drawn),
        "action_is_pad": torch.zeros(count, 2, dtype=torch.bool),
        WAYPOINT: torch.randn(count, 2, generator=drawn),
        PLACES: torch.randn(count, 3, generator=drawn),
        POINTS: torch.rand(count, 1, 2, generator=drawn),
    }


def first(count: int) -> dict[str, Any]:
    """The first rows alone."""
    return {key: part[:count] for key, part in rows(16).items()}


def told_of_first(count: int) -> dict[str, Any]:
    """All rows, of which the others say nothing."""
    batch = rows(16)
    batch["action_is_pad"][count:] = True
    for key in LABELS:
        batch[key][count:] = torch.nan
    return batch


def gradients(made: NanoVlaPolicy, batch: dict[str, Any]) -> list[torch.Tensor]:
    made.zero_grad()
    made(batch)[0].backward()
    return [torch.zeros_like(w) if w.grad is None else w.grad.clone() for w in made.parameters()]


def test_rows_without_labels_change_nothing() -> None:
    made = policy()
    alone, beside = first(7), told_of_first(7)
    (loss, said), (same, also) = made(alone), made(beside)
    torch.testing.assert_close(same, loss)
    assert set(said) == {"regression_loss", "waypoint_deviations", "places_metres", "heat_nats"}
    assert also == pytest.approx(said)
    torch.testing.assert_close(gradients(made, beside), gradients(made, alone))


@pytest.mark.parametrize("missing", LABELS)
def test_each_label_counts_for_itself(missing: str) -> None:
    made, whole, part = policy(), rows(16), rows(16)
    part[missing][4:] = torch.nan
    name = {WAYPOINT: "waypoint", PLACES: "places", POINTS: "heat"}[missing]
    setattr(made.config, f"{name}_weight", 0.0)
    without = made(whole)[0]
    setattr(made.config, f"{name}_weight", 1.0)
    alone = made(first(4))[0]
    setattr(made.config, f"{name}_weight", 0.0)
    alone = alone - made(first(4))[0]
    setattr(made.config, f"{name}_weight", 1.0)
    torch.testing.assert_close(made(part)[0] - without, alone)


def test_where_all_are_labelled_the_loss_is_the_plain_mean_to_the_last_bit() -> None:
    made, batch = policy(), rows(16)
    batch[POINTS][3:9] += 2.0  # outside the picture: that is a label too
    looked = made._look(batch)
    assert made.locator is not None
    assert made.pointing is not None
    assert looked.located is not None
    off = made.locator.losses(looked.located, batch, False) | made.pointing.losses(looked.seen, looked.moved, batch)
    plain = torch.stack([WEIGHTS[f"{name}_weight"] * part.loss for name, part in off.items()]).sum(0)
    error = made.head.loss(looked.embedding.float(), batch["action"]).mean()
    assert made(batch)[0].item() == (error + plain.mean()).item()


def test_the_mean_of_the_rows_is_the_loss() -> None:
    """Where every row has as many actions that count."""
    made, batch = policy(), rows(16)
    batch[WAYPOINT][5:] = torch.nan
    each, _ = made(batch, reduction="none")
    torch.testing.assert_close(each.mean(), made(batch)[0])
