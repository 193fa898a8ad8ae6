"""Options of answers: what of a packet's options comes back, and what is written into them.

The literals with 192.0.2 addresses are what kernel 6.18 was seen to answer.
"""

from __future__ import annotations

import pytest

from ipkit.core.ip_options import ip_options_build, ip_options_echo
from ipkit.core.skbuff import IpOptions
from tests.support.packets import ip

US = 0xC0000201  # 192.0.2.1
TIME = 0x01C5B96A


def ours(address: int) -> bool:
    return address == US


def echoed(options: str, found: IpOptions, *, src: str = "192.0.2.9") -> tuple[str, IpOptions] | None:
    """Return the options of the answer as they leave, in hexadecimal, and what was noted of them."""
    data = bytes.fromhex(options)
    answer = ip_options_echo(ip(options=data, src=src)[: 20 + len(data)], found, ours)
    if answer is None:
        return None
    return ip_options_build(answer, 0xC0000209, US, TIME).hex(" ", 4), answer.places


def text(options: str, found: IpOptions, *, src: str = "192.0.2.9") -> str | None:
    answer = echoed(options, found, src=src)
    return answer and answer[0].replace(" ", "")


RR_AND_TS = IpOptions(optlen=24, ts=20, ts_needtime=True, rr=32, rr_needaddr=True)
CASES = [
    ("nothing", "", IpOptions(), ""),
    (
        "record route continued, then the timestamp",
        "440c0900 01c5b96a 00000000 070b08c0 00020100 00000000",
        RR_AND_TS,
        "070b0cc0000201c0000201440c0d0001c5b96a01c5b96a00",
    ),
    ("a full record route", "070708c0 00020100", IpOptions(rr=20), "070708c000020100"),
    ("a record route nobody filled here", "0707040000000000", IpOptions(rr=20), "0707040000000000"),
    (
        "timestamps with addresses",
        "44140d01 c0000201 01c5b978 00000000 00000000",
        IpOptions(ts=20, ts_needaddr=True, ts_needtime=True),
        "44141501c000020101c5b978c000020101c5b96a",
    ),
    (
        "prescribed, the next address is ours",
        "44140503 c0000201 00000000 c0000202 00000000",
        IpOptions(ts=20, ts_needtime=True),
        "44140d03c000020101c5b96ac000020200000000",
    ),
    (
        "prescribed, the next address is another's",
        "44140503 c0000202 00000000 c0000201 00000000",
        IpOptions(ts=20, ts_needtime=True),
        "44140503c000020200000000c000020100000000",
    ),
    (
        "a source route is taken back",
        "830b0c cb007101 c00002fe 00",
        IpOptions(srr=20),
        "830b04cb007101c000020900",
    ),
    (
        "a source route of which one hop was visited",
        "890b08 cb007101 c00002fe 00",
        IpOptions(srr=20, is_strictroute=True),
        "890704c000020900",
    ),
    ("a source route of which nothing was visited", "830b04 cb007101 c00002fe 00", IpOptions(srr=20), ""),
    ("a pointer far past the end", "8307ff cb007101 00", IpOptions(srr=20), "830704c000020900"),
    ("router alert, stream id and unknown ones", "94040000 88041234 1e02 0101", IpOptions(router_alert=20), ""),
    (
        "CIPSO, last and padded",
        "8606 00000001 070708c0000201 000000",
        IpOptions(cipso=20, rr=26),
        "070708c000020186060000000100 0000".replace(" ", ""),
    ),
]


@pytest.mark.parametrize(("given", "found", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_what_comes_back(given: str, found: IpOptions, expected: str) -> None:
    assert text(given, found) == expected


def test_the_way_back_begins_at_the_last_hop() -> None:
    answer = echoed("890b0c cb007101 c00002fe 00", IpOptions(srr=20, is_strictroute=True))
    assert answer is not None
    places = answer[1]
    assert (places.faddr, places.srr, places.is_strictroute, places.optlen) == (0xC00002FE, 20, True, 12)


def test_a_sender_that_recorded_itself_is_visited_once() -> None:
    assert text("830b0c cb007101 c00002fe 00", IpOptions(srr=20), src="203.0.113.1") == "830704c000020900"
    assert text("830708 cb007101 00", IpOptions(srr=20), src="203.0.113.1") == ""


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("070b09 00000000 00000000 00", IpOptions(rr=20, rr_needaddr=True)),
        ("440c0a00 00000000 00000000", IpOptions(ts=20, ts_needtime=True)),
        ("440c0a01 00000000 00000000", IpOptions(ts=20, ts_needaddr=True, ts_needtime=True)),
        ("440c0901 00000000 00000000", IpOptions(ts=20, ts_needaddr=True, ts_needtime=True)),
    ],
)
def test_without_a_clean_slot_there_is_no_answer(given: str, found: IpOptions) -> None:
    assert text(given, found) is None
