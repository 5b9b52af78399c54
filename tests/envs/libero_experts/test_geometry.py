"""Boxes, cavities and grasps on a scene whose numbers can be reckoned by hand."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from robo_reward.envs.libero_experts.boxes import contains, highest_on_way
from robo_reward.envs.libero_experts.cavity import between_walls, find_cavity, open_middle
from robo_reward.envs.libero_experts.grasp_search import search
from robo_reward.envs.libero_experts.grasps import HABIT, WIDEST, Grasps
from robo_reward.envs.libero_experts.hand import Hand
from robo_reward.envs.libero_experts.put_down import Shape, Spot, _aligned
from robo_reward.envs.libero_experts.scene import Scene

finite = st.floats(-1.0, 1.0)
angles = st.floats(-7.0, 7.0)


@pytest.fixture
def scene(toy: Any) -> Scene:
    return Scene(toy())


def test_bounds_are_those_of_the_thing(scene: Scene) -> None:
    low, high = scene.boxes.bounds(scene.boxes.tree(scene.body("bar_1")))
    np.testing.assert_allclose(low, [-0.1, -0.02, 0.0], atol=1e-9)
    np.testing.assert_allclose(high, [0.1, 0.02, 0.04], atol=1e-9)


def test_a_turned_thing_is_reckoned_turned(toy: Any) -> None:
    sim = toy()
    half = np.sqrt(0.5)
    sim.data.qpos[2:9] = [0, 0, 0.02, half, 0, 0, half]
    sim.settle()
    low, high = Scene(sim).boxes.bounds({sim.model.body("bar_1_main").id})
    np.testing.assert_allclose(high - low, [0.04, 0.2, 0.04], atol=1e-6)


def test_inside_knows_margin_floor_and_exceptions(scene: Scene) -> None:
    points = np.array([[0.0, 0.0, 0.02], [0.0, 0.023, 0.02], [0.0, 0.03, 0.02], [0.5, -0.2, -0.01]])
    assert scene.boxes.inside(points, but=()).tolist() == [True, True, False, True]
    bar = scene.boxes.tree(scene.body("bar_1"))
    assert scene.boxes.inside(points, but=bar).tolist() == [False, False, False, True]


@given(st.tuples(finite, finite, finite), st.tuples(angles, angles, angles), st.tuples(finite, finite, finite))
def test_contains_is_the_box_in_its_own_frame(
    point: tuple[float, ...], turn: tuple[float, ...], at: tuple[float, ...]
) -> None:
    axes = Rotation.from_rotvec(turn).as_matrix()
    half = np.array([0.5, 0.3, 0.2])
    local = np.array(point)
    world = axes @ local + np.array(at)
    wanted = bool((np.abs(local) < half).all())
    if np.abs(np.abs(local) - half).min() > 1e-6:
        assert contains(world[None], np.array(at)[None], axes[None], half[None])[0, 0] == wanted


def test_only_what_is_near_the_next_way_counts() -> None:
    boxes = np.array([[0.0, -0.1, 0.0, 0.1, 0.1, 0.3], [0.4, -0.1, 0.0, 0.5, 0.1, 0.9]])
    start, end, aside = np.array([-0.1, 0.0, 0.1]), np.array([1.0, 0.0, 0.1]), np.array([0.0, 0.5, 0.0])
    assert highest_on_way(boxes, start, end, 0.05) == pytest.approx(0.3)
    assert highest_on_way(boxes, start, end, 0.05, ahead=1.0) == pytest.approx(0.9)
    assert highest_on_way(boxes, start + aside, end + aside, 0.05) == -1.0


def test_a_shelf_is_entered_from_its_open_side(scene: Scene) -> None:
    cavity = find_cavity(scene, "shelf_1_region")
    assert cavity is not None
    assert cavity.out.tolist() == [0.0, 1.0, 0.0]
    assert cavity.floor == pytest.approx(0.105)
    assert cavity.roof == pytest.approx(0.295)
    assert cavity.mouth[1] == pytest.approx(-0.42)
    assert cavity.mouth[0] == pytest.approx(-0.015, abs=0.004)  # between walls at -0.15 and 0.12


def test_between_walls_is_the_middle_only_where_two_face(scene: Scene) -> None:
    # in x the walls' inner sides are at -0.15 and 0.12; in y there is one wall, behind
    np.testing.assert_allclose(between_walls(scene, "shelf_1_region"), [-0.015, -0.5, 0.2], atol=0.003)


def test_a_basket_is_open_above(scene: Scene) -> None:
    assert find_cavity(scene, "basket_1_region") is None


def test_the_open_part_of_a_drawer_lies_before_its_cabinet(toy: Any) -> None:
    sim = toy()
    sim.put("drawer", -0.12)
    scene = Scene(sim)
    middle = open_middle(scene, "desk_cabinet_1_top_region", 0.17)
    # the region reaches from 0.29 to 0.47, the cabinet's top begins at 0.4
    np.testing.assert_allclose(middle[:2], [0.3, (0.29 + 0.4) / 2], atol=1e-6)


def test_a_bar_is_gripped_across_its_thin_side(scene: Scene) -> None:
    best = Grasps(scene, Hand(scene), "bar_1").ranked(Spot(np.array([0.0, 0.3, 0.02]), 0.0))[0]
    assert best.yaw == 0
    assert abs(best.turn[1, 0]) == pytest.approx(1.0)  # the fingers open along y
    assert best.width == pytest.approx(0.04, abs=1e-6)
    np.testing.assert_allclose(best.place[:2], 0.0, atol=1e-9)


def test_of_two_free_places_of_a_rim_demonstrations_show_the_same(scene: Scene) -> None:
    one, other = sorted(Grasps(scene, Hand(scene), "bar_1")._rim(0), key=lambda grasp: grasp.cost)
    assert one.place[1] > 0 > other.place[1]
    assert other.cost - one.cost == pytest.approx(HABIT, abs=0.05)  # and the hand leans a little


def test_search_finds_the_walls_of_a_pot_and_no_faces_of_a_block() -> None:
    walls = np.array([[0.1, 0, 0.05], [-0.1, 0, 0.05], [0, 0.1, 0.05], [0, -0.1, 0.05]])
    half = np.array([[0.005, 0.1, 0.05], [0.005, 0.1, 0.05], [0.1, 0.005, 0.05], [0.1, 0.005, 0.05]])
    found = search(walls, np.repeat(np.eye(3)[None], 4, 0), half)
    assert found
    for _, place, _, _, width in found:
        assert width < WIDEST
        assert np.abs(place[:2]).max() == pytest.approx(0.1, abs=0.012)
    block = search(np.zeros((1, 3)), np.eye(3)[None], np.array([[0.1, 0.1, 0.1]]))
    assert all(abs(yaw) not in (0, 90) for *_, yaw, _ in block), "a block's faces are too far apart; corners are not"


def test_shape_tells_thin_from_wide(scene: Scene) -> None:
    shape = Shape.of(scene, "bar_1")
    assert shape.below == pytest.approx(0.02)
    assert shape.height == pytest.approx(0.04)
    assert shape.thin == pytest.approx(np.pi / 2)
    np.testing.assert_allclose(shape.widths, [0.04, 0.2], atol=1e-6)


@given(angles, angles)
def test_aligning_brings_a_line_onto_another_by_the_shorter_way(yaw: float, to: float) -> None:
    turn = _aligned(yaw, to)
    line = turn @ [np.cos(yaw), np.sin(yaw), 0.0]
    assert abs(np.cross(line, [np.cos(to), np.sin(to), 0.0])[2]) < 1e-6
    assert Rotation.from_matrix(turn).magnitude() <= np.pi / 2 + 1e-6
