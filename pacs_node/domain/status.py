"""What the status that a peer gives to an instance means to us, by C-STORE and by STOW-RS alike.

References
----------
PS3.7 annex C; PS3.4 table B.2-1; PS3.18 section 10.5.3 and annex I.
"""

from __future__ import annotations

SOP_CLASS_NOT_SUPPORTED = 0x0122
"""PS3.7 section C.5.6; something else is sent instead."""

_DELIVERED = {
    0x0000,
    0x0001,  # PS3.7 section C.4: warning
    0x0107,  # PS3.7 section C.4: warning, attribute list error
    0x0116,  # PS3.7 section C.4: warning, attribute value out of range
    0x0111,  # the peer has this instance already
}
_TRY_AGAIN = {
    0x0110,  # PS3.7 section C.5.21: processing failure
    0x0124,  # PS3.7 section C.5: not authorised; peers say so while they are being set up
    0x0213,  # PS3.7 section C.5.22: resource limitation
}


def is_delivered(status: int) -> bool:
    """Whether the peer holds the instance now: success, a warning (0xB000 to 0xBFFF), or it had it before."""
    return status in _DELIVERED or 0xB000 <= status <= 0xBFFF


def is_retryable(status: int) -> bool:
    """Whether the same instance may be taken later: out of resources (0xA7xx) and other states of the peer."""
    return status in _TRY_AGAIN or 0xA700 <= status <= 0xA7FF
