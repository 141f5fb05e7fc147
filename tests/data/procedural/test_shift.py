import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ditta_jax.data.procedural.shift import NEUTRAL, Shift, apply_shift, draw_shift


def test_neutral_returns_the_frame_itself():
    frame = np.zeros((2, 3, 3), np.uint8)
    assert (
        apply_shift(frame, np.ones((2, 3), np.float32), NEUTRAL, np.random.default_rng()) is frame
    )


def test_severity_zero_draws_nothing_but_a_fog_colour():
    drawn = draw_shift(np.random.default_rng(1), 0.0)
    assert drawn._replace(fog_colour=NEUTRAL.fog_colour) == NEUTRAL


@given(st.integers(0, 10_000), st.floats(0, 2))
def test_drawn_conditions_are_usable(seed, severity):
    drawn = draw_shift(np.random.default_rng(seed), severity)
    assert drawn.gamma > 0 and drawn.gain > 0 and drawn.saturation >= 0
    assert min(drawn.fog, drawn.noise, drawn.blur) >= 0 and min(drawn.cast) > 0


def test_fog_grows_with_depth():
    frame = np.full((1, 4, 3), 50, np.uint8)
    depth = np.array([[1, 20, 60, 1e4]], np.float32)
    foggy = NEUTRAL._replace(fog=0.03, fog_colour=(200.0, 210.0, 220.0))
    seen = apply_shift(frame, depth, foggy, np.random.default_rng(0))
    share = 1 - np.exp(-0.03 * depth[0].astype(np.float64))
    expected = 50 + share[:, None] * (np.array([200, 210, 220]) - 50)
    assert np.abs(seen[0] - expected).max() <= 0.51


def test_tone_curve_and_cast_against_the_formula():
    frame = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, -1)
    conditions = Shift(1.7, 0.8, 0.0, (0, 0, 0), (1.1, 1.0, 0.9), 1.0, 0.0, 0.0)
    seen = apply_shift(frame, np.ones((16, 16), np.float32), conditions, np.random.default_rng(0))
    linear = np.clip(frame / 255 * 0.8 * np.array([1.1, 1.0, 0.9]), 0, 1)
    assert np.abs(seen - 255 * linear**1.7).max() <= 0.51


def test_noise_has_its_standard_deviation_and_follows_the_generator():
    frame = np.full((200, 200, 3), 128, np.uint8)
    depth = np.ones((200, 200), np.float32)
    noisy = NEUTRAL._replace(noise=6.0)
    a, b = (apply_shift(frame, depth, noisy, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert abs(a.astype(float).std() - 6) < 0.1
