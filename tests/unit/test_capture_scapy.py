"""scapy at the edge: each trap of its raw classes, by name; agreement where it is right; what it may not touch."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from scapy.utils import RawPcapNgReader, RawPcapReader

from ipkit.core.frames import Frame
from ipkit.edge.capture_reader import CaptureStream
from ipkit.edge.capture_writer import CaptureWriter
from ipkit.errors import CaptureError
from tests.support.captures import FIRST_NS, Blocks, Captured, Interface, gzip_bytes, pcap_bytes, pcapng_bytes

BLOCKS = Blocks()


def read(folder: Path, capture: bytes) -> list[Frame]:
    path = folder / "in"
    path.write_bytes(capture)
    return [batch.frame(row) for batch in CaptureStream([str(path)]) for row in range(len(batch))]


def written(folder: Path, capture: bytes, name: str = "out") -> bytes:
    (folder / "in").write_bytes(capture)
    with CaptureWriter(str(folder / name)) as writer:
        for batch in CaptureStream([str(folder / "in")]):
            writer.write_batch(batch, {})
        writer.commit()
    return (folder / name).read_bytes()


class TestTraps:
    """architecture: what scapy loses or invents when it reads and writes captures."""

    @pytest.mark.parametrize("make", [pcap_bytes, pcapng_bytes])
    def test_frames_cut_at_65535_bytes(self, tmp_path: Path, make: Callable[[list[bytes]], bytes]) -> None:
        long = bytes(range(256)) * 1024
        assert [frame.data for frame in read(tmp_path, make([long]))] == [long]

    def test_the_captured_length_is_that_of_the_data(self, tmp_path: Path) -> None:
        (tmp_path / "in").write_bytes(pcap_bytes([Captured(b"1" * 60, on_wire=90)]))
        with CaptureWriter(str(tmp_path / "out")) as writer:
            for batch in CaptureStream([str(tmp_path / "in")]):
                writer.write_batch(batch, {0: [batch.frame(0)._replace(data=b"longer" * 20, on_wire=120)]})
            writer.commit()
        assert (tmp_path / "out").read_bytes() == pcap_bytes([b"longer" * 20])

    def test_link_type_0_taken_for_ethernet(self, tmp_path: Path) -> None:
        with CaptureWriter(str(tmp_path / "out"), link_type=0) as writer:
            writer.write_frame(Frame("", 0, FIRST_NS, b"x", 1, 0, None))
            writer.commit()
        assert (tmp_path / "out").read_bytes() == pcap_bytes([b"x"], nano=True, link_type=0)

    def test_bits_about_the_fcs_above_the_link_type(self, tmp_path: Path) -> None:
        capture = pcap_bytes([b"x"], link_type=0x24000001)
        assert [frame.link_type for frame in read(tmp_path, capture)] == [1]
        assert written(tmp_path, capture) == capture

    def test_paths_that_are_no_strings(self, tmp_path: Path) -> None:
        (tmp_path / "in").write_bytes(pcap_bytes([b"1"]))
        with CaptureWriter(tmp_path / "out") as writer:
            for batch in CaptureStream([tmp_path / "in"]):
                assert batch.file == str(tmp_path / "in")
                writer.write_batch(batch, {})
            writer.commit()
        assert (tmp_path / "out").read_bytes() == pcap_bytes([b"1"])

    @pytest.mark.parametrize("make", [pcap_bytes, pcapng_bytes])
    def test_a_truncated_last_record(self, tmp_path: Path, make: Callable[[list[bytes]], bytes]) -> None:
        with pytest.raises(CaptureError, match="record cut short"):
            read(tmp_path, make([b"1" * 60, b"2" * 60])[:-1])

    def test_pcapng_written_with_microseconds_only(self, tmp_path: Path) -> None:
        capture = pcapng_bytes([Captured(b"x", FIRST_NS + 1)], interfaces=[Interface(tsresol=9)])
        assert written(tmp_path, capture) == capture
        assert read(tmp_path, written(tmp_path, pcap_bytes([Captured(b"x", FIRST_NS + 1)], nano=True), "o.pcapng"))[
            0
        ].tstamp_ns == (FIRST_NS + 1)

    def test_an_unnamed_interface_that_nobody_described(self, tmp_path: Path) -> None:
        frame = Frame("", 0, FIRST_NS, b"x", 1, 1, "eth0")
        with CaptureWriter(str(tmp_path / "out.pcapng")) as writer:
            writer.write_frame(frame)
            writer.commit()
        expected = pcapng_bytes([b"x"], interfaces=[Interface(name="eth0", tsresol=9)])
        assert (tmp_path / "out.pcapng").read_bytes() == expected

    def test_interfaces_merged_by_name(self, tmp_path: Path) -> None:
        interfaces = [Interface(name="eth0"), Interface(name="eth0", link_type=101)]
        capture = pcapng_bytes([b"1", Captured(b"2", interface=1)], interfaces=interfaces)
        assert [frame.link_type for frame in read(tmp_path, capture)] == [1, 101]
        assert written(tmp_path, capture) == capture

    def test_options_lost(self, tmp_path: Path) -> None:
        said = [(1, b"comment"), (2, BLOCKS.pack("I", 1)), (5, BLOCKS.pack("Q", 7)), (0x8001, b"1")]
        capture = BLOCKS.section(options=[(2, b"hardware")]) + BLOCKS.interface(Interface(comment="c"))
        capture += BLOCKS.packet(b"x", 1, options=said)
        assert written(tmp_path, capture) == capture

    def test_a_second_section_keeps_the_interfaces_of_the_first(self, tmp_path: Path) -> None:
        capture = pcapng_bytes([b"1"], interfaces=[Interface(name="a")]) + pcapng_bytes(
            [b"2"], interfaces=[Interface(name="b", link_type=101)]
        )
        assert [(frame.interface, frame.link_type) for frame in read(tmp_path, capture)] == [("a", 1), ("b", 101)]

    def test_simple_packets_of_an_unlimited_interface_read_as_empty(self, tmp_path: Path) -> None:
        capture = BLOCKS.section() + BLOCKS.interface(Interface(snaplen=0)) + BLOCKS.simple_packet(b"whole")
        assert [frame.data for frame in read(tmp_path, capture)] == [b"whole"]

    def test_gzip_from_a_pipe(self, tmp_path: Path) -> None:
        code = (
            "from ipkit.edge.capture_reader import CaptureStream\n"
            "print([batch.frame(row).data for batch in CaptureStream(['-']) for row in range(len(batch))])"
        )
        capture = gzip_bytes(pcap_bytes([b"1", b"2"]))
        run = subprocess.run([sys.executable, "-c", code], input=capture, capture_output=True, check=True)
        assert run.stdout == b"[b'1', b'2']\n"

    def test_a_frame_of_time_0_does_not_become_one_of_now(self, tmp_path: Path) -> None:
        frame = Frame("", 0, 0, b"x", 1, 1, None)
        for name, expected in (
            ("out", pcap_bytes([Captured(b"x", 0)], nano=True)),
            ("out.pcapng", pcapng_bytes([Captured(b"x", 0)], interfaces=[Interface(tsresol=9)])),
        ):
            with CaptureWriter(str(tmp_path / name)) as writer:
                writer.write_frame(frame)
                writer.commit()
            assert (tmp_path / name).read_bytes() == expected


FRAMES: list[bytes | Captured] = [
    Captured(bytes([n % 256]) * (n * 37 % 1600), FIRST_NS + n * 1_234_567, on_wire=n * 37 % 1600 + n % 3)
    for n in range(500)
]


class TestAgreement:
    """Record for record what scapy's raw readers say of valid captures."""

    @pytest.mark.parametrize("big_endian", [False, True], ids=["little", "big"])
    @pytest.mark.parametrize("nano", [False, True], ids=["micro", "nano"])
    def test_pcap(self, tmp_path: Path, big_endian: bool, nano: bool) -> None:
        frames = read(tmp_path, pcap_bytes(FRAMES, big_endian=big_endian, nano=nano))
        tick = 1 if nano else 1000
        theirs = [
            (data, meta.sec * 1_000_000_000 + meta.usec * tick, meta.caplen, meta.wirelen)
            for data, meta in RawPcapReader(str(tmp_path / "in"))
        ]
        assert [(frame.data, frame.tstamp_ns, len(frame.data), frame.on_wire) for frame in frames] == theirs

    @pytest.mark.parametrize("big_endian", [False, True], ids=["little", "big"])
    def test_pcapng(self, tmp_path: Path, big_endian: bool) -> None:
        interfaces = [Interface(name="a", tsresol=9), Interface(link_type=101), Interface(name="c", tsresol=3)]
        numbered = [frame._replace(interface=n % 3) for n, frame in enumerate(FRAMES) if isinstance(frame, Captured)]
        frames = read(tmp_path, pcapng_bytes(numbered, big_endian=big_endian, interfaces=interfaces))
        theirs = [
            (
                data,
                (meta.tshigh << 32 | meta.tslow) * 1_000_000_000 // meta.tsresol,
                meta.wirelen,
                meta.linktype,
                meta.ifname.decode() if meta.ifname else None,
            )
            for data, meta in RawPcapNgReader(str(tmp_path / "in"))
        ]
        assert [(f.data, f.tstamp_ns, f.on_wire, f.link_type, f.interface) for f in frames] == theirs


