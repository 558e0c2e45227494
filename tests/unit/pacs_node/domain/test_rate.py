from __future__ import annotations

from pacs_node.domain.rate import TELL_AGAIN_S, RateLimit, Verdict

A, B = "10.0.0.1", "10.0.0.2"
ADMITTED, REFUSED, AGAIN = Verdict.ADMITTED, Verdict.REFUSED, Verdict.REFUSED_AGAIN


def test_a_burst_is_admitted_and_no_more() -> None:
    limit = RateLimit(per_minute=60, burst=3)
    assert [limit.judge(A, 0) for _ in range(5)] == [ADMITTED] * 3 + [REFUSED, AGAIN]


def test_the_bucket_fills_evenly_and_never_beyond_the_burst() -> None:
    limit = RateLimit(per_minute=30, burst=2)
    assert [limit.judge(A, 0), limit.judge(A, 0)] == [ADMITTED, ADMITTED]
    assert limit.judge(A, 1.9) == REFUSED
    assert limit.judge(A, 2.0) == ADMITTED
    assert limit.judge(A, 2.1) == AGAIN
    assert [limit.judge(A, 1000) for _ in range(3)] == [ADMITTED, ADMITTED, REFUSED]


def test_refused_connections_cost_no_tokens() -> None:
    """Whoever goes on trying is admitted at the same rate as whoever waits."""
    limit = RateLimit(per_minute=60, burst=1)
    verdicts = [limit.judge(A, second / 10) for second in range(101)]
    assert verdicts.count(ADMITTED) == 11


def test_addresses_do_not_count_for_each_other() -> None:
    limit = RateLimit(per_minute=60, burst=1)
    assert [limit.judge(A, 0), limit.judge(A, 0), limit.judge(B, 0)] == [ADMITTED, REFUSED, ADMITTED]


def test_a_flood_is_told_of_once_a_minute() -> None:
    limit = RateLimit(per_minute=1, burst=1)
    limit.judge(A, 0)
    assert [limit.judge(A, at) for at in (1, 2, TELL_AGAIN_S - 1)] == [REFUSED, AGAIN, AGAIN]
    assert limit.judge(A, TELL_AGAIN_S) == ADMITTED
    assert limit.judge(A, TELL_AGAIN_S + 0.5) == AGAIN
    assert limit.judge(A, TELL_AGAIN_S + 1) == REFUSED


def test_a_host_cannot_multiply_itself_by_its_ipv6_addresses() -> None:
    limit = RateLimit(per_minute=60, burst=1)
    assert limit.judge("2001:db8::1", 0) == ADMITTED
    assert limit.judge("2001:db8::ffff:1", 0) == REFUSED
    assert limit.judge("2001:db8:0:1::1", 0) == ADMITTED
    assert limit.judge("fe80::1%eth0", 0) == ADMITTED


def test_an_ipv4_address_is_the_same_on_an_ipv6_socket() -> None:
    limit = RateLimit(per_minute=60, burst=1)
    assert [limit.judge(A, 0), limit.judge(f"::ffff:{A}", 0)] == [ADMITTED, REFUSED]


def test_memory_is_bounded_and_the_busiest_are_remembered() -> None:
    limit = RateLimit(per_minute=1, burst=1, most_addresses=100)
    for number in range(10_000):
        limit.judge(f"10.1.{number // 256}.{number % 256}", number / 1000)
        assert (limit.judge(A, number / 1000) == ADMITTED) == (number == 0)
    assert len(limit) == 100
