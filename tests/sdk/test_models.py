"""Every model of the SDK's registry, with generated values: all fields set, optional ones None, lists empty and not."""

import enum
import typing

import pyarrow as pa
import pydantic
import pytest

from harness import sdk

MODELS = sdk.registry()
FULL, SPARSE, MIXED = "full", "sparse", "mixed"


def value(type_, n, mode, annotation=None):
    """A value of an Arrow type that depends on n, for a field with this annotation in the SDK's class."""
    if pa.types.is_boolean(type_):
        return n % 2 == 0
    if pa.types.is_integer(type_):
        choices = [item.value for kind in inside(annotation, enum.Enum) for item in kind]
        return choices[n % len(choices)] if choices else 1 + n % 7
    if pa.types.is_floating(type_):
        return 0.5 * (n + 1)
    if pa.types.is_binary(type_) or pa.types.is_large_binary(type_):
        return bytes([n % 256, 0, 255]) * (n % 3 + 1)
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        choices = [item.value for kind in inside(annotation, enum.Enum) for item in kind]
        return choices[n % len(choices)] if choices else f"né {n}"
    if pa.types.is_fixed_size_list(type_):
        return [value(type_.value_type, n + i, mode, annotation) for i in range(type_.list_size)]
    if pa.types.is_list(type_):
        return [value(type_.value_type, n + i, mode, annotation) for i in range(n % 4)]
    if pa.types.is_struct(type_):
        (model,) = inside(annotation, pydantic.BaseModel)
        return instance(model, n, mode)
    raise AssertionError(f"no generator for {type_}")


def inside(annotation, base):
    """Classes of one kind that an annotation mentions, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, base):
        return [annotation]
    return [found for part in typing.get_args(annotation) for found in inside(part, base)]


def instance(model, n, mode):
    """A model of generated values. Fields that the class lets be None are None in sparse ones."""
    fields = {}
    for i, field in enumerate(model.__msco_pyarrow_struct__):
        annotation = model.model_fields[field.name].annotation
        may_be_none = type(None) in typing.get_args(annotation)
        if may_be_none and (mode == SPARSE or (mode == MIXED and (n + i) % 3 == 0)):
            fields[field.name] = None
            continue
        fields[field.name] = value(field.type, n + i, mode, annotation)
    present = {name for name, content in fields.items() if content is not None}
    if "min_range" in fields:  # the class checks that they go together
        fields.update(min_range=0.5, max_range=10.0, range=2.0)
    if {"linear", "angular"} <= model.model_fields.keys() and not {"linear", "angular"} & present:
        annotation = model.model_fields["linear"].annotation
        fields["linear"] = value(model.__msco_pyarrow_struct__.field("linear").type, n, mode, annotation)
    if not present:  # the SDK reads a message without any value back as no message
        field = model.__msco_pyarrow_struct__[0]
        fields[field.name] = value(field.type, n, FULL, model.model_fields[field.name].annotation)
    return model(**fields)


@pytest.mark.parametrize("tag", sorted(MODELS))
def test_a_model_comes_back_equal(client, name, tag):
    model = MODELS[tag]
    messages = [sdk.message(1000 + n, instance(model, n, mode))
                for n, mode in enumerate((FULL, SPARSE, MIXED, FULL, MIXED, SPARSE, MIXED))]
    sdk.record(client, name, {"a": (model, messages)})
    sdk.check_same(messages, sdk.read(client, name, "a"))
    handler = client.topic_handler(name, "a")
    assert handler.ontology_tag == tag
    form = handler.serialization_format  # a text before 0.7
    assert getattr(form, "value", form) == model.__serialization_format__.value


@pytest.mark.parametrize("tag", sorted(MODELS))
def test_an_empty_topic_of_a_model_has_a_handler(client, name, tag):
    sdk.record(client, name, {"a": (MODELS[tag], [])})
    handler = client.topic_handler(name, "a")
    assert handler.ontology_tag == tag
    assert handler.timestamp_ns_min is None and handler.timestamp_ns_max is None
