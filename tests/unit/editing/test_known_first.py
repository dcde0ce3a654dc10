import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vqgen.editing import known_first
from vqgen.orders import scan_order


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(["raster", "hilbert", "spiral-in", "random"]),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_known_cells_come_first_and_both_parts_keep_the_order(name, height, width, seed):
    order = scan_order(name, height=height, width=width)
    unknown = torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed)) < 0.5
    found = known_first(unknown, order)
    for image in range(3):
        visited = order.positions.tolist()
        hidden = unknown[image].flatten().tolist()
        expected = [cell for cell in visited if not hidden[cell]] + [cell for cell in visited if hidden[cell]]
        assert found.positions[image].tolist() == expected
        assert found.known[image] == hidden.count(False)


def test_a_fixed_order_takes_its_own_beginning():
    order = scan_order("spiral-in", height=4, width=4)
    unknown = torch.stack([(order.steps >= known).view(4, 4) for known in (0, 5, 16)])
    found = known_first(unknown, order, fixed=True)
    assert found.known == (0, 5, 16)
    assert torch.equal(found.positions, order.positions.expand(3, -1))


def test_a_fixed_order_refuses_other_masks_naming_cells():
    unknown = torch.zeros(2, 3, 3, dtype=torch.bool)
    unknown[0, 2] = True
    unknown[1, 1, 0] = True
    with pytest.raises(
        ValueError,
        match=r"order 'raster' and can only go on from a known beginning.*image 1 the unknown cell \(row 1, column 0\) "
        r"is visited at step 3, before the known one \(row 1, column 1\) at step 4; .*random-per-sample",
    ):
        known_first(unknown, scan_order("raster", height=3, width=3), fixed=True)
