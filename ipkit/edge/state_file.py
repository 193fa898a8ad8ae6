"""A saved state between two runs: JSON in a file that is replaced whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

from ipkit.core.reassemble_lane import ReassembleLane
from ipkit.core.reassemble_state import lane_document, restore_lane
from ipkit.core.state_fields import StateError
from ipkit.edge.output_target import OutputTarget


def load_state(name: str, lane: ReassembleLane) -> None:
    """Let a lane go on from what a file holds, if it is there; what is wrong with it is said with its name."""
    if name == "-":
        raise StateError("-: a state is read and written: it needs a file")
    try:
        text = Path(name).read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise StateError(f"{name}: {(error.strerror or str(error)).lower()}") from None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StateError(f"{name}: not JSON: {error}") from None
    try:
        restore_lane(lane, document)
    except StateError as error:
        raise StateError(f"{name}: {error}") from None


def write_text(name: str, text: str) -> None:
    """Let a file with this text appear in place of what stood there."""
    with OutputTarget(name) as target:
        target.write(text.encode("utf-8", "surrogateescape"))
        target.commit()


def save_state(name: str, lane: ReassembleLane) -> None:
    """Let what a lane has waiting be the state from now on."""
    write_text(name, json.dumps(lane_document(lane), separators=(",", ":")) + "\n")
