from pathlib import Path

import vqgen.orders
from vqgen.orders import ORDERS, definition_table, locality_table

README = (Path(vqgen.orders.__file__).parent / "README.md").read_text()


def test_readme_shows_the_definitions_as_they_are():
    assert definition_table(pictures="../../docs/images/orders") in README


def test_readme_shows_the_statistics_as_they_are():
    assert locality_table(height=16, width=16) in README


def test_definition_table_has_a_line_for_every_order():
    assert len(definition_table(pictures="images").splitlines()) == len(ORDERS) + 2


def test_locality_table_joins_orders_that_are_equal_on_the_grid():
    lines = locality_table(height=4, width=6).splitlines()
    assert len(lines) == 2 + 17  # sixteen and taming:random; the others are equal to one of them or refuse the grid
    assert any(line.startswith("| `snake`, `taming:alternate` |") for line in lines)
