"""ipkit send: a message by the local output path, or a capture back on a wire."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from ipkit.commands._options import (
    CaptureOptions,
    HostOptions,
    ReportOptions,
    capture_options,
    host_options,
    report_options,
    seed_option,
)
from ipkit.commands._send_run import Aim, Replaying, run_messages, run_replay, with_mtu
from ipkit.commands._send_words import (
    MODES,
    AddressParam,
    ProtocolParam,
    WriteOption,
    control_of,
    options_of,
    refuse_strangers,
    writes_of,
)
from ipkit.core.replay import TooLong
from ipkit.core.send import After, Destination, SendOrder, Via
from ipkit.errors import ExitStatus

LIVE = "live"
MESSAGE_ONLY = (
    *(
        "saddr",
        "connect",
        "protocol",
        "sport",
        "dport",
        "data",
        "data_hex",
        "data_file",
        "more",
        "size",
        "ttl",
        "tos",
        "ip_options",
        "pmtudisc",
    ),
    *("gso_size", "via", "cmsgs", "sockopts", "layout", "host_source", "sysctls", "seed"),
)
REPLAY_ONLY = ("topspeed", "pps", "multiplier", "fragment")

ADDRESS = AddressParam()
PORT = click.IntRange(0, 65535)


@click.command("send")
@click.option("--dst", "daddr", type=ADDRESS, metavar="A", help="Send a message there.")
@click.option("--connect", is_flag=True, help="Connect the socket first.")
@click.option("--src", "saddr", type=ADDRESS, default=0, show_default=False, metavar="A", help="From this address.")
@click.option(
    "--proto", "protocol", type=ProtocolParam(), default="udp", metavar="P", help="udp (default), icmp, tcp, N."
)
@click.option("--sport", type=PORT, default=0, show_default=False, metavar="N", help="Source port (default: by seed).")
@click.option("--dport", type=PORT, default=9, metavar="N", help="Destination port (default: 9).")
@click.option("--data", cls=WriteOption, multiple=True, metavar="TEXT", help="One write (repeatable).")
@click.option("--hex", "data_hex", cls=WriteOption, multiple=True, metavar="HEX", help="One write, as hex digits.")
@click.option("--file", "data_file", cls=WriteOption, multiple=True, metavar="FILE", help="One write, from a file.")
@click.option("--more", is_flag=True, help="Announce more after the last write, too: nothing leaves.")
@click.option("--size", type=click.IntRange(0, 1 << 24), metavar="N", help="N bytes of a pattern, in place of data.")
@click.option("--ttl", type=int, metavar="N", help="IP_TTL.")
@click.option("--tos", type=int, metavar="N", help="IP_TOS.")
@click.option("--option", "ip_options", multiple=True, metavar="SPEC", help="An IP option: rr, ts, lsrr:A,B, ...")
@click.option("--pmtudisc", type=click.Choice(MODES), help="IP_MTU_DISCOVER (default: by the host's sysctl).")
@click.option("-m", "--mtu", type=click.IntRange(68, 65535), metavar="MTU", help="In place of the device's.")
@click.option("--gso-size", type=int, metavar="N", help="UDP_SEGMENT.")
@click.option("--via", type=click.Choice([via.value for via in Via]), default="auto", help="The way down (auto).")
@click.option("--cmsg", "cmsgs", multiple=True, metavar="SPEC", help="A control message, NAME=VALUE.")
@click.option("--sockopt", "sockopts", multiple=True, metavar="NAME=VALUE", help="A socket option.")
@click.option("--layout", is_flag=True, help="Show the buffers that ip_append_data built.")
@click.option("-i", "--interface", "dev", metavar="DEV", help="Put the frames on this device.")
@click.option("--topspeed", is_flag=True, help="Replay: one frame right behind the other.")
@click.option("--pps", type=click.FloatRange(min=0, min_open=True), metavar="N", help="Replay: N frames a second.")
@click.option("--multiplier", type=click.FloatRange(min=0, min_open=True), metavar="X", help="Replay: X times as fast.")
@click.option("--loop", type=click.IntRange(min=1), default=1, metavar="N", help="Do it all N times.")
@click.option("--fragment", is_flag=True, help="Replay: cut what is longer than the MTU.")
@seed_option
@host_options
@capture_options
@report_options()
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    host: HostOptions,
    captures: CaptureOptions,
    report: ReportOptions,
    dev: str | None,
    **given: Any,
) -> ExitStatus:
    """Send a message by the kernel's output path, or replay captures.

    Nothing leaves without -i: the frames go to -w, or the plan is printed. Exit status 1: something did not leave.
    """
    aim = Aim(captures.write, dev, report)
    if given["daddr"] is None:
        refuse_strangers(ctx, MESSAGE_ONLY, "is about a message: say where to with --dst")
        return run_replay(_replaying(captures, host, given), aim)
    if captures.files:
        raise click.UsageError("--dst sends a message and FILE replays a capture: not both", ctx)
    refuse_strangers(ctx, REPLAY_ONLY, "is about replaying a capture")
    if dev is not None and host.source is None:
        host = replace(host, source=LIVE)
    machine = with_mtu(host.load(), given["mtu"])
    order = SendOrder(
        daddr=given["daddr"],
        dport=given["dport"],
        saddr=given["saddr"],
        sport=given["sport"],
        protocol=given["protocol"],
        writes=writes_of(ctx, given["size"]),
        after=After.HOLD if given["more"] else After.PUSH,
        destination=Destination.CONNECTED if given["connect"] else Destination.WITH_EACH_CALL,
        via=Via(given["via"]),
        options=options_of(given, machine),
        control=control_of(given["cmsgs"], machine),
        repeat=min(given["loop"], captures.count or given["loop"]),
        seed=given["seed"],
    )
    return run_messages(order, machine, aim, layout=given["layout"])


def _replaying(captures: CaptureOptions, host: HostOptions, given: dict[str, Any]) -> Replaying:
    from ipkit.edge.wire_sender import Pace

    chosen = [name for name in ("topspeed", "pps", "multiplier") if given[name]]
    if len(chosen) > 1:
        raise click.UsageError(f"--{chosen[0]} and --{chosen[1]} cannot both set the pace")
    multiplier = 0 if given["topspeed"] or given["pps"] else given["multiplier"] or 1
    pace = Pace(per_second=given["pps"] or 0, multiplier=multiplier)
    too_long = TooLong.FRAGMENTED if given["fragment"] else TooLong.REFUSED
    return Replaying(captures, pace, given["loop"], given["mtu"], too_long, host.kernel)
