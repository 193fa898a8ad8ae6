"""The routing room's door: what other rooms ask of it.

Law: nothing is decided here. route_input.py and route_output.py decide, route_mtu.py says how large a packet may be,
dst_ops.py learns, route_source.py chooses addresses.
"""

from __future__ import annotations

from ipkit.core.dst_ops import (
    Learnt,
    Redirect,
    ip_rt_update_pmtu,
    ipv4_link_failure,
    ipv4_negative_advice,
    ipv4_redirect,
    ipv4_update_pmtu,
)
from ipkit.core.route_flow import InputFlow, Martian, OutputFlow, Refused, input_flow
from ipkit.core.route_input import ip_check_mc_rcu, ip_route_input_noref
from ipkit.core.route_mtu import (
    Direction,
    answer_ttl,
    dst_metric_advmss,
    dst_mtu,
    ip4_dst_hoplimit,
    ip_dst_mtu_maybe_forward,
    ip_mtu_locked,
)
from ipkit.core.route_output import ip_route_output_key
from ipkit.core.route_source import fib_compute_spec_dst, inet_addr_onlink, inet_select_addr, ip_rt_get_source

__all__ = [
    "Direction",
    "InputFlow",
    "Learnt",
    "Martian",
    "OutputFlow",
    "Redirect",
    "Refused",
    "answer_ttl",
    "dst_metric_advmss",
    "dst_mtu",
    "fib_compute_spec_dst",
    "inet_addr_onlink",
    "inet_select_addr",
    "input_flow",
    "ip4_dst_hoplimit",
    "ip_check_mc_rcu",
    "ip_dst_mtu_maybe_forward",
    "ip_mtu_locked",
    "ip_route_input_noref",
    "ip_route_output_key",
    "ip_rt_get_source",
    "ip_rt_update_pmtu",
    "ipv4_link_failure",
    "ipv4_negative_advice",
    "ipv4_redirect",
    "ipv4_update_pmtu",
]
