import json

import pytest
import torch

from vqgen.orders import ORDERS, ScanOrder, available_orders, scan_order


@pytest.fixture
def downwards():
    # Not its own inverse, so that a mistake of direction shows.
    return ScanOrder("downwards", height=2, width=3, positions=torch.tensor([0, 3, 1, 4, 2, 5]))


@pytest.fixture
def registered():
    """Register a function under the name "mine" for one test."""
    yield lambda function: ORDERS.update(mine=function)
    ORDERS.pop("mine", None)


def test_scan_lays_the_grid_out_in_visiting_order(downwards):
    assert downwards.scan(torch.tensor([[[10, 11, 12], [13, 14, 15]]])).tolist() == [[10, 13, 11, 14, 12, 15]]


def test_unscan_puts_the_sequence_back(downwards):
    assert downwards.unscan(torch.tensor([[10, 13, 11, 14, 12, 15]])).tolist() == [[[10, 11, 12], [13, 14, 15]]]


def test_steps_are_the_inverse_of_positions():
    order = ScanOrder("mine", height=1, width=4, positions=torch.tensor([2, 0, 3, 1]))
    assert order.steps.tolist() == [1, 3, 0, 2]


@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.int8, torch.uint16, torch.int16, torch.int32, torch.int64, torch.bool, torch.float32]
)
def test_scan_and_unscan_keep_any_dtype(downwards, dtype):
    codes = torch.tensor([[[0, 1, 1], [1, 0, 1]]]).to(dtype)
    sequence = downwards.scan(codes)
    assert sequence.dtype == dtype
    assert downwards.unscan(sequence).equal(codes)


def test_scan_takes_an_empty_batch(downwards):
    assert downwards.unscan(downwards.scan(torch.empty(0, 2, 3))).shape == (0, 2, 3)


def test_scan_works_on_another_device(downwards):
    assert downwards.scan(torch.empty(2, 2, 3, device="meta")).device.type == "meta"
    assert downwards.unscan(torch.empty(2, 6, device="meta")).shape == (2, 2, 3)


def test_unscan_lets_gradients_through(downwards):
    losses = torch.arange(6.0).reshape(1, 6).requires_grad_()
    (downwards.unscan(losses) * torch.arange(6).reshape(1, 2, 3)).sum().backward()
    assert losses.grad.tolist() == [[0, 3, 1, 4, 2, 5]]


@pytest.mark.parametrize("shape", [(1, 3, 2), (1, 2, 4), (4, 3, 3)])
def test_scan_refuses_another_grid(downwards, shape):
    message = (
        rf"codes must have shape \(b, 2, 3\) for order 'downwards', got \({shape[0]}, {shape[1]}, {shape[2]}\); build"
    )
    with pytest.raises(ValueError, match=message):
        downwards.scan(torch.zeros(shape))


@pytest.mark.parametrize("length", [5, 7])
def test_unscan_refuses_another_length(downwards, length):
    message = rf"sequence must have shape \(b, 6\) for order 'downwards' on 2 x 3, got \(2, {length}\); pass the whole"
    with pytest.raises(ValueError, match=message):
        downwards.unscan(torch.zeros(2, length))


def test_order_keeps_its_own_copy_of_positions():
    positions = torch.tensor([1, 0])
    order = ScanOrder("mine", height=1, width=2, positions=positions)
    positions.zero_()
    assert order.positions.tolist() == [1, 0]


def test_order_takes_positions_of_any_integer_dtype():
    order = ScanOrder("mine", height=1, width=2, positions=torch.tensor([1, 0], dtype=torch.int32))
    assert order.positions.dtype == torch.int64


def test_order_cannot_be_changed(downwards):
    with pytest.raises(AttributeError):
        downwards.name = "upwards"


def test_orders_are_equal_by_name_grid_and_positions():
    snake = scan_order("snake", height=4, width=4)
    assert snake == scan_order("snake", height=4, width=4)
    assert snake != scan_order("snake", height=2, width=8)
    assert snake != scan_order("taming:alternate", height=4, width=4)
    assert scan_order("random", height=4, width=4, seed=1) != scan_order("random", height=4, width=4, seed=2)
    assert snake != "snake"


def test_equal_orders_count_once_in_a_set():
    assert len({scan_order(name, height=4, width=4) for name in ("snake", "snake", "raster")}) == 2


def test_fingerprint_tells_grid_and_positions_but_not_the_name():
    raster = scan_order("raster", height=2, width=8)
    assert raster.fingerprint == scan_order("taming:identity", height=2, width=8).fingerprint
    assert raster.fingerprint != scan_order("raster", height=4, width=4).fingerprint
    assert raster.fingerprint != scan_order("snake", height=2, width=8).fingerprint


def test_fingerprint_is_golden():
    # Checkpoints record it; a change here makes every saved prior unreadable.
    assert scan_order("raster", height=6, width=7).fingerprint == "91ca5aaf44bef01a"


