"""Augmentation: exact where it can be, the same for every type and batch, and random from image to image."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps
from sklearn.base import clone

from skrobust.augment import (
    AutoAugment,
    Compose,
    RandAugment,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomPerspective,
    RandomResizedCrop,
    grey,
    homography,
    resolve_augmentation,
    warp,
)
from skrobust.augment._photometric import PHOTOMETRIC, contrast, equalize, posterize
from skrobust.augment._policies import GEOMETRIC

TRANSFORMS = [
    RandomResizedCrop(),
    RandomHorizontalFlip(),
    RandomPerspective(p=0.9),
    RandomCrop(padding=2),
    RandomErasing(p=0.9, scale=(0.1, 0.5)),
    RandAugment(strength=0.7),
    RandAugment(operations=["invert", "equalize", "rotate"], n_ops=3),
    AutoAugment(),
    Compose([RandomCrop(padding=1), RandomHorizontalFlip(), RandAugment()]),
]
NOTHING = [
    RandomResizedCrop(scale=(1.0, 1.0)),
    RandomHorizontalFlip(p=0.0),
    RandomPerspective(distortion_scale=0.0, p=1.0),
    RandomPerspective(p=0.0),
    RandomCrop(padding=0),
    RandomErasing(p=0.0),
    RandAugment(n_ops=0),
    RandAugment(strength=0.0, operations=sorted({*GEOMETRIC, *PHOTOMETRIC} - {"autocontrast", "equalize", "invert"})),
    AutoAugment([[("invert", 0.0, 0), ("rotate", 1.0, 0)]]),
    Compose([]),
]
shapes = st.tuples(st.integers(1, 7), st.integers(1, 5), st.integers(4, 40), st.integers(4, 40))


def name_of(transform):
    return type(transform).__name__


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(*shape, seed=0, dtype=torch.float64):
    """Return images of the 256 levels of Pillow, in [0, 1]."""
    levels = torch.randint(256, shape, generator=generator(seed))
    return levels.to(dtype) / 255


def smooth_pictures(n, channels, height, width):
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    waves = [(x * (i + 1) + y * (c + 2)).sin() / 2 + 0.5 for i in range(n) for c in range(channels)]
    return torch.stack(waves).reshape(n, channels, height, width).double()


@pytest.mark.parametrize("transform", TRANSFORMS, ids=name_of)
@given(shape=shapes, dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]))
def test_shape_type_and_range_are_kept(transform, shape, dtype):
    images = pictures(*shape, dtype=torch.float32).to(dtype)
    before, state = images.clone(), torch.get_rng_state()
    changed = transform(images, generator())
    assert changed.shape == images.shape
    assert changed.dtype == dtype
    assert changed.is_contiguous()
    assert changed.min() >= -1e-6
    assert changed.max() <= 1 + 1e-6
    assert torch.equal(images, before), "the images given stay as they are"
    assert torch.equal(torch.get_rng_state(), state), "the global generator is left alone"


@pytest.mark.parametrize("transform", NOTHING, ids=name_of)
@given(shape=shapes)
def test_no_strength_is_no_change(transform, shape):
    images = pictures(*shape)
    torch.testing.assert_close(transform(images, generator()), images, rtol=0, atol=1e-12)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=name_of)
def test_the_seed_decides_and_nothing_else(transform):
    images = pictures(16, 3, 12, 9)
    first, again, other = (transform(images, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("transform", [t for t in TRANSFORMS if not isinstance(t, RandomHorizontalFlip)], ids=name_of)
def test_equal_images_come_out_different(transform):
    changed = transform(pictures(1, 3, 16, 16).repeat(40, 1, 1, 1), generator())
    assert len({tuple(image.flatten().tolist()) for image in changed}) > 15


@pytest.mark.parametrize("transform", TRANSFORMS, ids=name_of)
def test_types_differ_by_rounding_alone(transform):
    # Smooth images: where a rounded place is a different pixel, it hardly shows.
    images = (smooth_pictures(32, 3, 14, 11) * 255).round() / 255
    wide, narrow = (transform(images.to(dtype), generator(3)) for dtype in (torch.float64, torch.float32))
    assert (wide - narrow.double()).abs().max() < 2e-4


@pytest.mark.parametrize("transform", TRANSFORMS, ids=name_of)
def test_neighbors_in_the_batch_do_not_matter(transform):
    images = pictures(8, 3, 10, 13)
    others = torch.cat([images[:3], pictures(5, 3, 10, 13, seed=9)])
    torch.testing.assert_close(
        transform(images, generator())[:3], transform(others, generator())[:3], rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("transform", TRANSFORMS, ids=name_of)
def test_an_empty_batch_stays_empty(transform):
    assert transform(torch.zeros(0, 3, 8, 8), generator()).shape == (0, 3, 8, 8)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=name_of)
def test_parameters_are_scikit_learns(transform):
    copy = clone(transform)
    assert repr(copy) == repr(transform)
    images = pictures(5, 1, 8, 8)
    assert torch.equal(copy(images, generator()), transform(images, generator()))


def test_flips_are_exact_and_as_frequent_as_said():
    images = pictures(4000, 1, 4, 5)
    flipped = RandomHorizontalFlip(p=0.3)(images, generator())
    is_flipped = (flipped == images.flip(-1)).flatten(1).all(dim=1)
    is_same = (flipped == images).flatten(1).all(dim=1)
    assert (is_flipped ^ is_same).all()
    assert is_flipped.double().mean().item() == pytest.approx(0.3, abs=0.03)
    assert torch.equal(RandomHorizontalFlip(p=1.0)(images, generator()), images.flip(-1))


def test_moved_crops_are_pieces_of_the_padded_image_and_all_of_them_occur():
    images = pictures(600, 2, 5, 4)
    moved = RandomCrop(padding=1, fill=0.25)(images, generator())
    padded = torch.nn.functional.pad(images, (1,) * 4, value=0.25)
    pieces = torch.stack([padded[..., i : i + 5, j : j + 4] for i in range(3) for j in range(3)])
    matches = (pieces == moved).flatten(2).all(dim=2)
    assert matches.any(dim=0).all()
    assert (matches.double().mean(dim=1) - 1 / 9).abs().max() < 0.05


@given(st.integers(4, 20), st.integers(4, 20), st.floats(0.2, 1.0), st.floats(0.5, 2.0))
def test_a_resized_crop_shows_a_box_of_the_said_size_within_the_image(height, width, scale, ratio):
    # Images of the coordinates themselves: a pixel shows where it comes from.
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    places = torch.stack([x, y]).double().repeat(20, 1, 1, 1)
    shown = RandomResizedCrop(scale=(scale, scale), ratio=(ratio, ratio))(places, generator())
    middle = shown[..., height // 2 - 1 : height // 2 + 1, width // 2 - 1 : width // 2 + 1]
    box = torch.stack(
        [(middle[:, 0, 0, 1] - middle[:, 0, 0, 0]) * width, (middle[:, 1, 1, 0] - middle[:, 1, 0, 0]) * height]
    )
    w, h = np.sqrt(scale * height * width * ratio), np.sqrt(scale * height * width / ratio)
    if w <= width and h <= height and min(w, h) > 2:
        torch.testing.assert_close(box.mean(dim=1), torch.tensor([w, h]).double(), rtol=0.2, atol=0.2)
    assert shown.min() >= 0.5 - 1e-9, "edges are repeated, not darkened"


def test_corners_go_to_corners():
    corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]).double()
    moved = corners * (1 - 0.6 * torch.rand(50, 4, 2, generator=generator(), dtype=torch.float64))
    matrix = homography(corners.expand_as(moved), moved)
    mapped = torch.cat([corners, torch.ones(4, 1)], dim=1) @ matrix.transpose(1, 2)
    torch.testing.assert_close(mapped[..., :2] / mapped[..., 2:], moved)


def test_a_perspective_puts_the_corners_of_the_image_where_it_says():
    # White corner pixels on black; the image shrinks to its upper left quarter.
    image = torch.zeros(1, 1, 40, 40).double()
    image[..., :8, :8] = 0.5
    image[..., -8:, -8:] = 1.0
    corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]).double()
    quarter = torch.tensor([[-1.0, -1.0], [0.0, -1.0], [0.0, 0.0], [-1.0, 0.0]]).double()
    small = warp(image, homography(quarter[None], corners[None]), fill=0.25).squeeze()
    assert small[:3, :3].unique().tolist() == [0.5]
    assert small[17:19, 17:19].unique().tolist() == [1.0]
    assert small[21:].unique().tolist() == [0.25]


def test_perspectives_stay_finite_at_the_largest_distortion():
    moved = RandomPerspective(distortion_scale=0.66, p=1.0, fill=0.5)(pictures(3000, 1, 4, 4), generator())
    assert moved.isfinite().all()
    assert moved.std() > 0.01


def test_erased_boxes_have_the_said_size():
    erased = RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(4.0, 4.0), fill=0.0)(
        torch.ones(60, 2, 40, 40), generator()
    )
    assert torch.equal(erased[:, 0], erased[:, 1])
    gone = erased[:, 0] == 0
    assert ((gone.any(dim=1).sum(dim=1) - 40).abs() <= 1).all()  # 40 columns and 10 rows
    assert ((gone.any(dim=2).sum(dim=1) - 10).abs() <= 1).all()
    assert gone.sum(dim=(1, 2)).double().mean() == pytest.approx(400, rel=0.05)


@pytest.mark.parametrize("name", sorted(GEOMETRIC))
@pytest.mark.parametrize("shape", [(21, 21), (15, 31)])
def test_geometric_operations_keep_the_center_and_turn_or_move_the_rest(name, shape):
    images = smooth_pictures(1, 1, *shape).repeat(20, 1, 1, 1)
    moved = RandAugment(n_ops=1, strength=1.0, operations=[name])(images, generator())
    center = tuple(side // 2 for side in shape)
    stays = torch.isclose(moved[:, 0][(..., *center)], images[:, 0][(..., *center)], atol=1e-3)
    assert stays.all() == (not name.startswith("translate"))
    assert len(moved.flatten(1).unique(dim=0)) == 2, "one for each direction"


def test_a_rotation_keeps_distances_on_images_that_are_not_square():
    # A bar of 3 x 21 pixels, turned by 30 degrees about the center, has the same area.
    image = torch.zeros(1, 1, 41, 81).double()
    image[..., 19:22, 30:51] = 1.0
    turned = RandAugment(n_ops=1, strength=1.0, operations=["rotate"])(image, generator()).squeeze()
    y, x = np.indices(turned.shape)
    weight = (turned / turned.sum()).numpy()
    covariance = np.cov(np.stack([x.ravel(), y.ravel()]), aweights=weight.ravel())
    assert turned.sum().item() == pytest.approx(63, rel=0.01)
    assert abs(np.degrees(np.arctan2(2 * covariance[0, 1], covariance[0, 0] - covariance[1, 1])) / 2) == pytest.approx(
        30, abs=1
    )


def as_pillow(image):
    return Image.fromarray((image * 255).round().byte().movedim(0, -1).numpy())


def from_pillow(image):
    return torch.from_numpy(np.array(image)).movedim(-1, 0).double() / 255


@pytest.mark.parametrize("strength", [-0.8, -0.3, 0.4, 1.0])
@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
        ("sharpness", ImageEnhance.Sharpness),
    ],
)
def test_enhancements_are_those_of_pillow(name, reference, strength):
    image = pictures(3, 12, 9)
    expected = from_pillow(reference(as_pillow(image)).enhance(1 + 0.9 * strength))
    got = PHOTOMETRIC[name](image[None], torch.tensor(strength).reshape(1, 1, 1, 1))[0]
    assert (got - expected).abs().max() < 2.1 / 255  # Pillow rounds at every step


@pytest.mark.parametrize(
    ("name", "strength", "reference"),
    [
        ("posterize", 0.5, lambda image: ImageOps.posterize(image, 6)),
        ("posterize", 1.0, lambda image: ImageOps.posterize(image, 4)),
        ("solarize", 0.0, lambda image: ImageOps.solarize(image, 256)),
        ("solarize", -0.25, lambda image: ImageOps.solarize(image, 192)),
        ("solarize", 0.5, lambda image: ImageOps.solarize(image, 128)),
        ("solarize", 1.0, lambda image: ImageOps.solarize(image, 0)),
        ("invert", 0.2, ImageOps.invert),
        ("equalize", 0.2, ImageOps.equalize),
    ],
)
def test_changes_of_levels_are_those_of_pillow_exactly(name, strength, reference):
    image = pictures(3, 30, 21)
    got = PHOTOMETRIC[name](image[None], torch.full((1, 1, 1, 1), strength))[0]
    torch.testing.assert_close(got, from_pillow(reference(as_pillow(image))), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_solarize_inverts_nothing_at_strength_zero_and_black_too_at_one(dtype):
    levels = (torch.arange(256, dtype=dtype) / 255).reshape(1, 1, 16, 16)
    assert torch.equal(PHOTOMETRIC["solarize"](levels, torch.zeros(1, 1, 1, 1)), levels)
    assert torch.equal(PHOTOMETRIC["solarize"](levels, torch.ones(1, 1, 1, 1)), 1 - levels)


def test_autocontrast_is_pillows_within_a_level():
    image = (pictures(3, 12, 9) * 102 + 51).round() / 255
    got = PHOTOMETRIC["autocontrast"](image[None], torch.ones(1, 1, 1, 1))[0]
    assert (got - from_pillow(ImageOps.autocontrast(as_pillow(image)))).abs().max() < 2.1 / 255
    assert got.amin(dim=(1, 2)).tolist() == [0.0] * 3
    assert got.amax(dim=(1, 2)).tolist() == [1.0] * 3


def test_flat_images_survive_every_change_of_color():
    flat = torch.full((2, 3, 5, 5), 0.5).double()
    for function in PHOTOMETRIC.values():
        assert function(flat, torch.full((2, 1, 1, 1), 0.3).double()).isfinite().all()
    assert torch.equal(PHOTOMETRIC["autocontrast"](flat, torch.ones(2, 1, 1, 1)), flat)
    assert torch.equal(equalize(flat, None), flat)


def test_each_image_has_its_own_strength():
    images = pictures(1, 3, 6, 6).repeat(3, 1, 1, 1)
    strength = torch.tensor([0.0, 0.5, 1.0]).double().reshape(-1, 1, 1, 1)
    assert len(posterize(images, strength).unique(dim=0)) == 3
    both = contrast(images, strength)
    for i in range(3):
        torch.testing.assert_close(both[i : i + 1], contrast(images[i : i + 1], strength[i : i + 1]))


def test_grey_weighs_colors_as_the_eye_does_and_other_channels_alike():
    assert grey(torch.eye(3).reshape(3, 3, 1, 1)).flatten().tolist() == pytest.approx([0.299, 0.587, 0.114])
    two = torch.tensor([0.2, 0.4]).reshape(1, 2, 1, 1)
    assert grey(two).item() == pytest.approx(0.3)


def test_a_policy_works_in_the_range_that_it_is_given():
    images = pictures(40, 3, 9, 9)
    unit = RandAugment(strength=0.8, fill=0.5)(images, generator())
    wide = RandAugment(strength=0.8, fill=100.0, clip_values=(-100, 300))(images * 400 - 100, generator())
    assert ((wide + 100) / 400 - unit).abs().mean() < 1e-3
    assert wide.min() >= -100 - 1e-9
    assert wide.max() <= 300 + 1e-9


def test_every_operation_of_a_list_gets_its_share():
    # Dark images: invert makes them bright, solarize leaves them dark.
    images = torch.full((3000, 1, 4, 4), 0.1)
    changed = RandAugment(n_ops=1, strength=0.1, operations=["invert", "solarize", "identity"])(images, generator())
    assert (changed.mean(dim=(1, 2, 3)) > 0.5).double().mean().item() == pytest.approx(1 / 3, abs=0.03)


def test_learned_policies_keep_to_their_probabilities():
    images = torch.full((4000, 1, 4, 4), 0.1)
    policy = [[("invert", 0.5, 0), ("identity", 1.0, 0)], [("identity", 1.0, 0), ("invert", 0.2, 0)]]
    share = (AutoAugment(policy)(images, generator()).mean(dim=(1, 2, 3)) > 0.5).double().mean().item()
    assert share == pytest.approx((0.5 + 0.2) / 2, abs=0.03)
    twice = AutoAugment([[("invert", 1.0, 0), ("invert", 1.0, 0)]])(images, generator())
    torch.testing.assert_close(twice, images)


def test_composing_is_one_after_the_other():
    crop, flip, images = RandomCrop(1), RandomHorizontalFlip(), pictures(9, 1, 6, 6)
    source = generator(4)
    expected = flip(crop(images, source), source)
    assert torch.equal(Compose([crop, flip])(images, generator(4)), expected)


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (RandomHorizontalFlip(p=1.5), r"RandomHorizontalFlip has p=1.5: use a number from 0 to 1"),
        (RandomHorizontalFlip(p="often"), r"has p='often': use a number"),
        (RandomPerspective(distortion_scale=0.9), r"RandomPerspective has distortion_scale=0.9: .* to 0.66"),
        (RandomPerspective(p=-1), r"RandomPerspective has p=-1"),
        (RandomCrop(padding=-1), r"RandomCrop has padding=-1: use a whole number from 0 to 8"),
        (RandomCrop(padding=1.5), r"RandomCrop has padding=1.5: use a whole number"),
        (RandomResizedCrop(scale=(0.5, 2.0)), r"RandomResizedCrop has scale=\(0.5, 2.0\): use a pair of ascending"),
        (RandomResizedCrop(ratio=(2.0, 1.0)), r"has ratio=\(2.0, 1.0\): use a pair"),
        (RandomErasing(scale=0.3), r"RandomErasing has scale=0.3: use a pair"),
        (RandAugment(n_ops=-1), r"RandAugment has n_ops=-1"),
        (RandAugment(n_ops=1.5), r"RandAugment has n_ops=1.5: use a whole number"),
        (RandAugment(strength=2), r"RandAugment has strength=2: use a number from 0 to 1"),
        (RandAugment(operations=["spin"]), r"operations with \['spin'\] in it: use names from .*'rotate'"),
        (RandAugment(operations=[]), r"operations with nothing in it"),
        (RandAugment(clip_values=(1, 1)), r"clip_values=\(1, 1\): use a pair"),
        (RandAugment(fill=2.0), r"fill=2.0: use a number from 0 to 1"),
        (AutoAugment("svhn"), r"AutoAugment has policy='svhn': use one of \['cifar10'\]"),
        (AutoAugment([[("rotate", 0.5, 10)]]), r"level from 0 to 9"),
        (AutoAugment([[("rotate", 0.5)]]), r"triples"),
        (AutoAugment([[("rotate", 0.5, 1)], []]), r"all of one length"),
        (AutoAugment([[("spin", 0.5, 1)]]), r"policy with \['spin'\] in it"),
    ],
)
def test_wrong_parameters_are_refused_by_name(transform, message):
    with pytest.raises(ValueError, match=message):
        transform(torch.zeros(2, 3, 8, 8), generator())


@pytest.mark.parametrize("images", [torch.zeros(3, 8, 8), torch.zeros(2, 3, 8, 8, dtype=torch.uint8)])
def test_what_is_no_batch_of_images_is_refused(images):
    with pytest.raises(ValueError, match=r"cannot be augmented: give floating point numbers of shape \(n, channels"):
        RandomHorizontalFlip()(images, generator())


def test_augmentations_are_resolved():
    flip = RandomHorizontalFlip()
    assert resolve_augmentation(None) is None
    assert resolve_augmentation(flip) is flip
    assert repr(resolve_augmentation((flip,))) == "Compose(transforms=[RandomHorizontalFlip()])"
    for wrong in ("flip", RandomHorizontalFlip, [flip, "crop"], 3):
        with pytest.raises(ValueError, match=r"augmentation=.* is not a transform: use None, an object of"):
            resolve_augmentation(wrong)


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (
            RandAugment(operations=5),
            r"RandAugment has operations=5: use a list of names, such as \['rotate', 'contrast'",
        ),
        (RandAugment(operations="rotate"), r"RandAugment has operations='rotate': use a list of names"),
        (RandAugment(operations=[["rotate"]]), r"operations with \[\['rotate'\]\] in it: use names from"),
        (RandAugment(n_ops=True), r"RandAugment has n_ops=True: use a whole number"),
        (AutoAugment(5), r"AutoAugment has policy=5: use one of \['cifar10'\] or sequences, all of one length, of"),
        (AutoAugment(None), r"AutoAugment has policy=None: use one of"),
        (AutoAugment([]), r"AutoAugment has policy=\[\]: use one of"),
        (AutoAugment([5]), r"AutoAugment has policy=\[5\]: use one of"),
        (AutoAugment([[5]]), r"AutoAugment has policy=\[\[5\]\]: use one of"),
        (AutoAugment([[("rotate", "often", 1)]]), r"triples \(name, probability, level from 0 to 9\)"),
        (AutoAugment([[("rotate", 0.5, "high")]]), r"triples \(name, probability, level from 0 to 9\)"),
        (AutoAugment([[(["rotate"], 0.5, 1)]]), r"policy with \[\['rotate'\]\] in it"),
        (
            RandomResizedCrop(scale=("a", "b")),
            r"RandomResizedCrop has scale=\('a', 'b'\): use a pair of ascending numbers",
        ),
        (RandomErasing(ratio=(None, 1)), r"RandomErasing has ratio=\(None, 1\): use a pair of ascending numbers"),
        (RandomCrop(fill="a"), r"RandomCrop has fill='a': use a finite number"),
        (RandomErasing(fill=None), r"RandomErasing has fill=None: use a finite number"),
        (RandomPerspective(fill=float("nan")), r"RandomPerspective has fill=nan: use a finite number"),
        (Compose("flip"), r"Compose has transforms='flip': use a list of transforms, such as \[RandomCrop\(\), "),
        (Compose(RandomCrop()), r"Compose has transforms=RandomCrop\(\): use a list of transforms"),
        (Compose([RandomCrop]), r"Compose has transforms=\[<class .*RandomCrop'>\]: use a list of transforms"),
    ],
)
def test_parameters_of_another_type_are_refused_by_name(transform, message):
    with pytest.raises(ValueError, match=message):
        transform(torch.zeros(2, 3, 8, 8), generator())


POLICY_TRANSFORMS = [RandAugment(operations=["brightness"]), RandAugment(operations=["equalize"]), AutoAugment()]
OUT_OF_RANGE = (
    r"(Rand|Auto)Augment has clip_values=\(0, 1\), but there are images with values from {}: set clip_values="
)


@pytest.mark.parametrize("transform", POLICY_TRANSFORMS)
@pytest.mark.parametrize(
    ("images", "values"),
    [
        (torch.arange(48.0).reshape(1, 3, 4, 4) * 5, "0 to 235"),
        (torch.arange(48.0).reshape(1, 3, 4, 4) / 47 * 2 - 1, "-1 to 1"),
        (torch.full((1, 3, 4, 4), torch.nan), "nan to nan"),
    ],
)
def test_images_out_of_range_are_refused(transform, images, values):
    with pytest.raises(ValueError, match=OUT_OF_RANGE.format(values)):
        transform(images, generator())


@pytest.mark.parametrize("transform", POLICY_TRANSFORMS)
def test_images_out_of_range_by_rounding_alone_are_taken(transform):
    images = pictures(4, 3, 8, 8)
    rounded = images * (1 + 2e-3) - 1e-3
    changed = transform(rounded, generator())
    assert changed.min() >= 0
    assert changed.max() <= 1
    torch.testing.assert_close(changed, transform(rounded.clamp(0, 1), generator()), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "augmentation",
    [
        RandAugment(operations=["rotate"]),
        AutoAugment(),
        [RandomHorizontalFlip(), Compose([RandomCrop(1), RandAugment()])],
    ],
)
def test_a_fit_refuses_training_images_out_of_range(quick, digit_images, augmentation):
    X, y = digit_images
    X = X.copy()
    X[150, 3, 3] = 16.0  # far behind the rows on which an augmentation is tried
    clf = quick(augmentation=augmentation, max_epochs=1)
    with pytest.raises(ValueError, match=OUT_OF_RANGE.format("0 to 16")):
        clf.fit(X, y)
    assert not hasattr(clf, "net_")


def test_a_fit_takes_training_images_within_the_range_that_is_set(quick, digit_images):
    X, y = digit_images
    quick(augmentation=RandAugment(clip_values=(0, 255)), max_epochs=1).fit(255 * X, y)


def test_every_chunk_must_be_in_range(quick, digit_images):
    X, y = digit_images
    clf = quick(augmentation=RandAugment()).partial_fit(X, y, classes=range(10))
    before = clf.predict_proba(X)
    with pytest.raises(ValueError, match=OUT_OF_RANGE.format("0 to 16")):
        clf.partial_fit(16 * X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), before)
    clf.partial_fit(X, y)


def test_images_that_a_function_scales_first_are_in_range(quick, digit_images):
    X, y = digit_images
    quick(augmentation=[lambda images, generator: images / 255, RandAugment()], max_epochs=1).fit(255 * X, y)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "sharpness"])
@pytest.mark.parametrize(("level", "change"), [(0, 0.0), (5, 0.5), (9, 0.9)])
def test_levels_of_a_learned_policy_are_those_of_torchvision(name, level, change):
    images = pictures(1, 3, 8, 8).repeat(20, 1, 1, 1)
    changed = AutoAugment([[(name, 1.0, level)]])(images, generator())
    enhance = {"saturation": ImageEnhance.Color}.get(name, getattr(ImageEnhance, name.title(), None))
    both = torch.stack([from_pillow(enhance(as_pillow(images[0])).enhance(1 + sign * change)) for sign in (-1, 1)])
    distance = (changed[:, None] - both).abs().amax(dim=(2, 3, 4))
    assert (distance.amin(dim=1) < 2.1 / 255).all()
    assert (distance.amin(dim=0) < 2.1 / 255).all(), "both directions occur"
