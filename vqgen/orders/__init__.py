"""Scan orders: in which sequence the cells of a code grid are visited."""

from vqgen.orders.locality import OrderLocality, distance_at_lag, measure_locality
from vqgen.orders.plot import draw_order, draw_orders, draw_thumbnails
from vqgen.orders.policy import (
    FixedOrder,
    OrderPolicy,
    RandomPerSample,
    order_policy,
    order_policy_from_description,
)
from vqgen.orders.registry import ORDERS, OrderFunction, definition
from vqgen.orders.scan_order import ScanOrder, available_orders, scan_order
from vqgen.orders.table import definition_table, locality_table

__all__ = [
    "ORDERS",
    "FixedOrder",
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
    "locality_table",
    "measure_locality",
    "order_policy",
    "order_policy_from_description",
    "scan_order",
]
