"""The hand's moves, the order of goals, and where things are put, on the toy scene."""

from typing import Any

import numpy as np
import pytest

from robo_reward.envs.libero_experts import make_expert
from robo_reward.envs.libero_experts.drawer import Drawer
from robo_reward.envs.libero_experts.grasps import Grasps
from robo_reward.envs.libero_experts.hand import DOWN, OPEN, SHUT, Hand, Moves, turned_about_up, up
from robo_reward.envs.libero_experts.plan import in_order
from robo_reward.envs.libero_experts.put_down import INSIDE, Shape, Spot, put_down
from robo_reward.envs.libero_experts.scene import Goal, Scene
from robo_reward.errors import UserError

DRAWER = "desk_cabinet_1_top_region"


def played(sim: Any, moves: Moves) -> tuple[bool, int]:
    """What the moves return, and how many steps they took."""
    for step in range(1000):
        try:
            action = next(moves)
        except StopIteration as end:
            return bool(end.value), step
        sim.move(action)
    raise AssertionError("the moves do not end")


def test_the_hand_goes_there_and_turns(toy: Any) -> None:
    sim = toy()
    hand = Hand(Scene(sim))
    to, turn = np.array([-0.2, 0.1, 0.2]), turned_about_up(0.5)
    arrived, steps = played(sim, hand.go(to, turn, SHUT, near=0.005, lean=False))
    assert arrived
    assert hand.off(to, turn)[0] < 0.005
    assert hand.off(to, turn)[1] < 0.1
    assert 7 <= steps < 30  # 10 cm at 1.5 cm a step


def test_the_hand_gives_up_and_stops_when_told(toy: Any) -> None:
    sim = toy()
    hand = Hand(Scene(sim))
    assert played(sim, hand.go(np.array([5.0, 0, 0]), DOWN, OPEN, steps=7)) == (False, 7)
    start = hand.place[2]
    arrived, _ = played(sim, hand.go(hand.place + up(0.3), DOWN, OPEN, until=lambda: hand.place[2] > start + 0.05))
    assert arrived
    assert 0.05 < hand.place[2] - start < 0.08


def test_far_away_the_hand_leans_back(toy: Any) -> None:
    hand = Hand(Scene(toy()))
    near = hand.leaned(np.array([-0.4, 0.0, 0.1]), DOWN)
    np.testing.assert_allclose(near, DOWN, atol=1e-9)
    far = hand.leaned(np.array([0.3, 0.0, 0.1]), DOWN, reach=0.3)
    assert far[0, 2] == pytest.approx(np.sin(np.radians(40)))  # the fingers point ahead, the wrist stays back
    assert np.linalg.det(far) == pytest.approx(1.0)


def test_goals_come_in_an_order_that_can_work(toy: Any) -> None:
    sim = toy([("close", DRAWER), ("in", "bar_1", DRAWER)])
    sim.put("drawer", -0.15)
    assert [goal.predicate for goal in in_order(Scene(sim))] == ["in", "close"]
    sim.holding.add(("in", "bar_1", DRAWER))
    assert [goal.predicate for goal in in_order(Scene(sim))] == ["close"]


def test_a_shut_drawer_is_opened_first_and_what_stands_before_it_moved(toy: Any) -> None:
    sim = toy([("in", "bar_1", DRAWER)])
    assert [goal.predicate for goal in in_order(Scene(sim))] == ["open", "in"]
    sim.data.qpos[2:5] = [0.3, 0.3, 0.02]  # the drawer comes out over y = 0.17 to 0.6
    sim.settle()
    assert [goal.predicate for goal in in_order(Scene(sim))] == ["aside", "open", "in"]


def test_a_low_thing_goes_upright_through_the_mouth_and_a_high_one_leaning(toy: Any) -> None:
    sim = toy([("in", "bar_1", "shelf_1_region")])
    scene = Scene(sim)
    goal, shape = scene.goals[0], Shape.of(scene, "bar_1")
    spot = put_down(scene, goal, shape)[0]
    assert spot.out is not None
    assert not spot.tilted
    assert spot.place[1] == pytest.approx(-0.42 - INSIDE)
    assert spot.place[2] == pytest.approx(0.105 + 0.02 + 0.03)
    high = Shape(0.0, 0.25, 0.0, (0.03, 0.1))
    spot = put_down(scene, goal, high)[0]
    assert spot.tilted
    assert (spot.turn @ [0, 0, 1.0])[1] > 0.5  # its top leans out, its bottom goes ahead
    np.testing.assert_allclose(np.abs(spot.turn @ [1.0, 0, 0])[0], 0.0, atol=1e-9)  # the thin side faces the shelf


