import torch
from torch import Tensor

from vqgen.attention import BigBird, ColumnAttention, Local1D, Places, RowAttention, Strided, block_sparse
from vqgen.attention.layout import layout_of


def places_of(order: Tensor, side: int) -> Places:
    content = torch.cat((order.new_full((len(order), 1), -1), order[:, :-1]), dim=1)
    return Places(order, content, first=0, height=side, width=side)


def vectors(rows: int) -> list[Tensor]:
    """Laid out as the layers of a prior lay them out."""
    return [torch.randn(2, rows, 2, 8).transpose(1, 2).requires_grad_() for _ in range(3)]


def test_each_pair_that_is_allowed_is_in_exactly_one_piece() -> None:
    for pattern in (Strided(), BigBird(block=2, global_tiles=2), Local1D(block=5, memory=3), RowAttention()):
        times = torch.zeros(63, 63, dtype=torch.int64)
        for piece in layout_of(pattern, 7, 9, torch.device("cpu")):
            for queries, keys, allowed in zip(piece.queries, piece.keys, piece.allowed, strict=True):
                times[queries[:, None], keys[keys >= 0]] += allowed[:, keys >= 0].long()
                assert not allowed[:, keys < 0].any()
        possible = pattern.table(height=7, width=9) & ~torch.eye(63, dtype=torch.bool)
        assert torch.equal(times, (possible.tril(-1) if pattern.space == "steps" else possible).long())


def test_the_first_part_holds_every_query_once() -> None:
    for pattern in (Strided(), BigBird(block=2), Local1D(block=5)):
        opening = [piece.queries.flatten() for piece in layout_of(pattern, 7, 9, torch.device("cpu")) if piece.opens]
        assert torch.cat(opening).sort().values.tolist() == list(range(63))


def test_a_layout_is_made_once_whatever_the_order() -> None:
    pattern = RowAttention(kernel="blocks")
    found = [pattern.reach(places_of(torch.randperm(64)[None], 8)) for _ in range(2)]
    for reach in found:
        pattern(*vectors(64), reach)
    assert len(pattern.constants) == 1


def test_a_global_tile_pads_no_other_block() -> None:
    pieces = layout_of(BigBird(block=4, random=0), 32, 32, torch.device("cpu"))
    wide = [piece for piece in pieces if piece.keys.shape[1] > 200]
    assert [tuple(piece.keys.shape[:1]) for piece in wide] == [(1,)]


def test_nothing_gathered_is_kept_for_the_backward_pass() -> None:
    held: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    pattern, given = ColumnAttention(kernel="blocks"), vectors(256)
    reach = pattern.reach(places_of(torch.randperm(256)[None], 16))
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        out = pattern(*given, reach)
    row = 2 * 256 * 2 * 4  # bytes of one number a row and head
    assert sum(held.values()) == (4 * 8 + 1) * row  # queries, keys, values and outputs, and the sums
    assert out.shape == given[0].shape


def test_how_much_is_gathered_at_a_time_changes_nothing(monkeypatch) -> None:
    torch.manual_seed(0)
    given, gradient = vectors(64), torch.randn(2, 2, 64, 8)
    pattern = Strided(kernel="blocks")
    reach = pattern.reach(places_of(torch.stack([torch.randperm(64), torch.randperm(64)]), 8))
    results = []
    for rows in (1, 1 << 20):
        monkeypatch.setitem(block_sparse.ROWS_AT_A_TIME, "cpu", rows)
        out = pattern(*given, reach)
        results.append((out, *torch.autograd.grad(out, given, gradient)))
    for few, many in zip(*results, strict=True):
        torch.testing.assert_close(few, many, atol=1e-5, rtol=1e-4)
