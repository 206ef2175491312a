import numpy as np
import pytest
import torch
from PIL import Image

from nasdet.datasets.classification_transforms import Cutout, compose


def test_cutout_covers_exactly_the_part_of_the_square_inside_the_image():
    height, width, size = 7, 10, 4
    image = torch.full((3, height, width), 9, dtype=torch.uint8)
    cutout = Cutout(size, fill=(1, 2, 3))
    for y in range(height):
        for x in range(width):
            rows = [row for row in range(height) if y - size // 2 <= row < y + size // 2]
            columns = [column for column in range(width) if x - size // 2 <= column < x + size // 2]
            covered = cutout.cover(image, y, x) != 9
            assert covered.sum(dim=(1, 2)).tolist() == [len(rows) * len(columns)] * 3
            assert covered[:, rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1].all()
    assert (image == 9).all()
    assert cutout.cover(image, 3, 5)[:, 3, 5].tolist() == [1, 2, 3]


def test_cutout_draws_every_centre_alike():
    torch.manual_seed(0)
    image = torch.ones(1, 3, 4)
    cutout = Cutout(2, fill=(0,))
    draws = 2400
    corners = sum(int(cutout(image)[0, 2, 3] == 0) for _ in range(draws))
    assert corners == pytest.approx(draws / 12, abs=4 * (draws / 12) ** 0.5)   # only the centre (2, 3) covers it


def test_cutout_refuses_an_odd_side():
    with pytest.raises(ValueError, match='even number of pixels, not 5'):
        Cutout(5)


def test_a_chain_turns_pictures_and_arrays_into_plain_uint8_tensors():
    chain = compose([dict(type='Resize', size=[8, 6]), dict(type='Cutout', size=2)])
    pixels = np.random.default_rng(0).integers(0, 256, (16, 12, 3), dtype=np.uint8)
    for image in (pixels, Image.fromarray(pixels)):
        result = chain(image)
        assert type(result) is torch.Tensor
        assert (tuple(result.shape), result.dtype) == ((3, 8, 6), torch.uint8)


def test_without_transforms_the_pixels_stay():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    assert np.array_equal(compose([])(pixels).permute(1, 2, 0).numpy(), pixels)


@pytest.mark.parametrize('wrong, right', [('RandomHorizontalFip', 'RandomHorizontalFlip'), ('CutOut', 'Cutout')])
def test_an_unknown_transform_is_refused_with_the_nearest_name(wrong, right):
    with pytest.raises(ValueError, match=f"did you mean '{right}'"):
        compose([dict(type=wrong)])
