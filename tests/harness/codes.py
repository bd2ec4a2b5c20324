"""Which gRPC code an exception of pyarrow stands for. Several codes share a class, so the prefix of the text decides."""

import contextlib

import pyarrow as pa
import pyarrow.flight as fl

PREFIXES = {
    "Flight returned invalid argument error": "INVALID_ARGUMENT",
    "Flight returned not found error": "NOT_FOUND",
    "Flight returned already exists error": "ALREADY_EXISTS",
    "Flight returned unauthorized error": "PERMISSION_DENIED",
    "Flight returned unauthenticated error": "UNAUTHENTICATED",
    "Flight returned unimplemented error": "UNIMPLEMENTED",
    "Flight returned unavailable error": "UNAVAILABLE",
    "Flight returned timeout error": "DEADLINE_EXCEEDED",
    "Flight returned internal error": "INTERNAL",
    "Flight cancelled call": "CANCELLED",
    "Flight RPC failed": "UNKNOWN",
    "gRPC returned resource exhausted error": "RESOURCE_EXHAUSTED",
    "gRPC returned precondition failed error": "FAILED_PRECONDITION",
    "gRPC returned aborted error": "ABORTED",
    "gRPC returned out-of-range error": "OUT_OF_RANGE",
    "gRPC returned data loss error": "DATA_LOSS",
}

ERRORS = (pa.ArrowException, KeyError, fl.FlightError)


def code(error):
    text = str(error)
    for prefix, name in PREFIXES.items():
        if prefix in text:
            return name
    return f"{type(error).__name__}: {text[:200]}"


def tried(call):
    """Whether what it takes was there for it: a cluster, another server."""
    try:
        call()
    except ERRORS as error:
        assert code(error) == "UNAVAILABLE", error
        return False
    return True


class Refused:
    """What [`refused`] caught."""

    error = None

    @property
    def text(self):
        return str(self.error)


@contextlib.contextmanager
def refused(*expected):
    """The block must fail with one of these gRPC codes."""
    caught = Refused()
    try:
        yield caught
    except ERRORS as error:
        assert code(error) in expected, f"expected {expected}, got {code(error)}: {error}"
        caught.error = error
        return
    raise AssertionError(f"nothing was refused, expected {expected}")
