"""Rows, batches, weighted draws and moments, over wide ranges of input."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skrobust._validation import as_rows
from skrobust.data import BatchIterator, Moments, Rows, systematic_sample

SEEDS = st.integers(0, 2**31 - 1)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rows_of(n):
    """Return rows whose one feature is their index."""
    return Rows(torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n))


def test_rows_with_weights_hand_them_over_with_the_labels():
    rows = Rows(torch.zeros(3, 2), torch.tensor([0, 1, 0]), torch.tensor([0.5, 1.0, 1.5]))
    X, (y, weight) = rows[torch.tensor([2, 1])]
    assert X.shape == (2, 2)
    assert y.tolist() == [0, 1]
    assert weight.tolist() == [1.5, 1.0]


@given(n=st.integers(1, 300), batch_size=st.integers(1, 100), shuffle=st.booleans(), seed=SEEDS)
def test_batches_hold_every_row_once_and_differ_by_at_most_one_row(n, batch_size, shuffle, seed):
    iterator = BatchIterator(rows_of(n), batch_size, shuffle=shuffle, generator=generator(seed))
    batches = [y for _, y in iterator]
    sizes = [len(batch) for batch in batches]
    assert len(batches) == len(iterator) == -(-n // batch_size)
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    assert torch.cat(batches).sort().values.tolist() == list(range(n))


@given(n=st.integers(1, 100), batch_size=st.integers(1, 100))
def test_drop_last_leaves_full_batches(n, batch_size):
    batches = [y for _, y in BatchIterator(rows_of(n), batch_size, drop_last=True)]
    expected = [batch_size] * (n // batch_size) or [n]
    assert [len(batch) for batch in batches] == expected


def test_shuffling_changes_the_order_in_every_epoch_and_repeats_with_the_seed():
    iterator = BatchIterator(rows_of(50), 10, shuffle=True, generator=generator(3))
    first, second = (torch.cat([y for _, y in iterator]).tolist() for _ in range(2))
    again = BatchIterator(rows_of(50), 10, shuffle=True, generator=generator(3))
    assert first != second
    assert first == torch.cat([y for _, y in again]).tolist()


def test_without_shuffling_the_order_is_that_of_the_rows():
    assert torch.cat([y for _, y in BatchIterator(rows_of(25), 10)]).tolist() == list(range(25))


def test_a_single_batch_keeps_its_order_and_draws_nothing():
    source = generator(0)
    before = source.get_state()
    ((_, y),) = BatchIterator(rows_of(10), 10, shuffle=True, generator=source)
    assert y.tolist() == list(range(10))
    assert torch.equal(source.get_state(), before)


WEIGHTS = st.lists(st.integers(0, 9), min_size=1, max_size=40).filter(any)


@given(weights=WEIGHTS, n=st.integers(1, 100), seed=SEEDS)
def test_counts_of_a_systematic_sample_are_within_one_of_their_expectation(weights, n, seed):
    weight = torch.tensor(weights, dtype=torch.float64)
    position = torch.randn(len(weights), generator=generator(seed))
    index = systematic_sample(position, weight, n, generator(seed))
    counts = torch.bincount(index, minlength=len(weights))
    assert len(index) == n
    assert (counts - n * weight / weight.sum()).abs().max() < 1 + 1e-9
    assert counts[weight == 0].sum() == 0


@given(weights=WEIGHTS, n=st.integers(1, 60), seed=SEEDS)
def test_a_systematic_sample_depends_on_neither_order_nor_repetition(weights, n, seed):
    weight = torch.tensor(weights, dtype=torch.float64)
    position = torch.randn(len(weights), generator=generator(seed))
    drawn = position[systematic_sample(position, weight, n, generator(seed))]

    order = torch.randperm(len(weights), generator=generator(seed + 1))
    shuffled = systematic_sample(position[order], weight[order], n, generator(seed))
    assert torch.equal(position[order][shuffled], drawn)

    repeated = position.repeat_interleave(torch.tensor(weights))
    one_each = systematic_sample(repeated, torch.ones(len(repeated)), n, generator(seed))
    assert torch.equal(repeated[one_each], drawn)


@given(
    scale=st.floats(1e-3, 1e4),
    shift=st.floats(-1e4, 1e4),
    cuts=st.lists(st.integers(1, 59), max_size=4, unique=True),
    weighted=st.booleans(),
    seed=SEEDS,
)
def test_merged_moments_are_those_of_the_whole(scale, shift, cuts, weighted, seed):
    rng = np.random.default_rng(seed)
    X = shift + scale * rng.normal(size=(60, 3))
    weight = rng.uniform(0.1, 3, 60) if weighted else np.ones(60)
    first, *rest = (
        Moments.of(X[part], weight[part] if weighted else None) for part in np.split(np.arange(60), sorted(cuts))
    )
    merged = first
    for part in rest:
        merged = merged.merged(part)

    mean = np.average(X, axis=0, weights=weight)
    variance = np.average((X - mean) ** 2, axis=0, weights=weight)
    np.testing.assert_allclose(merged.mean, mean, rtol=1e-10, atol=1e-10 * scale)
    np.testing.assert_allclose(merged.std, np.sqrt(variance), rtol=1e-7)
    np.testing.assert_allclose(merged.data_scale, np.sqrt(2 * variance.sum()), rtol=1e-7)
    np.testing.assert_array_equal([merged.low, merged.high], [X.min(axis=0), X.max(axis=0)])
    assert merged.weight == pytest.approx(weight.sum())


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_moments_in_chunks_are_those_in_one_piece(rng, dtype):
    X = (100 * rng.normal(size=(50, 3))).astype(dtype)
    small, large = Moments.of(X, chunk_size=7), Moments.of(X, chunk_size=1000)
    np.testing.assert_allclose(small.mean, large.mean)
    np.testing.assert_allclose(small.std, large.std)
    assert small.mean.dtype == np.float64


def test_the_data_scale_is_the_root_mean_squared_distance_of_two_rows(rng):
    X = rng.normal(size=(40, 5)) * [1, 2, 3, 4, 5]
    squared_distances = np.square(X[:, None] - X[None]).sum(axis=2)
    assert Moments.of(X).data_scale == pytest.approx(np.sqrt(squared_distances.mean()))


@given(n=st.integers(1, 5), c=st.integers(1, 3), h=st.integers(1, 6), w=st.integers(1, 6))
def test_images_and_rows_with_an_image_shape_are_the_same_rows(n, c, h, w):
    images = np.arange(n * c * h * w, dtype=float).reshape(n, c, h, w)
    flat = images.reshape(n, -1)
    for X, image_shape in [(images, None), (images, (c, h, w)), (flat, (c, h, w)), (flat, [c, h, w])]:
        rows, shape = as_rows(X, image_shape)
        np.testing.assert_array_equal(rows, flat)
        assert shape == (c, h, w)
    rows, shape = as_rows(images[:, 0], None)
    np.testing.assert_array_equal(rows, images[:, 0].reshape(n, -1))
    assert shape == (1, h, w)


LAST = [(5, 5, 1), (16, 9, 3), (32, 32, 4)]


@pytest.mark.parametrize("shape", LAST, ids=str)
@pytest.mark.parametrize("n", [2, 0])
def test_images_whose_channels_are_last_are_refused_unless_they_are_named(n, shape):
    images = np.zeros((n, *shape))
    message = f"X_unlabeled has images of shape {shape}, which looks like (height, width, channels): give X_unlabeled."
    remedy = f"transpose(0, 3, 1, 2), or set image_shape={shape} if these are {shape[0]} channels."
    with pytest.raises(ValueError, match=re.escape(message + remedy)):
        as_rows(images, None, name="X_unlabeled")
    assert as_rows(images, shape)[1] == shape
    assert as_rows(images.transpose(0, 3, 1, 2), None)[1] == (shape[2], *shape[:2])


@pytest.mark.parametrize("shape", [(4, 9, 3), (3, 5, 1), (9, 4, 4), (16, 9, 2), (16, 9, 5), (1, 8, 1)], ids=str)
def test_narrow_images_may_have_their_channels_first(shape):
    assert as_rows(np.zeros((2, *shape)), None)[1] == shape


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8)], ids=str)
def test_no_images_are_no_rows(shape):
    assert as_rows(np.zeros((0, *shape)), None)[0].shape == (0, 64)


def test_plain_rows_have_no_image_shape():
    X = np.zeros((3, 4))
    assert as_rows(X, None) == (X, None)
