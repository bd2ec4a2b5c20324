"""The SDK's own query builders on real recordings. What they should find is worked out here from the same recordings."""

import pytest
from mosaicolabs import GPS, IMU, Query, QueryOntologyCatalog, QuerySequence, QueryTopic, String

from harness import recordings, sdk

GLOBS = sdk.VERSION >= (0, 6)


@pytest.fixture(scope="module")
def recorded(server):
    with sdk.connect(server) as client:
        sdk.record(client, "drive_north", {"front/imu": (IMU, sdk.imu_messages(400)), "gps": (GPS, sdk.gps_messages())},
                   {"driver": "Ada", "car": {"wheels": 4, "color": "red"}, "runs": [1, 2]})
        sdk.record(client, "drive_south", {"front/imu": (IMU, sdk.imu_messages(400)[:3]),
                                           "notes": (String, [sdk.message(5, String(data="hello world"))])},
                   {"driver": "Bob", "car": {"wheels": 3}})
    return [(time, a[0]) for time, g, a in recordings.imu()[:400]]


def paths(response):
    assert response is not None
    return {item.sequence.name: {topic.name for topic in item.topics} for item in response}


def ask(client, *scopes):
    return paths(client.query(*scopes))


def test_sequences_by_name_and_metadata(recorded, client):
    both = {"drive_north": {"/front/imu", "/gps"}, "drive_south": {"/front/imu", "/notes"}}
    assert ask(client, QuerySequence().with_name("drive_south")) == {"drive_south": both["drive_south"]}
    assert ask(client, QuerySequence().with_name_match("drive*" if GLOBS else "rive")) == both
    assert ask(client, QuerySequence().with_name_match("south" if GLOBS else "nowhere")) == {}
    assert ask(client, QuerySequence().with_user_metadata("driver", eq="Ada")) == {"drive_north": both["drive_north"]}
    assert ask(client, QuerySequence().with_user_metadata("car.wheels", lt=4)) == {"drive_south": both["drive_south"]}
    assert ask(client, QuerySequence().with_user_metadata("car.wheels", between=[3, 4])) == both
    if sdk.VERSION >= (0, 5):
        assert ask(client, QuerySequence().with_user_metadata("car.color", ex=False)) == {"drive_south": both["drive_south"]}
    assert ask(client, QuerySequence().with_user_metadata("runs", eq=2)) == {"drive_north": both["drive_north"]}


def test_topics_by_name_and_tag(recorded, client):
    assert ask(client, QueryTopic().with_name("/gps")) == {"drive_north": {"/gps"}}
    match = "/front/*" if GLOBS else "front"
    assert ask(client, QueryTopic().with_name_match(match)) == {"drive_north": {"/front/imu"}, "drive_south": {"/front/imu"}}
    assert ask(client, QueryTopic().with_ontology_tag(GPS.ontology_tag())) == {"drive_north": {"/gps"}}
    assert ask(client, QueryTopic().with_user_metadata("path", eq="notes")) == {"drive_south": {"/notes"}}


def test_values(recorded, client):
    top = max(x for _, x in recorded)
    assert ask(client, QueryOntologyCatalog(IMU.Q.acceleration.x.geq(top))) == {"drive_north": {"/front/imu"}}
    assert ask(client, QueryOntologyCatalog(IMU.Q.acceleration.x.gt(top))) == {}
    low = min(x for _, x in recorded[:3])
    assert ask(client, QueryOntologyCatalog(IMU.Q.acceleration.x.between([low, low]))).keys() >= {"drive_south"}
    both = QueryOntologyCatalog(IMU.Q.acceleration.x.geq(top)).with_expression(GPS.Q.position.z.gt(-1e9))
    assert ask(client, both) == {"drive_north": {"/front/imu", "/gps"}}
    assert ask(client, QueryTopic().with_name("/gps"), both) == {}
    words = "hello*" if GLOBS else "llo wo"
    assert ask(client, QueryOntologyCatalog(String.Q.data.match(words))) == {"drive_south": {"/notes"}}
    assert ask(client, QueryOntologyCatalog(String.Q.data.match("hello" if GLOBS else "^world"))) == {}


def test_times_and_chains(recorded, client):
    first, last = recorded[0][0], recorded[-1][0]
    response = client.query(QueryOntologyCatalog(IMU.Q.timestamp_ns.between([last, last])))
    assert paths(response) == {"drive_north": {"/front/imu"}}
    assert ask(client, response.to_query_sequence(), QueryTopic().with_name("/gps")) == {"drive_north": {"/gps"}}
    assert ask(client, response.to_query_topic()) == {"drive_north": {"/front/imu"}, "drive_south": {"/front/imu"}}
    query = Query(QuerySequence().with_name("drive_south"), QueryOntologyCatalog(IMU.Q.timestamp_ns.geq(first)))
    assert paths(client.query(query=query)) == {"drive_south": {"/front/imu"}}


if not GLOBS:
    def test_the_times_of_matches(recorded, client):
        top = max(x for _, x in recorded)
        times = [time for time, x in recorded if x == top]
        response = client.query(QueryOntologyCatalog(IMU.Q.acceleration.x.geq(top), include_timestamp_range=True))
        (item,) = response
        (topic,) = item.topics
        assert (topic.timestamp_range.start, topic.timestamp_range.end) == (times[0], times[-1])
else:
    def test_outside_and_order_of_texts(recorded, client):
        top = max(x for _, x in recorded)
        assert ask(client, QueryOntologyCatalog(IMU.Q.acceleration.x.outside([-1e9, top]))) == {}
        assert ask(client, QueryOntologyCatalog(String.Q.data.between(["h", "i"]))) == {"drive_south": {"/notes"}}

    def test_windows(recorded, client):
        middle = sorted(x for _, x in recorded)[200]
        response = client.query(QueryOntologyCatalog(IMU.Q.acceleration.x.gt(middle)).with_expression(GPS.Q.position.z.gt(-1e9)))
        (item,) = [item for item in response if item.sequence.name == "drive_north"]
        (imu,) = [topic for topic in item.topics if topic.name == "/front/imu"]
        (gps,) = [topic for topic in item.topics if topic.name == "/gps"]
        times = [time for time, x in recorded if x > middle]
        span = lambda cluster: (cluster.timerange.start, cluster.timerange.end)  # noqa: E731
        assert [span(cluster) for cluster in imu.clusterize()] == [(times[0], times[-1])]
        gap = 50_000_000
        expected, start = [], times[0]
        for before, after in zip(times, times[1:] + [None]):
            if after is None or after - before > gap:
                expected.append((start, before))
                start = after
        assert [span(cluster) for cluster in imu.clusterize(clustering_dt_ns=gap)] == expected
        assert [span(cluster) for cluster in imu.intersect(imu)] == [(times[0], times[-1])]
        first, last = sdk.gps_messages()[0].timestamp_ns, sdk.gps_messages()[-1].timestamp_ns
        both = [(max(first, times[0]), min(last, times[-1]))]
        assert [span(cluster) for cluster in imu.intersect(imu, gps)] == (both if both[0][0] <= both[0][1] else [])
