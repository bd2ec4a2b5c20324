"""Tickets are opaque and sealed, carry their window, and are no authority over what is gone."""

import random

import pyarrow.flight as fl

from harness import rows
from harness.codes import refused


def times(client, ticket):
    _, batches = client.batches(ticket)
    return sum((batch.column("timestamp_ns").to_pylist() for batch in batches), [])


def test_a_ticket_works_more_than_once(client, name):
    client.record_sequence(name, {"a": [rows.counters(range(10))]})
    ticket = client.ticket(f"{name}/a", 3, 6)
    assert times(client, ticket) == times(client, ticket) == [3, 4, 5]


def test_every_changed_bit_is_noticed(client, name):
    client.record_sequence(name, {"a": [rows.counters(range(10))]})
    sealed = client.ticket(f"{name}/a", 3, 6).ticket
    bits = range(len(sealed) * 8)
    for bit in random.Random(7).sample(bits, min(len(bits), 200)):
        forged = bytearray(sealed)
        forged[bit // 8] ^= 1 << bit % 8
        with refused("INVALID_ARGUMENT"):
            client.batches(fl.Ticket(bytes(forged)))


def test_junk_is_refused(client):
    for junk in (b"", b"x", b"\0" * 64, b"\xff" * 4096, b"x" * 100_000, b"{}", "\u202e".encode()):
        with refused("INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED"):
            client.batches(fl.Ticket(junk))


def test_a_ticket_of_what_is_deleted_finds_nothing(client, name):
    client.record_sequence(name, {"a": [rows.counters([1])]})
    ticket = client.ticket(f"{name}/a")
    client.delete_sequence(name)
    with refused("NOT_FOUND"):
        client.batches(ticket)
    client.record_sequence(name, {"a": [rows.counters([2])]})
    with refused("NOT_FOUND"):
        client.batches(ticket)  # never the new data under the old name


def test_the_oldest_clients_parse_their_ticket(client, name):
    """They ask by PATH, and read `sequence/topic` out of the ticket."""
    client.record_sequence(name, {"a/b": [rows.counters([1, 2])]})
    info = client.flight.get_flight_info(fl.FlightDescriptor.for_path(name))
    (endpoint,) = info.endpoints
    assert endpoint.ticket.ticket.decode() == f"{name}/a/b"
    assert times(client, endpoint.ticket) == [1, 2]


def test_a_plain_ticket_gives_no_way_around_finalize(client, name):
    client.create_sequence(name)
    client.record(client.create_session(name), f"{name}/a", [rows.counters([1])])
    with refused("FAILED_PRECONDITION"):
        client.batches(fl.Ticket(f"{name}/a".encode()))
