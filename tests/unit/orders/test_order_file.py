import json
import stat
from pathlib import Path

import pytest
import torch

from vqgen.cli import main
from vqgen.orders import ScanOrder, order_policy, order_policy_from_description, scan_order


@pytest.fixture
def order() -> ScanOrder:
    return ScanOrder("searched", height=2, width=3, positions=torch.tensor([4, 1, 0, 2, 3, 5]))


@pytest.fixture
def path(order, tmp_path) -> Path:
    return order.save(tmp_path / "orders" / "mine.json")


def test_saved_order_loads_as_it_was(order, path):
    assert ScanOrder.load(path) == order
    assert ScanOrder.load(path).name == "searched"


@pytest.mark.parametrize("name", ["raster", "random"])
def test_registered_orders_save_too(name, tmp_path):
    order = scan_order(name, height=3, width=4, seed=6)
    assert ScanOrder.load(order.save(tmp_path / "x.json")) == order
    assert ScanOrder.load(tmp_path / "x.json").describe() == order.describe()


def test_a_path_serves_as_a_name(order, path):
    assert scan_order(str(path), height=2, width=3) == order
    policy = order_policy(f"mixture:{path}=1,raster=3", height=2, width=3)
    assert [known.name for known in policy.orders] == ["raster", "searched"]
    assert order_policy(str(path), height=2, width=3).fixed == order


def test_an_order_file_is_replaced_whole_and_readable_by_all(order, path):
    replacement = scan_order("raster", height=2, width=3)
    assert replacement.save(path) == path
    assert ScanOrder.load(path) == replacement
    assert [each.name for each in path.parent.iterdir()] == ["mine.json"]
    plain = path.with_name("plain")
    plain.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_failed_write_leaves_the_old_file(order, path, monkeypatch):
    def full(*args, **options):
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space"):
        scan_order("raster", height=2, width=3).save(path)
    assert ScanOrder.load(path) == order
    assert [each.name for each in path.parent.iterdir()] == ["mine.json"]


def test_saving_asks_for_the_ending(order, tmp_path):
    with pytest.raises(ValueError, match=r"to end in .json, got .*mine.txt"):
        order.save(tmp_path / "mine.txt")


def test_a_file_by_hand_needs_grid_and_positions_only(tmp_path):
    path = tmp_path / "hand.json"
    path.write_text('{"height": 1, "width": 2, "positions": [1, 0]}')
    order = ScanOrder.load(path)
    assert (order.name, order.positions.tolist(), order.seed) == ("hand", [1, 0], 0)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no order file .*none.json; ScanOrder.save\(path\) writes one"):
        scan_order(str(tmp_path / "none.json"), height=2, width=2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"height": 2, "wid', r"mine.json is not a whole JSON file \(.*\); write it again"),
        ("[1, 0]", "expected a JSON object with height, positions, width, got list"),
        (
            '{"height": 2, "width": 2}',
            r"expected a JSON object with height, positions, width, got \['height', 'width'\]",
        ),
        ('{"height": 2, "width": "2", "positions": [0]}', "width '2' is not a whole number"),
        ('{"height": 1, "width": 2, "positions": [0, 1.5]}', "positions are not a list of whole numbers"),
        ('{"height": 1, "width": 1, "positions": [1e999]}', "positions are not a list of whole numbers"),
        ('{"height": 1, "width": 1, "positions": [99999999999999999999]}', "positions are not a list of whole numbers"),
        ('{"height": 1, "width": 2, "positions": [0, 1], "name": 7}', "name 7 is not text"),
        (
            '{"height": 1, "width": 2, "positions": [0, 0]}',
            r"mine.json: order 'mine' is not a permutation .* 0 more than",
        ),
        (
            '{"height": 2, "width": 2, "positions": [0, 1]}',
            r"mine.json: order 'mine' is not a permutation .* 2, 3 never",
        ),
        ('{"height": 0, "width": 2, "positions": []}', r"mine.json: height and width of the code grid must be >= 1"),
    ],
)
def test_a_damaged_file_says_what_is_wrong(text, message, tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        ScanOrder.load(path)


def test_a_file_changed_after_saving_is_refused(path):
    entries = json.loads(path.read_text())
    entries["positions"][:2] = reversed(entries["positions"][:2])
    path.write_text(json.dumps(entries))
    with pytest.raises(ValueError, match=r"mine.json was changed after it was saved: .* take the fingerprint out if"):
        ScanOrder.load(path)


def test_a_file_for_another_grid_is_refused(path):
    with pytest.raises(ValueError, match=r"mine.json visits 2 x 3, but the grid is 3 x 2"):
        order_policy(str(path), height=3, width=2)


def test_a_description_holds_the_positions_of_an_order_that_has_no_name(order):
    description = json.loads(json.dumps(order.describe()))
    assert description["positions"] == order.positions.tolist()
    assert ScanOrder.from_description(description) == order
    assert order_policy_from_description(description).fixed == order
    assert "positions" not in scan_order("raster", height=2, width=3).describe()


def test_a_description_holds_positions_that_the_name_does_not_give():
    order = ScanOrder("raster", height=1, width=3, positions=torch.tensor([2, 1, 0]))
    assert ScanOrder.from_description(order.describe()) == order
    refusing = ScanOrder("taming:subsample", height=1, width=3, positions=torch.tensor([2, 1, 0]))
    assert ScanOrder.from_description(refusing.describe()) == refusing


def test_a_damaged_description_is_refused(order):
    description = {**order.describe(), "positions": [0, 1, 2, 3, 4, 5]}
    with pytest.raises(ValueError, match="the description of order 'searched' was changed after it was saved"):
        ScanOrder.from_description(description)


def test_orders_show_takes_a_file_with_its_own_grid(path, capsys):
    main(["orders", "show", str(path)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["2 1 3", "4 0 5"]
    with pytest.raises(SystemExit):
        main(["orders", "show", str(path), "--height", "3"])
    assert "visits 2 x 3, but the grid is 3 x 3" in capsys.readouterr().err
