"""Scan orders: in which sequence the cells of a code grid are visited."""

from vqgen.orders.annealed import AnnealedOrder
from vqgen.orders.fixed_order import FixedOrder
from vqgen.orders.locality import OrderLocality, distance_at_lag, measure_locality
from vqgen.orders.locality_groups import locality_groups
from vqgen.orders.mixture import MixtureOrder
from vqgen.orders.plot import draw_order, draw_orders, draw_thumbnails
from vqgen.orders.policy import OrderPolicy
from vqgen.orders.policy_by_name import order_policy, order_policy_from_description
from vqgen.orders.random_per_sample import RandomPerSample
from vqgen.orders.registry import ORDERS, OrderFunction, definition
from vqgen.orders.scan_order import ScanOrder, available_orders, scan_order
from vqgen.orders.table import definition_table, locality_table

__all__ = [
    "ORDERS",
    "AnnealedOrder",
    "FixedOrder",
    "MixtureOrder",
    "OrderFunction",
    "OrderLocality",
    "OrderPolicy",
    "RandomPerSample",
    "ScanOrder",
    "available_orders",
    "definition",
    "definition_table",
    "distance_at_lag",
    "draw_order",
    "draw_orders",
    "draw_thumbnails",
    "locality_groups",
    "locality_table",
    "measure_locality",
    "order_policy",
    "order_policy_from_description",
    "scan_order",
]
