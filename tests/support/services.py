"""Real PostgreSQL, RabbitMQ and Redis on loopback, each with a place of its own that is gone after the test.

Every builder skips the test, with the reason, where its service does not answer.
"""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
import redis
from redis.exceptions import ConnectionError as RedisUnavailable

POSTGRESQL = "postgresql://pulmonode:pulmonode@127.0.0.1:5432"
"""The role may create databases; `.ci/run` makes it, and the reason of the skip says how."""

REDIS_DATABASES = range(15, 0, -1)
"""Database 0 is left to whoever else uses this Redis."""

QUEUES = ("_kombu.*", "io*", "gpu*", "deliver*", "unacked*")
"""The keys that the node's queues leave behind in Redis."""


@contextmanager
def postgresql_database() -> Iterator[str]:
    """A new PostgreSQL database; dropped in the end, whoever is still connected."""
    name = f"pulmonode_test_{uuid.uuid4().hex}"
    try:
        server = psycopg.connect(f"{POSTGRESQL}/postgres", autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as error:
        hint = "CREATE ROLE pulmonode LOGIN CREATEDB PASSWORD 'pulmonode'"
        pytest.skip(f"no PostgreSQL on 127.0.0.1:5432 ({error}); or run as its superuser: {hint}")
    with server:
        server.execute(f'CREATE DATABASE "{name}"')
        try:
            yield f"{POSTGRESQL.replace('postgresql', 'postgresql+psycopg', 1)}/{name}"
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def rabbitmq_host() -> Iterator[str]:
    """A new virtual host of RabbitMQ."""
    name = f"pulmonode-test-{uuid.uuid4().hex}"
    if shutil.which("rabbitmqctl") is None:
        pytest.skip("RabbitMQ is not installed")
    made = _rabbitmq("add_vhost", name)
    if made.returncode:
        pytest.skip(f"RabbitMQ does not run, or this user may not administer it: {made.stderr.strip()[:200]}")
    try:
        _rabbitmq("set_permissions", "-p", name, "guest", ".*", ".*", ".*").check_returncode()
        yield f"amqp://guest:guest@127.0.0.1:5672/{name}"
    finally:
        _rabbitmq("delete_vhost", name).check_returncode()


@contextmanager
def redis_database() -> Iterator[str]:
    """A database of Redis that no other test uses meanwhile."""
    for number in REDIS_DATABASES:
        client = redis.Redis(host="127.0.0.1", db=number, socket_connect_timeout=5)
        try:
            is_mine = client.set("pulmonode-test", uuid.uuid4().hex, nx=True, ex=3600)
        except RedisUnavailable:
            pytest.skip("no Redis on 127.0.0.1:6379")
        if is_mine:
            break
        client.close()
    else:
        pytest.skip("every database of Redis is in use by another test")
    with client:
        _forget_queues(client)
        yield f"redis://127.0.0.1:6379/{number}"
        _forget_queues(client)
        client.delete("pulmonode-test")


def _rabbitmq(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["rabbitmqctl", "-q", *arguments], capture_output=True, text=True, timeout=60, check=False)


def _forget_queues(client: redis.Redis) -> None:
    keys = [key for pattern in QUEUES for key in client.scan_iter(match=pattern)]
    if keys:
        client.delete(*keys)
