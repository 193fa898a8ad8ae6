"""Routing against what a 6.18 kernel answered: lookups, and where frames went or why they were dropped."""

from __future__ import annotations

from collections.abc import Iterator
from errno import errorcode
from functools import cache
from tomllib import loads
from typing import Any

import pytest

from ipkit.core.host.build import build_host
from ipkit.core.host.fib import RouteFlag
from ipkit.core.host.kernel import LINUX_6_18
from ipkit.core.host.words import ip_protocol
from ipkit.core.lookup import Question, ask, fibmatch_lines, iproute2_lines
from ipkit.core.route import InputFlow, OutputFlow, Refused, ip_route_input_noref, ipv4_update_pmtu
from ipkit.core.state.routing import Routing, routing_of
from ipkit.core.wire import ipv4
from tests.kernel.hostfile import from_toml
from tests.kernel.lookups import Lookup
from tests.kernel.recordings import Inject, Observed, Scenario, Step, load
from tests.support.routes import number

LOOKUPS = ("sources", "policy", "ecmp_three_p0", "ecmp_three_p2")
FRAMES = (
    "martians_rp0", "martians_rp1", "rpf_all0_dev0", "rpf_all0_dev1", "rpf_all0_dev2", "rpf_all1_dev0", "rpf_all1_dev2",
    "accept_local", "route_types", "fwd_noroute", "fwd_off", "fwd_off_if", "fwd_off_out", "policy", "sources",
    "ecmp_equal2_p0", "ecmp_equal2_p1", "ecmp_seed1", "ecmp_three_p0", "ecmp_three_p2", "ecmp_w13_p0", "ecmp_w13_p1",
)  # fmt: skip
ROUTING_DROPS = frozenset(
    {"IP_RPFILTER", "IP_INVALID_SOURCE", "IP_INVALID_DEST", "IP_LOCALNET", "IP_LOCAL_SOURCE", "IP_INADDRERRORS",
     "IP_INNOROUTES"}
)  # fmt: skip
"""Reasons that nothing but routing gives."""


@cache
def routing(name: str) -> Routing:
    return routing_of(build_host(loads(load(name).host), file=name, kernel=LINUX_6_18))


def question(lookup: Lookup) -> Question:
    return Question(
        number(lookup.dst), number(lookup.src) if lookup.src else 0, lookup.iif or "", lookup.oif or "", lookup.tos,
        lookup.mark, ip_protocol(lookup.ipproto or "udp"), lookup.sport, lookup.dport,
    )  # fmt: skip


def asked(names: tuple[str, ...]) -> Iterator[Any]:
    for name in names:
        for step in load(name).steps:
            of_the_tool = str(step.seen.answer).startswith(("Cannot find", "Error:"))
            if isinstance(step.action, Lookup) and not of_the_tool:
                yield pytest.param(name, step, id=f"{name}-{step.number}")


def words_of(answer: dict[str, Any]) -> str:
    """Put a recorded JSON answer into the line that iproute2 prints for it."""
    kind = "" if answer["type"] == "unicast" else f"{answer['type']} "
    parts = [f"{kind}{answer['dst']}"]
    parts += [f"from {answer['from']}"] if "from" in answer else []
    parts += [f"via {answer['gateway']}"] if "gateway" in answer else []
    parts += [f"dev {answer['dev']}"]
    parts += [f"table {answer['table']}"] if answer.get("table", "main") != "main" else []
    parts += [f"src {answer['prefsrc']}"] if "prefsrc" in answer else []
    parts += answer["flags"]
    parts += [f"mark {answer['mark'] if answer['mark'] < 16 else hex(answer['mark'])}"] if "mark" in answer else []
    parts += ["uid 0"] if "uid" in answer else []
    cache_words = [f"<{','.join(answer['cache'])}>"] if answer["cache"] else []
    cache_words += [f"{name} {value}" for name, value in answer.get("metrics", [{}])[0].items()]
    cache_words += [f"iif {answer['iif']}"] if "iif" in answer else []
    return " ".join(parts) + " \n    cache " + "".join(f"{word} " for word in cache_words) + "\n"


def matched_words(answer: dict[str, Any]) -> str:
    kind = "" if answer["type"] == "unicast" else f"{answer['type']} "
    parts = [f"{kind}{answer['dst']}"]
    parts += [f"via {answer['gateway']}"] if "gateway" in answer else []
    parts += [f"dev {answer['dev']}"]
    parts += [f"table {answer['table']}"] if answer["table"] != "main" else []
    parts += [f"proto {answer['protocol']}"] if answer["protocol"] != "boot" else []
    parts += [f"scope {answer['scope']}"] if answer["scope"] != "global" else []
    parts += [f"src {answer['prefsrc']}"] if "prefsrc" in answer else []
    return " ".join(parts) + " \n"


