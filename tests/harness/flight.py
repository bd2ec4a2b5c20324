"""A raw Flight client that says exactly what the newest SDK says, and no more."""

import json
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.flight as fl


@dataclass
class Session:
    uuid: str
    locator: str


class Client:
    """Thin: one method per request, answers as the server gave them."""

    def __init__(self, location, **options):
        self.flight = fl.connect(location, **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.flight.close()

    def close(self):
        self.flight.close()

    # Actions

    def results(self, kind, body):
        """Bodies of all results of one action, as bytes."""
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        return [result.body.to_pybytes() for result in self.flight.do_action(fl.Action(kind, text))]

    def action(self, kind, body):
        """The `response` of an action as the SDK finds it: None for empty answers, otherwise one JSON document."""
        text = b"".join(self.results(kind, body))
        if not text:
            return None
        answer = json.loads(text)
        if answer.get("action") in (None, "empty"):
            return None
        assert answer["action"] == kind, answer
        return answer.get("response")

    def create_sequence(self, name, metadata=None):
        return self.action("sequence_create", {"locator": name, "user_metadata": metadata or {}})

    def create_session(self, sequence):
        return Session(**self.action("session_create", {"locator": sequence}))

    def create_topic(self, session, locator, tag="Counter", form="default", metadata=None):
        """Its token."""
        uuid = session.uuid if isinstance(session, Session) else session
        request = {
            "session_uuid": uuid,
            "locator": locator,
            "serialization_format": form,
            "ontology_tag": tag,
            "user_metadata": metadata or {},
        }
        return self.action("topic_create", request)["uuid"]

    def finalize(self, session):
        uuid = session.uuid if isinstance(session, Session) else session
        return self.action("session_finalize", {"session_uuid": uuid})

    def delete_session(self, session):
        return self.action("session_delete", {"locator": session.locator})

    def delete_sequence(self, name):
        return self.action("sequence_delete", {"locator": name})

    def notifications(self, locator):
        kind = "topic" if "/" in locator.strip("/") else "sequence"
        answer = self.action(f"{kind}_notification_list", {"locator": locator})
        return answer["notifications"] if answer else []

    # Streams

    def begin_put(self, locator, token, schema, options=None):
        """An open DoPut whose schema is sent: a FlightStreamWriter."""
        command = json.dumps({"resource_locator": locator, "topic_uuid": token}).encode()
        writer, _ = self.flight.do_put(fl.FlightDescriptor.for_command(command), schema, options)
        return writer

    def put(self, locator, token, schema, batches=()):
        """A whole DoPut, up to its status."""
        writer = self.begin_put(locator, token, schema)
        try:
            for batch in batches:
                writer.write_batch(batch)
            writer.done_writing()
        finally:
            writer.close()

    def record(self, session, locator, batches, tag="Counter", schema=None, **topic):
        """A topic with all its rows. Returns its token."""
        token = self.create_topic(session, locator, tag, **topic)
        self.put(locator, token, schema or batches[0].schema, batches)
        return token

    def record_sequence(self, name, topics, metadata=None):
        """A finalized sequence of `{path: [batch, ...]}`. Returns its session."""
        self.create_sequence(name, metadata)
        session = self.create_session(name)
        for path, batches in topics.items():
            self.record(session, f"{name}/{path}", batches)
        self.finalize(session)
        return session

    # Reading

    def flight_info(self, locator, start=None, end=None):
        request = {"resource_locator": locator}
        if start is not None:
            request["timestamp_ns_start"] = start
        if end is not None:
            request["timestamp_ns_end"] = end
        return self.flight.get_flight_info(fl.FlightDescriptor.for_command(json.dumps(request).encode()))

    def sequence(self, name, start=None, end=None):
        """The sequence's app_metadata, with its topics' under `topics` by locator."""
        info = self.flight_info(name, start, end)
        described = json.loads(info.app_metadata)
        described["topics"] = {}
        for endpoint in info.endpoints:
            topic = json.loads(endpoint.app_metadata)
            described["topics"][topic["resource_locator"].strip("/")] = topic
        return described

    def topic(self, locator, start=None, end=None):
        """The topic's app_metadata."""
        (endpoint,) = self.flight_info(locator, start, end).endpoints
        return json.loads(endpoint.app_metadata)

    def ticket(self, locator, start=None, end=None):
        (endpoint,) = self.flight_info(locator, start, end).endpoints
        return endpoint.ticket

    def schema(self, locator):
        request = json.dumps({"resource_locator": locator}).encode()
        return self.flight.get_schema(fl.FlightDescriptor.for_command(request)).schema

    def batches(self, ticket):
        """Every batch of a DoGet, and the stream's schema."""
        reader = self.flight.do_get(ticket)
        batches = []
        while True:
            try:
                batches.append(reader.read_chunk().data)
            except StopIteration:
                return reader.schema, batches

    def read(self, locator, start=None, end=None):
        """All rows of a topic in a range, as a table. Holds every stream to the rules that all SDKs rely on."""
        schema, batches = self.batches(self.ticket(locator, start, end))
        table = pa.Table.from_batches(batches, schema)
        assert all(batch.num_rows > 0 for batch in batches), "an empty batch ends the SDK's iteration early"
        times = table.column("timestamp_ns").to_pylist()
        assert all(a <= b for a, b in zip(times, times[1:])), "rows must come in time order"
        return table

    def select(self, locator, start=None, **more):
        """Some `columns` of the rows of a topic `where` something holds, as a table."""
        request = {"resource_locator": locator, **{f"tessera_{key}": value for key, value in more.items()}}
        if start is not None:
            request["timestamp_ns_start"] = start
        info = self.flight.get_flight_info(fl.FlightDescriptor.for_command(json.dumps(request).encode()))
        schema, batches = self.batches(info.endpoints[0].ticket)
        return pa.Table.from_batches(batches, schema)

    def sequences(self):
        names = []
        for info in self.flight.list_flights():
            names += [part.decode() if isinstance(part, bytes) else part for part in info.descriptor.path]
        return names
