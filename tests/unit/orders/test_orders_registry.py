import pytest

from vqgen.orders import ORDERS, definition
from vqgen.orders.registry import takes_seed


def test_registry_has_every_order():
    assert set(ORDERS) == {
        *("raster", "raster-reverse", "column", "snake", "snake-column", "diagonal", "diagonal-snake", "spiral-in"),
        *("spiral-out", "hilbert", "morton", "bit-reversal", "checkerboard", "rings", "halton", "random"),
        *("taming:identity", "taming:subsample", "taming:zcurve", "taming:spiral-out", "taming:spiral-in"),
        *("taming:random", "taming:alternate"),
    }


def test_only_random_takes_a_seed():
    assert [name for name, function in ORDERS.items() if takes_seed(function)] == ["random"]


@pytest.mark.parametrize("name", ORDERS)
def test_every_order_has_a_definition_of_one_sentence(name):
    assert definition(name).endswith(".")
    assert len(definition(name)) > 40


def test_definition_of_an_order_without_docstring_is_empty(monkeypatch):
    monkeypatch.setitem(ORDERS, "mine", lambda height, width: None)
    assert definition("mine") == ""
