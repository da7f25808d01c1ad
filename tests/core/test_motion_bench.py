"""The motion that the motion benchmark teaches: a hand that goes once round in the air."""

from benchmarks.motion import Circling, scenes


def test_the_hand_leaves_where_it_rests_and_comes_back():
    scene = next(scenes(0, 1, 96, 64))
    assert isinstance(scene, Circling)
    clip = scene.round(5)
    wrists = clip.joints[:, 0, 0, :2]  # (F, 2)
    way = abs(wrists - wrists[0]).max(axis=1)
    assert way[2] > 0.3 * scene.height and way[4] < 1
    assert len({clip.frames[index].tobytes() for index in range(3)}) == 3
