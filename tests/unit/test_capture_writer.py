"""The capture writer: untouched is untouched, changed is encoded in kind, and a target is whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ipkit.core.frames import Frame
from ipkit.edge.capture_reader import CaptureStream
from ipkit.edge.capture_writer import CaptureWriter
from ipkit.errors import CaptureError, WriteError
from tests.support.captures import (
    FIRST_NS,
    Blocks,
    Captured,
    Interface,
    gzip_bytes,
    pcap_bytes,
    pcap_header,
    pcapng_bytes,
)

BLOCKS = Blocks()
FRAMES: list[bytes | Captured] = [
    Captured(b"\x01" * 60, FIRST_NS + 123_456_789),
    Captured(b"", FIRST_NS),
    Captured(b"\x02" * 91, FIRST_NS + 999_999_999, on_wire=1514, comment="cut"),
    Captured(b"\x03" * 70_000, 0),
]
DROP: Sequence[Frame] = ()


def pcapng_with_snaplen(frames: Sequence[bytes], snaplen: int) -> bytes:
    return pcapng_bytes(frames, interfaces=[Interface(snaplen=snaplen)])


def copied(
    folder: Path, *captures: bytes, name: str = "out", drop: Sequence[int] = (), frames: Sequence[Frame] = ()
) -> bytes:
    """Send captures through reader and writer, without the rows to drop and with frames at the end."""
    names = []
    for number, capture in enumerate(captures):
        path = folder / f"in{number}"
        path.write_bytes(capture)
        names.append(str(path))
    with CaptureWriter(str(folder / name)) as writer:
        for batch in CaptureStream(names):
            first = batch.first_number - 1
            writer.write_batch(batch, {row: DROP for row in range(len(batch)) if first + row in drop})
        for frame in frames:
            writer.write_frame(frame)
        writer.commit()
    return (folder / name).read_bytes()


def rows(folder: Path, capture: bytes) -> list[Frame]:
    path = folder / "rows"
    path.write_bytes(capture)
    return [batch.frame(row) for batch in CaptureStream([str(path)]) for row in range(len(batch))]


def changed(
    folder: Path, capture: bytes, changes: Mapping[int, Sequence[Mapping[str, Any]]], name: str = "out"
) -> bytes:
    """Send a capture through with some frames replaced: per row, the fields that differ of each frame in its place."""
    path = folder / "in"
    path.write_bytes(capture)
    with CaptureWriter(str(folder / name)) as writer:
        for batch in CaptureStream([str(path)]):
            first = batch.first_number - 1
            here = {row - first: fields for row, fields in changes.items() if 0 <= row - first < len(batch)}
            writer.write_batch(
                batch, {row: [batch.frame(row)._replace(**each) for each in fields] for row, fields in here.items()}
            )
        writer.commit()
    return (folder / name).read_bytes()


def made(data: bytes, **fields: Any) -> Frame:
    return Frame("", 0, FIRST_NS, data, len(data), 1, None)._replace(**fields)


def odd_pcapng(*, big_endian: bool = False) -> bytes:
    """Return a capture with everything that pcapng has to offer."""
    blocks = Blocks(big_endian=big_endian)
    packet_options = [(1, b"one"), (2, blocks.pack("I", 1)), (1, b"two"), (0x8001, b"\1\2\3"), (2988, bytes(5))]
    return b"".join(
        [
            blocks.section(length=3000, options=[(4, b"dumper"), (1, b"capture")]),
            blocks.block(10, b"secrets"),
            blocks.interface(Interface(name="eth0", tsresol=9, comment="up", snaplen=0)),
            blocks.interface(Interface(link_type=101, tsresol=0x80 | 30, tsoffset=1)),
            blocks.block(4, b"names"),
            blocks.packet(b"a" * 61, 2**40 + 1, options=packet_options, on_wire=99),
            blocks.block(0x0BAD, b"custom"),
            blocks.packet(b"b" * 63, 5, interface=1),
            blocks.simple_packet(b"c" * 7),
            blocks.obsolete_packet(b"d" * 5, 2**64 - 1, interface=1, drops=3),
            blocks.block(5, bytes(12)),
            blocks.section(),
            blocks.block(5, bytes(12)),
            blocks.interface(Interface(name="eth0")),
            blocks.packet(b"e", 9),
            blocks.interface(Interface(name="eth1")),
            blocks.packet(b"f", 10, interface=1),
            blocks.block(5, bytes(12)),
        ]
    )


ALL_KINDS = {
    "pcap": pcap_bytes(FRAMES),
    "pcap big": pcap_bytes(FRAMES, big_endian=True),
    "pcap nano": pcap_bytes(FRAMES, nano=True, snaplen=96),
    "pcap nano big": pcap_bytes(FRAMES, big_endian=True, nano=True, link_type=101),
    "pcap with fcs bits": pcap_bytes(FRAMES, link_type=0x24000001),
    "pcap link type 0": pcap_bytes(FRAMES, link_type=0),
    "pcap without frames": pcap_bytes([]),
    "pcap, odd": pcap_header() + BLOCKS.pack("IIII", 2**32 - 1, 2**32 - 1, 4, 1) + b"1234",
    "pcapng": pcapng_bytes(FRAMES),
    "pcapng big": pcapng_bytes(FRAMES, big_endian=True, interfaces=[Interface(name="x", tsresol=9)]),
    "pcapng without frames": pcapng_bytes([], interfaces=[Interface(name="x"), Interface(name="y")]),
    "pcapng without interfaces": pcapng_bytes([], interfaces=[]),
    "pcapng, odd": odd_pcapng(),
    "pcapng, odd, big": odd_pcapng(big_endian=True),
    "pcapng, two byte orders": odd_pcapng() + odd_pcapng(big_endian=True),
}


class TestUntouched:
    @pytest.mark.parametrize("kind", ALL_KINDS)
    @pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
    def test_bit_for_bit(self, tmp_path: Path, kind: str, packed: bool) -> None:
        capture = ALL_KINDS[kind]
        assert copied(tmp_path, gzip_bytes(capture) if packed else capture) == capture

    @pytest.mark.parametrize("kind", ALL_KINDS)
    def test_frame_by_frame(self, tmp_path: Path, kind: str) -> None:
        """Rows replaced by themselves, one by one, are the rows that were there."""
        capture = ALL_KINDS[kind]
        count = len(rows(tmp_path, capture))
        again = changed(tmp_path, capture, {row: [{}] for row in range(count)})
        assert again == capture.replace(BLOCKS.pack("q", 3000), BLOCKS.pack("q", -1)).replace(
            Blocks(big_endian=True).pack("q", 3000), BLOCKS.pack("q", -1)
        )

    @pytest.mark.parametrize("kind", [kind for kind in ALL_KINDS if kind.startswith("pcapng")])
    def test_a_pcapng_name(self, tmp_path: Path, kind: str) -> None:
        assert copied(tmp_path, ALL_KINDS[kind], name="out.pcapng") == ALL_KINDS[kind]

    @pytest.mark.parametrize("kind", [kind for kind in ALL_KINDS if kind.startswith("pcapng")])
    def test_a_pcap_name_does_not_change_the_kind(self, tmp_path: Path, kind: str) -> None:
        assert copied(tmp_path, ALL_KINDS[kind], name="out.pcap") == ALL_KINDS[kind]

    @pytest.mark.parametrize("kind", ["pcap", "pcapng"])
    def test_output_onto_the_input(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / "a"
        path.write_bytes(ALL_KINDS[kind])
        with CaptureWriter(str(path)) as writer:
            for batch in CaptureStream([str(path)]):
                writer.write_batch(batch, {0: DROP} if batch.first_number == 1 else {})
            writer.commit()
        assert [frame.data for frame in rows(tmp_path, path.read_bytes())] == [
            frame.data for frame in FRAMES[1:] if isinstance(frame, Captured)
        ]

    def test_several_pcaps_are_one(self, tmp_path: Path) -> None:
        again = copied(tmp_path, pcap_bytes([b"1"]), pcap_bytes([b"2"]), pcap_bytes([b"3"], big_endian=True))
        assert again == pcap_bytes([Captured(data) for data in (b"1", b"2", b"3")])

    def test_several_pcapngs_keep_their_sections(self, tmp_path: Path) -> None:
        assert copied(tmp_path, odd_pcapng(), odd_pcapng(big_endian=True)) == odd_pcapng() + odd_pcapng(big_endian=True)

    def test_good_frames_before_damage(self, tmp_path: Path) -> None:
        path = tmp_path / "in"
        path.write_bytes(odd_pcapng()[:-1])
        with CaptureWriter(str(tmp_path / "out")) as writer:
            with suppress(CaptureError):
                for batch in CaptureStream([str(path)]):
                    writer.write_batch(batch, {})
            writer.commit()
        assert (tmp_path / "out").read_bytes() == odd_pcapng()[:-24]


class TestChanged:
    """Only what changed is encoded anew; time, interface, comments and options stay."""

    @pytest.mark.parametrize("big_endian", [False, True], ids=["little", "big"])
    @pytest.mark.parametrize("nano", [False, True], ids=["micro", "nano"])
    def test_pcap(self, tmp_path: Path, big_endian: bool, nano: bool) -> None:
        frames = [Captured(b"1" * 60), Captured(b"2" * 60, on_wire=99), Captured(b"3" * 60)]
        again = changed(
            tmp_path,
            pcap_bytes(frames, big_endian=big_endian, nano=nano),
            {1: [{"data": b"new"}, {"data": b"more", "on_wire": 4, "tstamp_ns": FIRST_NS + 1_000}], 2: []},
        )
        expected = [frames[0], Captured(b"new", on_wire=99), Captured(b"more", FIRST_NS + 1_000)]
        assert again == pcap_bytes(expected, big_endian=big_endian, nano=nano)

    def test_an_odd_time_of_a_changed_frame_stays(self, tmp_path: Path) -> None:
        odd = BLOCKS.pack("II", 2**32 - 1, 2**32 - 1)
        again = changed(tmp_path, pcap_header() + odd + BLOCKS.pack("II", 1, 1) + b"x", {0: [{"data": b"y"}]})
        assert again == pcap_header() + odd + BLOCKS.pack("II", 1, 1) + b"y"

    @pytest.mark.parametrize("big_endian", [False, True], ids=["little", "big"])
    def test_enhanced_packet(self, tmp_path: Path, big_endian: bool) -> None:
        blocks = Blocks(big_endian=big_endian)
        begin = blocks.section() + blocks.interface(Interface()) + blocks.interface(Interface(name="x", tsresol=9))
        said = [(1, b"comment"), (2, blocks.pack("I", 1))]
        stored = blocks.packet(b"a" * 61, 77, interface=1, on_wire=99, options=said)
        again = changed(
            tmp_path,
            begin + stored,
            {
                0: [
                    {"data": b"new"},
                    {"tstamp_ns": 78},
                    {"on_wire": 100},
                    {"keeps_options": False},
                    {"data": b"second", "keeps_options": False},
                ]
            },
        )
        assert again == begin + b"".join(
            [
                blocks.packet(b"new", 77, interface=1, on_wire=99, options=said),
                blocks.packet(b"a" * 61, 78, interface=1, on_wire=99, options=said),
                blocks.packet(b"a" * 61, 77, interface=1, on_wire=100, options=said),
                blocks.packet(b"a" * 61, 77, interface=1, on_wire=99),
                blocks.packet(b"second", 77, interface=1, on_wire=99),
            ]
        )

    def test_a_hash_of_other_bytes_is_not_kept(self, tmp_path: Path) -> None:
        begin = BLOCKS.section() + BLOCKS.interface(Interface())
        said = [(1, b"comment"), (3, b"\2" + bytes(4))]
        stored = begin + BLOCKS.packet(b"old", 1, options=said)
        assert changed(tmp_path, stored, {0: [{"data": b"new"}, {"on_wire": 9}]}) == begin + BLOCKS.packet(
            b"new", 1, options=said[:1], on_wire=3
        ) + BLOCKS.packet(b"old", 1, options=said, on_wire=9)

    def test_obsolete_packet(self, tmp_path: Path) -> None:
        begin = BLOCKS.section() + BLOCKS.interface(Interface(name="x"))
        again = changed(
            tmp_path,
            begin + BLOCKS.obsolete_packet(b"old", 2**64 - 1, drops=7),
            {0: [{"data": b"fresh", "on_wire": 5}]},
        )
        assert again == begin + BLOCKS.obsolete_packet(b"fresh", 2**64 - 1, drops=7)

    def test_simple_packet(self, tmp_path: Path) -> None:
        begin = BLOCKS.section() + BLOCKS.interface(Interface(snaplen=8))
        again = changed(
            tmp_path,
            begin + BLOCKS.simple_packet(b"12345678", 60),
            {0: [{"data": b"abcdefgh"}, {"data": b"abc"}, {"data": b"abc", "on_wire": 3}, {"tstamp_ns": 5_000}]},
        )
        assert again == begin + b"".join(
            [
                BLOCKS.simple_packet(b"abcdefgh", 60),
                BLOCKS.packet(b"abc", 0, on_wire=60),
                BLOCKS.simple_packet(b"abc"),
                BLOCKS.packet(b"12345678", 5, on_wire=60),
            ]
        )

    def test_what_stood_before_a_dropped_packet_stays(self, tmp_path: Path) -> None:
        names = BLOCKS.block(4, b"names")
        interface = BLOCKS.interface(Interface())
        packets = [BLOCKS.packet(data, 1) for data in (b"0", b"1", b"2")]
        capture = b"".join(
            [BLOCKS.section(), names, interface, packets[0], names, packets[1], names, packets[2], names]
        )
        assert copied(tmp_path, capture, drop=[0]) == capture.replace(packets[0], b"")
        assert copied(tmp_path, capture, drop=[1]) == capture.replace(packets[1], b"")
        gone = capture.replace(packets[0], b"").replace(packets[1], b"").replace(packets[2], b"")
        assert copied(tmp_path, capture, drop=[0, 1, 2]) == gone

    def test_a_late_frame(self, tmp_path: Path) -> None:
        capture = pcapng_bytes([b"1", b"2"], interfaces=[Interface(name="x")])
        late = rows(tmp_path, capture)[0]
        assert copied(tmp_path, capture, drop=[0], frames=[late]) == capture[:-72] + capture[-36:] + capture[-72:-36]


class TestSnapLength:
    """No reader cuts or refuses a frame that grew: libpcap would."""

    @pytest.mark.parametrize("big_endian", [False, True], ids=["little", "big"])
    def test_pcap(self, tmp_path: Path, big_endian: bool) -> None:
        capture = pcap_bytes([b"1" * 96, b"2" * 96], snaplen=96, big_endian=big_endian)
        grown = {"data": b"x" * 200, "on_wire": 200}
        again = changed(tmp_path, capture, {1: [grown]})
        assert again == pcap_bytes([b"1" * 96, b"x" * 200], snaplen=200, big_endian=big_endian)

    @pytest.mark.parametrize("big_endian", [False, True], ids=["little", "big"])
    def test_pcapng(self, tmp_path: Path, big_endian: bool) -> None:
        def capture(second: bytes, snaplen: int) -> bytes:
            both = [Interface(snaplen=snaplen), Interface(name="x", snaplen=snaplen), Interface(snaplen=0)]
            return pcapng_bytes([b"1" * 96, second], big_endian=big_endian, interfaces=both)

        again = changed(tmp_path, capture(b"2" * 96, 96), {1: [{"data": b"x" * 200, "on_wire": 200}]})
        assert again == capture(b"x" * 200, 200)

    @pytest.mark.parametrize("kind", [pcap_bytes, pcapng_with_snaplen])
    def test_frames_beyond_it_in_the_input_are_left_alone(self, tmp_path: Path, kind: Callable[..., bytes]) -> None:
        again = changed(tmp_path, kind([b"1" * 200, b"2"], snaplen=96), {0: [{"data": b"x" * 200}]})
        assert again == kind([b"x" * 200, b"2"], snaplen=96)

    def test_frames_of_another_file_fit_the_snap_length(self, tmp_path: Path) -> None:
        short, long = pcap_bytes([b"1"], snaplen=96), pcap_bytes([b"2", b"3" * 97], snaplen=200)
        assert copied(tmp_path, short, long)[:24] == pcap_header(snaplen=97)
        assert copied(tmp_path, short, long, drop=[1])[:24] == pcap_header(snaplen=96)


NANO = Interface(tsresol=9)


class TestOtherKind:
    @pytest.mark.parametrize("big_endian", [False, True], ids=["little", "big"])
    def test_pcap_into_pcapng(self, tmp_path: Path, big_endian: bool) -> None:
        frames = [Captured(b"1" * 61, FIRST_NS + 1), Captured(b"2", 2**32 * 10**9 - 1, on_wire=9)]
        capture = pcap_bytes(frames, big_endian=big_endian, nano=True, link_type=101, snaplen=96)
        interface = Interface(link_type=101, snaplen=96, tsresol=9)
        assert copied(tmp_path, capture, name="out.pcapng") == pcapng_bytes(frames, interfaces=[interface])

    def test_link_type_0(self, tmp_path: Path) -> None:
        again = copied(tmp_path, pcap_bytes([b"1"], link_type=0), name="out.pcapng")
        assert again == pcapng_bytes([b"1"], interfaces=[Interface(link_type=0, tsresol=9)])

    def test_an_empty_pcap_into_pcapng(self, tmp_path: Path) -> None:
        again = copied(tmp_path, pcap_bytes([], link_type=113, snaplen=5), name="out.pcapng")
        assert again == pcapng_bytes([], interfaces=[Interface(link_type=113, snaplen=5, tsresol=9)])

    def test_changed_frames_of_a_pcap(self, tmp_path: Path) -> None:
        again = changed(tmp_path, pcap_bytes([b"1", b"2"]), {0: [{"data": b"x"}, {"data": b"y"}]}, "out.pcapng")
        first = Captured(b"1").time_ns
        frames = [Captured(b"x", first), Captured(b"y", first), Captured(b"2", first + 1_000_000)]
        assert again == pcapng_bytes(frames, interfaces=[NANO])

    def test_several_link_types(self, tmp_path: Path) -> None:
        again = copied(tmp_path, pcap_bytes([b"1"]), pcap_bytes([b"2"], link_type=101), name="out.pcapng")
        ip = Interface(link_type=101, tsresol=9)
        begin = BLOCKS.section() + BLOCKS.interface(NANO) + BLOCKS.packet(b"1", FIRST_NS)
        assert again == begin + BLOCKS.interface(ip) + BLOCKS.packet(b"2", FIRST_NS, interface=1)

    def test_pcapng_then_pcap(self, tmp_path: Path) -> None:
        again = copied(tmp_path, odd_pcapng(), pcap_bytes([b"1"]))
        # The made interface has the snap length of the input's first one.
        assert again[len(odd_pcapng()) :] == pcapng_bytes([b"1"], interfaces=[Interface(tsresol=9, snaplen=0)])

    def test_pcap_then_pcapng_with_nothing_to_lose(self, tmp_path: Path) -> None:
        assert copied(tmp_path, pcap_bytes([b"1"]), pcapng_bytes([b"2"])) == pcap_bytes([b"1", Captured(b"2")])


class TestRefused:
    """What a pcap cannot hold is an error, and the target stays away."""

    @pytest.mark.parametrize(
        ("second", "why"),
        [
            (pcap_bytes([b"2"], link_type=101), "a pcap file holds one link type, not EN10MB and RAW"),
            (
                pcapng_bytes([b"2"], interfaces=[Interface(link_type=113)]),
                "a pcap file holds one link type, not EN10MB and LINUX_SLL",
            ),
            (pcap_bytes([Captured(b"2", FIRST_NS + 1)], nano=True), "microseconds cannot hold the time stamps of {}"),
            (
                pcapng_bytes([Captured(b"2", FIRST_NS + 1)], interfaces=[NANO]),
                "microseconds cannot hold the time stamps of {}",
            ),
            (
                pcapng_bytes([b"2"], interfaces=[Interface(name="x")]),
                "pcap cannot hold the interfaces and comments of {}",
            ),
            (pcapng_bytes([Captured(b"2", comment="c")]), "pcap cannot hold the interfaces and comments of {}"),
        ],
        ids=[
            "link type",
            "link type of an interface",
            "nanoseconds",
            "nanoseconds of an interface",
            "interface",
            "comment",
        ],
    )
    def test_second_input(self, tmp_path: Path, second: bytes, why: str) -> None:
        with pytest.raises(WriteError) as caught:
            copied(tmp_path, pcap_bytes([b"1"]), second)
        why = why.format(tmp_path / "in1")
        assert str(caught.value) == f"{tmp_path}/out: {why}; a name ending in .pcapng can"
        assert not (tmp_path / "out").exists()

    def test_whole_microseconds_in_nanoseconds_are_no_loss(self, tmp_path: Path) -> None:
        again = copied(tmp_path, pcap_bytes([b"1"]), pcap_bytes([b"2"], nano=True))
        assert again == pcap_bytes([b"1", Captured(b"2")])

    @pytest.mark.parametrize("time_ns", [-1, 2**32 * 10**9])
    def test_times_that_pcap_cannot_say(self, tmp_path: Path, time_ns: int) -> None:
        with pytest.raises(WriteError, match=f"a pcap record cannot hold time {time_ns} ns"):
            copied(tmp_path, pcap_bytes([]), frames=[made(b"x", tstamp_ns=time_ns)])

    def test_a_time_that_pcapng_cannot_say(self, tmp_path: Path) -> None:
        with pytest.raises(WriteError, match="a pcapng block cannot hold the time -1 ns"):
            copied(tmp_path, pcapng_bytes([]), frames=[made(b"x", tstamp_ns=-1)])


class TestMade:
    """Frames that no capture stored."""

    def test_without_any_input(self, tmp_path: Path) -> None:
        again = copied(tmp_path, frames=[made(b"1", tstamp_ns=7), made(b"2", on_wire=5)])
        assert again == pcap_bytes([Captured(b"1", 7), Captured(b"2", on_wire=5)], nano=True)

    def test_without_any_input_into_pcapng(self, tmp_path: Path) -> None:
        frames = [made(b"1", interface="a"), made(b"2", interface="b"), made(b"3", interface="a", link_type=101)]
        interfaces = [Interface(name="a", tsresol=9), Interface(name="b", tsresol=9), Interface(101, "a", tsresol=9)]
        parts = [
            block
            for number, interface in enumerate(interfaces)
            for block in (
                BLOCKS.interface(interface),
                BLOCKS.packet(b"123"[number : number + 1], FIRST_NS, interface=number),
            )
        ]
        again = copied(tmp_path, name="out.pcapng", frames=frames)
        assert again == BLOCKS.section() + b"".join(parts)

    def test_a_finer_time_is_cut_to_what_the_input_has(self, tmp_path: Path) -> None:
        again = copied(tmp_path, pcap_bytes([]), frames=[made(b"1", tstamp_ns=FIRST_NS + 1_999)])
        assert again == pcap_bytes([Captured(b"1", FIRST_NS + 1_000)])

    def test_the_header_names_the_link_type_of_what_is_written(self, tmp_path: Path) -> None:
        capture = pcap_bytes([b"1"], link_type=113, nano=True, snaplen=77, big_endian=True)
        again = copied(tmp_path, capture, drop=[0], frames=[made(b"2")])
        assert again == pcap_bytes([Captured(b"2")], nano=True, snaplen=77, big_endian=True)

    def test_a_section_that_nothing_went_into_is_left_out(self, tmp_path: Path) -> None:
        again = copied(tmp_path, odd_pcapng(), drop=range(6), frames=[made(b"1", interface="eth0")])
        assert again == pcapng_bytes([Captured(b"1")], interfaces=[Interface(name="eth0", tsresol=9, snaplen=0)])

    def test_an_interface_of_another_name_is_described(self, tmp_path: Path) -> None:
        capture = pcapng_bytes(
            [Captured(b"1", comment="c"), b"2", b"3"], interfaces=[Interface(name="in")], big_endian=True
        )
        again = changed(tmp_path, capture, {0: [{"interface": "out"}], 1: [{"interface": "out"}]})
        out = pcapng_bytes(
            [Captured(b"1", comment="c"), Captured(b"2", FIRST_NS + 1_000_000)],
            interfaces=[Interface(name="out", tsresol=9)],
            big_endian=True,
        )
        back = pcapng_bytes([Captured(b"3", FIRST_NS + 2_000_000)], interfaces=[Interface(name="in")], big_endian=True)
        assert again == out + back

    def test_options_in_the_other_byte_order(self, tmp_path: Path) -> None:
        big = Blocks(big_endian=True)
        said: dict[int, bytes | int] = {
            1: b"comment",
            2: 4,
            3: b"\2" + bytes(4),
            4: 8,
            5: 8,
            6: 4,
            7: b"\1verdict",
            2988: 4,
        }

        def options(blocks: Blocks) -> list[tuple[int, bytes]]:
            form = {4: "I", 8: "Q"}
            return [
                (
                    code,
                    value
                    if isinstance(value, bytes)
                    else blocks.pack(form[value], 0x01020304) + b"tail" * (code > 100),
                )
                for code, value in said.items()
            ]

        capture = big.section() + big.interface(Interface(tsresol=9)) + big.packet(b"1", 5, options=options(big))
        again = changed(tmp_path, pcapng_bytes([b"0"]) + capture, {1: [{"interface": "out"}]})
        assert BLOCKS.packet(b"1", 5, options=options(BLOCKS)) in again

    def test_a_time_that_the_interface_cannot_say_gets_one_that_can(self, tmp_path: Path) -> None:
        capture = pcapng_bytes([b"1"], interfaces=[Interface(name="x")])
        again = changed(tmp_path, capture, {0: [{"tstamp_ns": FIRST_NS + 1}]})
        assert again == pcapng_bytes([Captured(b"1", FIRST_NS + 1)], interfaces=[Interface(name="x", tsresol=9)])

    def test_late_frames_find_their_interface_in_a_later_file(self, tmp_path: Path) -> None:
        """Rotated captures of one machine: what was held back from the first is written in the second."""
        capture = pcapng_bytes([b"1"], interfaces=[Interface(name="x")])
        late = rows(tmp_path, capture)
        assert copied(tmp_path, capture, capture, frames=late) == capture + capture + capture[-36:]

    def test_late_frames_of_another_interface_open_their_section_again(self, tmp_path: Path) -> None:
        first = pcapng_bytes([b"1"], interfaces=[Interface(name="x")])
        second = pcapng_bytes([b"2"], interfaces=[Interface(name="y")])
        late = rows(tmp_path, first)
        assert copied(tmp_path, first, second, frames=late) == first + second + first

    def test_flood_of_waiting_blocks(self, tmp_path: Path) -> None:
        """What waits for the first packet of its section does not wait in memory without bound."""
        blocks = BLOCKS.block(4, bytes(1 << 16)) * 300
        capture = BLOCKS.section() + blocks + BLOCKS.interface(Interface()) + BLOCKS.packet(b"1", 1)
        assert copied(tmp_path, capture, drop=[0]) == capture[:-36]
        assert copied(tmp_path, capture) == capture


class TestKindOfNothing:
    @pytest.mark.parametrize("kind", ["pcap nano big", "pcapng, odd", "pcapng without interfaces"])
    def test_like(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / "in"
        path.write_bytes(ALL_KINDS[kind])
        origin = next(batch.origin for batch in CaptureStream([str(path)]))
        with CaptureWriter(str(tmp_path / "out")) as writer:
            writer.like(origin)
            writer.commit()
        assert rows(tmp_path, (tmp_path / "out").read_bytes()) == []
        length = 24 if kind.startswith("pcap ") else 28
        assert (tmp_path / "out").read_bytes()[:length].hex() == ALL_KINDS[kind][:length].hex()

    def test_like_no_input(self, tmp_path: Path) -> None:
        for name, expected in (
            ("out", pcap_bytes([], nano=True, link_type=101)),
            ("out.pcapng", pcapng_bytes([], interfaces=[Interface(101, tsresol=9)])),
        ):
            with CaptureWriter(str(tmp_path / name), link_type=101) as writer:
                writer.like(None)
                writer.commit()
            assert (tmp_path / name).read_bytes() == expected

    def test_where_nothing_was_read_nothing_is_written(self, tmp_path: Path) -> None:
        (tmp_path / "out").write_bytes(b"old")
        with CaptureWriter(str(tmp_path / "out")) as writer:
            writer.commit()
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
        assert (tmp_path / "out").read_bytes() == b"old"