@pytest.mark.parametrize(("name", "step"), list(asked(LOOKUPS)))
def test_a_lookup_is_answered_as_recorded(name: str, step: Step) -> None:
    assert isinstance(step.action, Lookup)
    answer = ask(question(step.action), routing(name))
    if isinstance(step.seen.answer, str):
        assert errorcode[answer.errno] == step.seen.answer
    elif step.action.fibmatch:
        assert step.seen.answer is not None
        assert fibmatch_lines(answer).out == matched_words(step.seen.answer)
    else:
        assert step.seen.answer is not None
        assert iproute2_lines(question(step.action), answer).out == words_of(step.seen.answer)


def frames(names: tuple[str, ...]) -> Iterator[Any]:
    for name in names:
        scenario = load(name)
        for step in scenario.steps:
            if isinstance(step.action, Inject) and routing_decides(scenario, step):
                yield pytest.param(name, step, id=f"{name}-{step.number}")


def routing_decides(scenario: Scenario, step: Step) -> bool:
    """Tell whether routing decides over a frame: an IPv4 unicast frame whose header nothing refuses first."""
    assert isinstance(step.action, Inject)
    frame = step.action.frame
    refused_before = {"InHdrErrors", "InTruncatedPkts", "InCsumErrors"}
    own = next(link for link in from_toml(scenario.host).links if link.name == step.action.dev)
    mine = frame[:6] == bytes.fromhex((own.address or "").replace(":", ""))
    counted = {name.removeprefix("IpExt").removeprefix("Ip") for name in step.seen.counters}
    return frame[12:14] == b"\x08\x00" and frame[14] == 0x45 and mine and not counted & refused_before


def flow_of(step: Step) -> InputFlow:
    assert isinstance(step.action, Inject)
    data = step.action.frame[14:]
    header = ipv4.read(data)
    return InputFlow(
        header.daddr, header.saddr, header.tos, step.action.dev, header.protocol, data=data[: header.tot_len]
    )


def seen_of(seen: Observed) -> str:
    """Say what became of a frame, as far as routing decided it."""
    reasons = [reason for reason, _ in seen.drops if reason in ROUTING_DROPS]
    if reasons:
        return reasons[0]
    if ("IpForwDatagrams" in seen.counters) or (3, 1) in seen.icmp_send or (3, 13) in seen.icmp_send:
        icmp = [f"icmp {kind}/{code}" for kind, code in seen.icmp_send if kind == 3 and code in (1, 13)]
        return icmp[0] if icmp else "forward"
    if "IpInDelivers" in seen.counters:
        return "local"
    return "dropped"


@pytest.mark.parametrize(("name", "step"), list(frames(FRAMES)))
def test_a_frame_goes_where_it_went(name: str, step: Step) -> None:
    route = ip_route_input_noref(flow_of(step), routing(name))
    seen = seen_of(step.seen)
    if isinstance(route, Refused):
        assert (route.reason.value if route.reason.value in ROUTING_DROPS else "dropped") == seen
    elif route.errno:
        forwards = routing(name).host.links[flow_of(step).iif].conf.forwarding
        expected = {"ENETUNREACH": "IP_INNOROUTES", "EHOSTUNREACH": "icmp 3/1", "EACCES": "icmp 3/13"}
        assert (expected.get(errorcode[route.errno], "dropped") if forwards else "IP_INADDRERRORS") == seen
    elif route.flags & RouteFlag.LOCAL:
        assert seen == "local"
    else:
        assert seen == "forward"
        gone = [frame for frame in step.seen.out if frame.data[12:14] == b"\x08\x00" and frame.data[23] != 1]
        assert {frame.dev for frame in gone} <= {route.dev}
        if (5, 1) in step.seen.icmp_send:  # and no conclusion where none was sent: redirects have a limit of their own
            assert route.flags & RouteFlag.DOREDIRECT


PATH_MTUS = ("pmtu_fwd", "pmtu_fwd_use")


@pytest.mark.parametrize("name", PATH_MTUS)
def test_path_mtus_are_learnt_as_recorded(name: str) -> None:
    """Fragmentation-needed messages in, `ip route get` after each: the metrics it prints."""
    host = routing_of(build_host(loads(load(name).host), file=name, kernel=LINUX_6_18))
    seen = 0
    for step in load(name).steps:
        if isinstance(step.action, Inject):
            learn_from(step.action.frame[14:], host)
        elif isinstance(step.action, Lookup) and isinstance(step.seen.answer, dict):
            line = iproute2_lines(question(step.action), ask(question(step.action), host)).out
            mtu = step.seen.answer.get("metrics", [{}])[0].get("mtu")
            assert ("mtu" in line, "expires" in line) == (mtu is not None, "expires" in step.seen.answer)
            assert mtu is None or f"{mtu} " in line
            seen += 1
    assert seen == {"pmtu_fwd": 17, "pmtu_fwd_use": 10}[name]


def learn_from(data: bytes, host: Routing) -> None:
    """Hand over what a fragmentation-needed message says, if it is one."""
    at = ipv4.read(data).header_bytes
    if data[9] == 1 and data[at : at + 2] == b"\x03\x04":
        quoted = ipv4.read(data, at + 8)
        flow = OutputFlow(quoted.daddr, quoted.saddr, quoted.tos, protocol=quoted.protocol)
        ipv4_update_pmtu(host, flow, int.from_bytes(data[at + 6 : at + 8], "big"))
