"""Philox: published answers, the compiled code against NumPy, and draws that know nothing of their batch."""

from __future__ import annotations

import numpy as np
import pytest

from augdrop import rng

STREAM = rng.stream_key(7, "Test")
KEYS = np.array([0, 1, -1, 2**63 - 1, -(2**63), 12345, -98765, 2**40], np.int64)
EPOCHS = np.array([0, 5, -1, 2**31, -(2**31), 3, 2**32 - 1, 2**32], np.int64)


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_known_answers_of_random123(counter, key, answer):
    assert rng.philox_reference(np.array(counter, np.uint32), np.array(key, np.uint32)).tolist() == list(answer)
    # The compiled counter is (sample key, epoch, block), and the compiled key the stream.
    sample = np.array([counter[0] | counter[1] << 32], np.uint64).view(np.int64)
    stream = np.uint64(key[0] | key[1] << 32)
    words = rng.words(stream, sample, np.array([counter[2]], np.int64), counter[3], 1)
    assert words.tolist() == [[answer[0] | answer[1] << 32]]


@pytest.mark.parametrize("n", [1, 2, 5, 8])
@pytest.mark.parametrize("first", [0, 2, 1000])
def test_uniforms_equal_numpy_bit_for_bit(first, n):
    compiled = rng.uniforms(STREAM, KEYS, EPOCHS, first, n)
    assert compiled.tobytes() == rng.uniforms_reference(STREAM, KEYS, EPOCHS, first, n).tobytes()


def test_the_header_is_blocks_0_and_1():
    draws, u = rng.Draws(STREAM, KEYS, EPOCHS), rng.uniforms_reference(STREAM, KEYS, EPOCHS, 0, 2)
    for chances in (np.array([0.0]), np.array([0.4]), np.array([1.0]), np.linspace(0, 1, len(KEYS))):
        hit, noise = draws.header(chances)
        assert hit.tolist() == (u[:, 0] < chances).tolist()
        assert noise.view(np.uint64).tolist() == rng.words(STREAM, KEYS, EPOCHS, 1, 1)[:, 0].tolist()
    assert draws.order().tobytes() == u[:, 1].tobytes()


def test_a_sample_draws_the_same_in_any_batch():
    together = rng.uniforms(STREAM, KEYS, EPOCHS, 2, 6)
    order = np.array([5, 0, 7, 2, 2])
    assert np.array_equal(rng.uniforms(STREAM, KEYS[order], EPOCHS[order], 2, 6), together[order])
    for i in range(len(KEYS)):
        assert np.array_equal(rng.uniforms(STREAM, KEYS[i : i + 1], EPOCHS[i : i + 1], 2, 6)[0], together[i])


def test_more_draws_extend_fewer():
    many = rng.uniforms(STREAM, KEYS, EPOCHS, 2, 12)
    assert np.array_equal(rng.uniforms(STREAM, KEYS, EPOCHS, 2, 5), many[:, :5])
    assert np.array_equal(rng.uniforms(STREAM, KEYS, EPOCHS, 4, 8), many[:, 4:])


def test_seed_name_key_and_epoch_all_matter():
    zero, one = np.zeros(1, np.int64), np.ones(1, np.int64)
    draws = [
        rng.uniforms(rng.stream_key(seed, name), key, epoch, 2, 1)[0, 0]
        for seed in (0, 1, -1, 2**64 - 2)
        for name in ("Cutout", "0/Cutout")
        for key in (zero, one, -one)
        for epoch in (zero, one)
    ]
    assert len(set(draws)) == len(draws)
    assert rng.stream_key(-1, "Cutout") == rng.stream_key(2**64 - 1, "Cutout")


def test_uniforms_are_uniform():
    n = 200_000
    u = rng.uniforms(STREAM, np.arange(n), np.zeros(n, np.int64), 2, 2)
    assert u.min() >= 0
    assert u.max() < 1
    # The mean of n uniforms has a standard deviation of sqrt(1 / 12 n); five of them.
    assert np.all(np.abs(u.mean(0) - 0.5) < 5 * np.sqrt(1 / 12 / n))
    counts = np.histogram(u, 64, (0, 1))[0]
    # Chi-square with 63 degrees of freedom: 130 has a chance of 1e-6.
    assert ((counts - 2 * n / 64) ** 2 / (2 * n / 64)).sum() < 130
    assert abs(np.corrcoef(u[:, 0], u[:, 1])[0, 1]) < 5 / np.sqrt(n)


def test_draws_have_a_length():
    assert len(rng.Draws(STREAM, KEYS, EPOCHS)) == len(KEYS)