def test_two_things_on_one_region_lie_side_by_side(toy: Any) -> None:
    goals = [("on", "bar_1", "basket_1_region"), ("on", "bar_2", "basket_1_region")]
    scene = Scene(toy(goals))
    shape = Shape(0.02, 0.04, np.pi / 2, (0.04, 0.2))
    first, second = (
        put_down(scene, Goal("on", "bar_1" if i == 0 else "bar_2", "basket_1_region"), shape)[0] for i in (0, 1)
    )
    assert second.place[1] - first.place[1] == pytest.approx(0.04 + 0.012)
    assert second.place[0] == pytest.approx(first.place[0])


def test_into_a_narrow_box_a_thing_goes_along_the_walls_with_its_middle_between_them(toy: Any) -> None:
    scene = Scene(toy([("in", "bar_1", "basket_1_region")]))
    long = Shape(0.0, 0.13, np.radians(20), (0.03, 0.175), off=(0.02, 0.0))  # 18 cm of room each way
    first, second = put_down(scene, scene.goals[0], long)
    for spot, faces in ((first, [1.0, 0.0]), (second, [0.0, 1.0])):  # where its thin side may face
        assert spot.exact
        thin = spot.turn @ [np.cos(long.thin), np.sin(long.thin), 0.0]
        np.testing.assert_allclose(np.abs(thin[:2]), faces, atol=1e-9)
        middle = spot.place + spot.turn @ [0.02, 0.0, 0.0]
        np.testing.assert_allclose(middle[:2], [-0.3, 0.5], atol=1e-9)
        assert spot.place[2] + spot.above > 0.1, "it is brought there above the rim"
        assert spot.place[2] < 0.1, "its bottom is inside when it is let go"
    assert not put_down(scene, scene.goals[0], Shape(0.0, 0.13, 0.3, (0.03, 0.1)))[0].exact, "room enough"


def test_the_wrist_is_not_turned_to_its_end(toy: Any) -> None:
    sim = toy()
    hand = Hand(Scene(sim))
    left, right = turned_about_up(np.radians(80)), turned_about_up(np.radians(-100))  # the same line of fingers
    assert hand.nearest([left, right]) is left
    sim.put("robot0_joint7", -2.0)  # turning left about the vertical turns the hand, which points down, backwards
    assert hand.nearest([left, right]) is right


def test_a_bar_low_under_another_is_taken_by_a_rolled_hand(toy: Any) -> None:
    sim = toy([("open", DRAWER)])
    drawer = Drawer(Scene(sim), Hand(Scene(sim)), Goal("open", DRAWER))
    bar = np.array([0.26, 0.36, 0.095, 0.34, 0.38, 0.105])
    assert drawer._ways(bar)[0][1] == 0, "nothing is in the way"
    low = bar - [0, 0, 0.05, 0, 0, 0.05]  # 5 cm over the floor: a palm that stands upright meets it
    assert drawer._ways(low)[0][1] == 0
    sim.data.qpos[2:9] = [0.3, 0.385, 0.13, 1, 0, 0, 0]  # the bar of the next drawer, 8 cm above
    sim.settle()
    assert abs(drawer._ways(low)[0][1]) == 53


def test_under_something_that_hangs_over_the_hand_comes_from_beside(toy: Any) -> None:
    sim = toy()
    spot = Spot(np.array([0.0, 0.0, 0.02]), 0.0)
    assert not Grasps(Scene(sim), Hand(Scene(sim)), "bar_1").ranked(spot)[0].beside.any()
    sim.data.qpos[2:9] = [-0.3, -0.46, 0.02, 1, 0, 0, 0]
    sim.settle()  # an awning from y = -0.7 to -0.5, 20 cm over the table, is over half of the palm
    grasp = Grasps(Scene(sim), Hand(Scene(sim)), "bar_1").ranked(spot)[0]
    np.testing.assert_allclose(grasp.beside, [0.0, 0.07, 0.04], atol=1e-6)  # out from under it, over the thing


def test_with_nothing_left_to_do_the_expert_waits_with_open_fingers(toy: Any) -> None:
    goal = ("on", "bar_1", "basket_1_region")
    sim = toy([goal], [goal])
    action = make_expert(sim).action(sim)
    assert action.dtype == np.float32
    np.testing.assert_array_equal(action, [0, 0, 0, 0, 0, 0, -1])


def test_the_expert_belongs_to_one_simulation(toy: Any) -> None:
    sim = toy([("on", "bar_1", "basket_1_region")])
    with pytest.raises(ValueError, match="another simulation"):
        make_expert(sim).action(toy())


def test_the_expert_reaches_for_the_thing_and_shuts_its_fingers_there(toy: Any) -> None:
    sim = toy([("on", "bar_1", "basket_1_region")])
    expert = make_expert(sim)
    for _ in range(120):
        action = expert.action()
        if action[6] > 0:
            break
        sim.move(action)
    assert action[6] == SHUT
    assert np.linalg.norm(sim.data.site("gripper0_grip_site").xpos[:2] - sim.data.body("bar_1_main").xpos[:2]) < 0.02


def test_an_unknown_thing_is_named(toy: Any) -> None:
    with pytest.raises(UserError, match="no body 'teapot_1'"):
        Scene(toy()).body("teapot_1")
