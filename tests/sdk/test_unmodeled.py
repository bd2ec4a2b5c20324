"""Models of a user's own, and two schemas under one tag."""

import pytest

from harness import sdk
from mosaicolabs import MosaicoField, MosaicoType, Serializable, Vector3d


class Inner(Serializable):
    level: MosaicoType.float32 = MosaicoField(description="a level")
    name: MosaicoType.string = MosaicoField(description="a name")


class OwnModel(Serializable):
    __ontology_tag__ = "my_own_model"

    inner: Inner = MosaicoField(description="nested")
    position: Vector3d = MosaicoField(description="where")
    counts: MosaicoType.list_(MosaicoType.uint16) = MosaicoField(description="how many")
    blob: MosaicoType.binary = MosaicoField(description="bytes")


def test_an_own_model_comes_back_equal(client, name):
    messages = [
        sdk.message(n, OwnModel(inner=Inner(level=n * 0.25, name="né" * (n % 3)), position=Vector3d(x=1.0, y=n, z=-0.5),
                                counts=list(range(n % 5)), blob=bytes([n]) * n))
        for n in range(100)
    ]
    sdk.record(client, name, {"own": (OwnModel, messages)})
    sdk.check_same(messages, sdk.read(client, name, "own"))
    assert client.topic_handler(name, "own").ontology_tag == "my_own_model"


def test_the_schema_has_the_fingerprint_of_its_class(client, name):
    """When one letter of the schema's text differed, messages would come back as another class."""
    sdk.record(client, name, {"own": (OwnModel, [])})
    schema = client.topic_handler(name, "own").ontology_schema
    assert str(schema) == str(OwnModel.__msco_pyarrow_struct__)


@pytest.mark.parametrize("tag", sorted(sdk.registry()))
def test_every_schema_has_the_fingerprint_of_its_class(client, name, tag):
    model = sdk.registry()[tag]
    sdk.record(client, name, {"a": (model, [])})
    assert str(client.topic_handler(name, "a").ontology_schema) == str(model.__msco_pyarrow_struct__)