# The orders themselves, on 6 x 7: a change to one of these breaks every prior that was trained on it.
GOLDEN_FINGERPRINTS = {
    "raster": "91ca5aaf44bef01a",
    "raster-reverse": "326bd664e29a3f88",
    "column": "ed2d931c6c844332",
    "snake": "0020b74b8559289a",
    "snake-column": "af120a05280ec5cc",
    "diagonal": "498044daef5bc2cf",
    "diagonal-snake": "b7cefcb38b0cd84e",
    "spiral-in": "2563eb352bd2192e",
    "spiral-out": "e029267b6e1d2a00",
    "rings": "6591e918f82c377e",
    "hilbert": "4bc246906a8e0268",
    "morton": "ea517d245a8dc5f8",
    "bit-reversal": "8e08426beff199d2",
    "checkerboard": "7e090633db5f94cf",
    "halton": "b9735ad8366c53aa",
    "random": "55a19f6c9fc86b32",
}


@pytest.mark.parametrize("name", GOLDEN_FINGERPRINTS)
def test_orders_stay_what_they_were(name):
    assert scan_order(name, height=6, width=7).fingerprint == GOLDEN_FINGERPRINTS[name]


def test_description_survives_json():
    order = scan_order("random", height=3, width=5, seed=11)
    again = ScanOrder.from_description(json.loads(json.dumps(order.describe())))
    assert again == order
    assert again.seed == 11


def test_orders_that_draw_nothing_record_seed_zero():
    assert scan_order("raster", height=2, width=2, seed=5).describe()["seed"] == 0
    assert scan_order("random", height=2, width=2, seed=5).describe()["seed"] == 5


def test_from_description_names_what_is_missing():
    with pytest.raises(ValueError, match=r"must have \['fingerprint', 'seed'\], got \{'name': 'raster'"):
        ScanOrder.from_description({"name": "raster", "height": 2, "width": 2})


def test_from_description_refuses_an_order_that_has_changed(registered):
    registered(lambda height, width: torch.arange(height * width))
    description = scan_order("mine", height=2, width=2).describe()
    registered(lambda height, width: torch.arange(height * width).flip(0))
    message = rf"'mine' on 2 x 2 was recorded with fingerprint {description['fingerprint']}, .* register the original"
    with pytest.raises(ValueError, match=message):
        ScanOrder.from_description(description)


@pytest.mark.parametrize(("height", "width"), [(0, 4), (4, 0), (-1, 4)])
def test_scan_order_refuses_an_empty_grid(height, width):
    with pytest.raises(ValueError, match=f"must be >= 1, got height={height}, width={width}; pass the number of cells"):
        scan_order("raster", height=height, width=width)


@pytest.mark.parametrize(
    ("wrong", "meant"), [("hilbrt", "'hilbert'"), ("spiral", "'spiral-in' or 'spiral-out'"), ("taming:z", "taming:")]
)
def test_scan_order_suggests_names_close_to_an_unknown_one(wrong, meant):
    with pytest.raises(ValueError, match=f"unknown order '{wrong}': did you mean .*{meant}.*Known orders: raster, "):
        scan_order(wrong, height=2, width=2)


def test_scan_order_says_how_to_register_when_nothing_is_close():
    with pytest.raises(
        ValueError, match=r"unknown order 'xyzzy': register your own: ORDERS\[name\] = function\. Known"
    ):
        scan_order("xyzzy", height=2, width=2)


def test_a_users_function_registers_in_one_line(registered):
    registered(lambda height, width: torch.arange(height * width, dtype=torch.int32).flip(0))
    assert scan_order("mine", height=1, width=3, seed=4).positions.tolist() == [2, 1, 0]


def test_a_users_function_is_given_the_seed_if_it_asks(registered):
    registered(lambda height, width, seed: torch.arange(height * width).roll(seed))
    order = scan_order("mine", height=1, width=3, seed=1)
    assert order.positions.tolist() == [2, 0, 1]
    assert order.seed == 1


def test_a_users_wrong_function_is_named(registered):
    registered(lambda height, width: torch.zeros(height * width, dtype=torch.int64))
    with pytest.raises(ValueError, match="order 'mine' is not a permutation of the 4 cells of 2 x 2"):
        scan_order("mine", height=2, width=2)


def test_available_orders_leaves_out_those_that_refuse_the_grid():
    refused = {"taming:subsample", "taming:zcurve", "taming:spiral-in", "taming:spiral-out"}
    assert set(ORDERS) - set(available_orders(height=5, width=7)) == refused
    assert list(available_orders(height=8, width=8)) == list(ORDERS)


def test_available_orders_refuses_an_empty_grid():
    with pytest.raises(ValueError, match="height and width of the code grid must be >= 1"):
        available_orders(height=0, width=1)
