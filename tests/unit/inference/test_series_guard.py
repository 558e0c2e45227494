"""The decoder's process may crash, hang and bloat; nothing but an error comes of it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import psutil
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless

from inference.errors import DecoderStopped, SeriesUnreadable
from inference.series.codec import Coding
from inference.series.guard import PROGRAM, Decoder
from inference.series.limits import DECODER_BYTES, MAX_SIDE
from tests.support.hostile import jpeg_of

VALUES = np.random.default_rng(1).integers(0, 4096, (64, 48)).astype(np.uint16)
CODESTREAM = bytes(imagecodecs.jpegls_encode(VALUES))


def a_coding(**changes: object) -> Coding:
    """Of `VALUES` in JPEG-LS."""
    usual = {"rows": 64, "columns": 48, "bits_allocated": 16, "bits_stored": 16, "is_signed": False}
    return Coding(**{"transfer_syntax_uid": str(JPEGLSLossless), **usual, **changes})  # type: ignore[arg-type]


def program(decoding: str) -> str:
    """The real process with a decoder that does something else."""
    return (
        "import os, sys; from inference.series import codec; "
        f"codec._decoded = lambda *_: {decoding}; codec.serve(int(sys.argv[1]))"
    )


def test_the_largest_frame_of_a_ct_can_be_decoded_in_the_memory_that_there_is() -> None:
    values = np.zeros((MAX_SIDE, MAX_SIDE), np.uint16)
    codestream = bytes(imagecodecs.jpeg2k_encode(values, level=0, codecformat="j2k", reversible=True))
    coding = a_coding(transfer_syntax_uid=str(JPEG2000Lossless), rows=MAX_SIDE, columns=MAX_SIDE)
    with Decoder() as decoder:
        np.testing.assert_array_equal(decoder.decode(codestream, coding), values)


def decoders() -> list[psutil.Process]:
    """The processes that are kept."""
    return [child for child in psutil.Process().children() if PROGRAM in child.cmdline()]


def peak_bytes(process: psutil.Process) -> int:
    """The most address space that it had (proc(5), VmPeak)."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmPeak")) * 1024


def test_a_frame_is_decoded() -> None:
    with Decoder() as decoder:
        np.testing.assert_array_equal(decoder.decode(CODESTREAM, a_coding()), VALUES)


@pytest.mark.parametrize(
    ("decoding", "message"),
    [("os.abort()", "crashed"), ("os._exit(0)", "crashed"), (f"bytes({DECODER_BYTES})", "more memory")],
    ids=["crash", "exit", "bloat"],
)
def test_a_decoder_that_fails_is_given_up(decoding: str, message: str) -> None:
    with Decoder(program=program(decoding)) as decoder, pytest.raises(DecoderStopped, match=message):
        decoder.decode(CODESTREAM, a_coding())


@pytest.mark.parametrize(
    "decoding", ["__import__('time').sleep(60)", "any(0 for _ in iter(int, 1))"], ids=["sleep", "loop"]
)
def test_a_decoder_that_takes_too_long_is_stopped(decoding: str) -> None:
    with Decoder(program=program(decoding), first_s=2.0) as decoder, pytest.raises(DecoderStopped, match="longer"):
        decoder.decode(CODESTREAM, a_coding())


def test_a_decoder_that_died_while_nobody_asked_it_is_replaced() -> None:
    test_a_frame_is_decoded()
    assert decoders()
    for child in decoders():
        child.kill()
        child.wait()
    test_a_frame_is_decoded()


def test_a_frame_whose_decoder_was_killed_is_decoded_by_a_fresh_one(tmp_path: Path) -> None:
    """As the kernel does when memory runs out, which is not the doing of this series."""
    marks = tmp_path / "marks"
    marks.mkdir()
    once = (
        "import os, sys, tempfile; from inference.series import codec; real = codec._decoded\n"
        f"def decoded(*question):\n if not os.listdir({str(marks)!r}):\n  os.mkdir({str(marks / 'killed')!r})\n"
        "  os.kill(os.getpid(), 9)\n return real(*question)\n"
        "codec._decoded = decoded; codec.serve(int(sys.argv[1]))"
    )
    with Decoder(program=once) as decoder:
        np.testing.assert_array_equal(decoder.decode(CODESTREAM, a_coding()), VALUES)
    assert list(marks.iterdir()), "no decoder was killed"


def test_a_codestream_that_keeps_its_decoder_busy_is_given_up() -> None:
    """CharLS looks long for the rest of this one, which was cut short."""
    with Decoder(first_s=2.0) as decoder, pytest.raises(DecoderStopped, match="longer"):
        decoder.decode(CODESTREAM[:-200], a_coding())


def test_the_next_frame_is_decoded_after_a_decoder_was_stopped() -> None:
    with Decoder(program=program("os.abort()")) as decoder, pytest.raises(DecoderStopped):
        decoder.decode(CODESTREAM, a_coding())
    test_a_frame_is_decoded()


def test_a_decoder_loses_the_processor_when_nobody_waits_for_it() -> None:
    """The time limit holds in the process too, should the one that asked have died."""
    code = "from inference.series import codec; codec._limit_seconds(0.1)\nwhile True: pass"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == -signal.SIGXCPU


@pytest.mark.parametrize("content", [b"", CODESTREAM[:-10], CODESTREAM[:20], b"\xff" * 100])
def test_a_broken_codestream_is_unreadable(content: bytes) -> None:
    with Decoder() as decoder:
        with pytest.raises(SeriesUnreadable, match="cannot be decoded"):
            decoder.decode(content, a_coding())
        np.testing.assert_array_equal(decoder.decode(CODESTREAM, a_coding()), VALUES)


@pytest.mark.parametrize("rows", [63, 65])
def test_a_frame_of_another_size_is_unreadable(rows: int) -> None:
    with Decoder() as decoder, pytest.raises(SeriesUnreadable):
        decoder.decode(CODESTREAM, a_coding(rows=rows))


def test_a_codestream_that_claims_gigabytes_takes_no_more_than_the_limit() -> None:
    bomb = jpeg_of(30_000, 0xC3)[:-2] + bytes(imagecodecs.ljpeg_encode(VALUES))[2:]
    with Decoder() as decoder:
        with pytest.raises(SeriesUnreadable):
            decoder.decode(bomb, a_coding(transfer_syntax_uid=str(JPEGLosslessSV1)))
        peaks = [peak_bytes(child) for child in decoders()]
    assert peaks
    assert max(peaks) <= DECODER_BYTES


def test_frames_earn_the_time_of_those_that_follow() -> None:
    with Decoder(first_s=30.0, frame_s=30.0) as decoder:
        for _ in range(3):
            decoder.decode(CODESTREAM, a_coding())
    with Decoder(first_s=30.0, frame_s=-30.0) as decoder:
        decoder.decode(CODESTREAM, a_coding())
        with pytest.raises(DecoderStopped, match="longer"):
            decoder.decode(CODESTREAM, a_coding())
