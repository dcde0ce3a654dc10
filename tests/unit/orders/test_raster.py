import pytest

from vqgen.orders.raster import column, raster, raster_reverse


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5), (5, 1), (3, 4)])
def test_raster_counts_up(height, width):
    assert raster(height, width).tolist() == list(range(height * width))


def test_raster_reverse_counts_down():
    assert raster_reverse(2, 3).tolist() == [5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5), (5, 1), (3, 4)])
def test_column_walks_each_column_down(height, width):
    assert column(height, width).tolist() == [row * width + col for col in range(width) for row in range(height)]
