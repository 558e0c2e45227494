"""The databases and brokers that the integration tests run on are real and empty."""

from __future__ import annotations

from kombu import Connection
from sqlalchemy import create_engine, inspect


def test_every_database_is_empty_and_takes_a_table(database_url: str) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        assert inspect(connection).get_table_names() == []
        connection.exec_driver_sql("CREATE TABLE instance (id INTEGER)")
        assert inspect(connection).get_table_names() == ["instance"]
    engine.dispose()


def test_every_broker_hands_back_the_message_it_took(broker_url: str, tmp_path: object) -> None:
    folder = str(tmp_path)
    options = {"data_folder_in": folder, "data_folder_out": folder, "control_folder": folder}
    is_file = broker_url.startswith("filesystem")
    with Connection(broker_url, transport_options=options if is_file else {}) as connection:
        queue = connection.SimpleQueue("io")
        queue.put({"id": 7})
        message = queue.get(timeout=5)
        message.ack()
        queue.close()
    assert message.payload == {"id": 7}
