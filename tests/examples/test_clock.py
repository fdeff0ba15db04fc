"""The clock faces show the time that their labels tell."""

import numpy as np
import pytest

from edgett.examples import clock


def _every_time():
    minutes = np.arange(720, dtype=np.int32)
    return minutes // 60, minutes % 60


def _darkness(images):
    return images.max((1, 2), keepdims=True) - images


def _profile(images, radius):
    """The darkness around circles about the centre, bilinear, at half-degree steps clockwise from twelve: (n, 720)."""
    angle = np.arange(720) * 2 * np.pi / 720
    middle = (clock.SIZE - 1) / 2
    row, column = middle - radius * np.cos(angle), middle + radius * np.sin(angle)
    top, left = np.floor(row).astype(int), np.floor(column).astype(int)
    down, right = row - top, column - left
    dark = _darkness(images)
    upper = dark[:, top, left] * (1 - right) + dark[:, top, left + 1] * right
    lower = dark[:, top + 1, left] * (1 - right) + dark[:, top + 1, left + 1] * right
    return upper * (1 - down) + lower * down


def _direction(profile):
    """The mean direction of what is dark, in turns clockwise from twelve; the power drowns fringes of other strokes."""
    angle = np.arange(720) * 2 * np.pi / 720
    dark = (profile / profile.max(1, keepdims=True)).astype(float) ** 8
    return np.angle(dark @ np.exp(1j * angle)) / (2 * np.pi) % 1


def _turns_apart(found, expected):
    return np.abs((found - expected + 0.5) % 1 - 0.5)


def test_minute_hand_points_at_the_minute():
    hour, minute = _every_time()
    style = clock.plain_style(720)
    found = _direction(_profile(clock.draw(hour, minute, style), 0.63 * style.radius[0]))
    # Between the tip of the hour hand and the ticks there is only the minute hand. A minute is 1/60 of a turn.
    np.testing.assert_array_less(_turns_apart(found, minute / 60), 0.2 / 60)
    np.testing.assert_array_equal(np.rint(found * 60) % 60, minute)


def test_hour_hand_moves_on_with_the_minute():
    hour, minute = _every_time()
    style = clock.plain_style(720)
    clear = _turns_apart((hour * 60 + minute) / 720, minute / 60) > 0.2
    profile = _profile(clock.draw(hour, minute, style), 0.4 * style.radius[0])
    # Hide the minute hand, whose place the test above has shown to be right.
    around = np.arange(720)[None, :] / 720
    profile = np.where(_turns_apart(around, (minute / 60)[:, None]) < 0.1, 0, profile)
    expected = (hour * 60 + minute) / 720
    np.testing.assert_array_less(_turns_apart(_direction(profile[clear]), expected[clear]), 0.1 / 12)


def test_a_block_of_faces_is_what_they_are_one_by_one():
    hour, minute = _every_time()
    style = clock.random_style(720, np.random.default_rng(3))
    together = clock.draw(hour[:9], minute[:9], style[:9])
    alone = [clock.draw(hour[i : i + 1], minute[i : i + 1], style[i : i + 1])[0] for i in range(9)]
    np.testing.assert_array_equal(together, np.stack(alone))


@pytest.mark.parametrize("count", [0, 1, 256, 300])
def test_faces_are_the_same_for_the_same_seed(count):
    images, hour, minute = clock.clock_faces(count, 7)
    again = clock.clock_faces(count, 7)
    assert images.shape == (count, clock.SIZE, clock.SIZE)
    assert images.dtype == np.uint8
    for one, other in zip((images, hour, minute), again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_seed_draws_other_faces():
    images, _, minute = clock.clock_faces(50, 7)
    others, _, other_minutes = clock.clock_faces(50, 8)
    assert not np.array_equal(minute, other_minutes)
    assert not np.array_equal(images, others)


def test_faces_show_their_labels_despite_style_and_noise():
    images, _, minute = clock.clock_faces(300, 1)
    found = _direction(_profile(images.astype(np.float32), 0.63 * 0.445 * clock.SIZE))
    # The centre moves by up to 0.4 pixels in x and y, and a minute is a pixel at this radius.
    np.testing.assert_array_less(_turns_apart(found, minute / 60), 0.8 / 60)


def test_labels_are_spread_over_every_hour_and_minute():
    _, hour, minute = clock.clock_faces(3000, 0)
    np.testing.assert_array_equal(np.unique(hour), np.arange(12))
    np.testing.assert_array_equal(np.unique(minute), np.arange(60))


def test_a_change_of_light_leaves_ink_where_it_was():
    hour, minute = _every_time()
    plain = clock.plain_style(720)[:1]
    image = clock.draw(hour[100:101], minute[100:101], plain)
    assert image.min() == pytest.approx(plain.ink[0])
    assert image.max() == pytest.approx(plain.paper[0])


def test_splits_have_no_face_in_common():
    arrays = clock.clock_arrays(0)
    assert set(arrays) == {f"{key}_{part}{name}" for part in ("train", "val", "test")
                           for key, name in (("x", ""), ("y", ".hour"), ("y", ".minute"))}  # fmt: skip
    images = np.concatenate([arrays[f"x_{part}"] for part in ("train", "val", "test")])
    assert len(images) == clock.TRAIN + clock.VALIDATION + clock.TEST
    assert len({image.tobytes() for image in images}) == len(images)