LOAD = "from ipkit.edge.capture_reader import CaptureStream; list(CaptureStream([sys.argv[1]]))\n"


class TestLoading:
    @staticmethod
    def run(code: str, folder: Path, **env: str) -> str:
        """Run code in a process of its own, with a capture as its argument and an empty home."""
        capture = folder / "in.pcap"
        capture.write_bytes(pcap_bytes([b"x"]))
        (folder / "home").mkdir()
        run = subprocess.run(
            [sys.executable, "-c", "import sys\n" + code, str(capture)],
            env={**os.environ, "HOME": str(folder / "home"), **env},
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stderr == ""
        assert list((folder / "home").iterdir()) == []
        return run.stdout.strip()

    def test_only_when_a_capture_is_opened(self, tmp_path: Path) -> None:
        before = "import ipkit.edge.capture_reader, ipkit.edge.capture_writer\nprint('scapy' in sys.modules)\n"
        after = LOAD + "print('scapy.utils' in sys.modules)"
        assert self.run(before + after, tmp_path) == "False\nTrue"

    def test_nothing_is_left_in_the_home_directory(self, tmp_path: Path) -> None:
        env = {name: "" for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME") if name in os.environ}
        assert self.run(LOAD + "import os; print(os.environ.get('XDG_CACHE_HOME'))", tmp_path, **env) == "None"

    def test_the_environment_is_put_back(self, tmp_path: Path) -> None:
        code = LOAD + "import os; print(os.environ['XDG_CACHE_HOME'])"
        assert self.run(code, tmp_path, XDG_CACHE_HOME="/some/where") == "/some/where"

    def test_no_route_interface_or_socket(self, tmp_path: Path) -> None:
        code = """
import os, socket
def refused(*args, **kwargs):
    raise AssertionError("a socket was opened")
socket.socket.__init__ = refused
"""
        loaded = (
            "print({'scapy.all', 'scapy.arch', 'scapy.interfaces', 'scapy.layers', 'scapy.route'} & set(sys.modules))"
        )
        assert self.run(code + LOAD + loaded, tmp_path) == "set()"

    def test_scapy_is_whole_for_those_who_want_it(self, tmp_path: Path) -> None:
        code = (
            LOAD
            + "import scapy.data; print(scapy.data.MTU, len(scapy.data.ETHER_TYPES) > 10, 'scapy.data' in sys.modules)"
        )
        env = dict.fromkeys(("XDG_CACHE_HOME", "XDG_CONFIG_HOME"), "/dev/null/none")
        assert self.run(code, tmp_path, **env) == "65535 True True"

    def test_what_stands_in_is_what_scapy_says(self, tmp_path: Path) -> None:
        code = "import scapy.data\nfrom ipkit.edge import scapy_raw\n"
        check = "print({name: getattr(scapy.data, name) for name in scapy_raw.STAND_IN} == scapy_raw.STAND_IN)"
        env = dict.fromkeys(("XDG_CACHE_HOME", "XDG_CONFIG_HOME"), "/dev/null/none")
        assert self.run(code + check, tmp_path, **env) == "True"

    def test_a_scapy_that_takes_more_from_its_data(self, tmp_path: Path) -> None:
        code = "from ipkit.edge import scapy_raw; scapy_raw.STAND_IN.clear()\n"
        assert self.run(code + LOAD + "print('scapy.data' in sys.modules)", tmp_path) == "True"
