"""Decodes OTLP trace requests with the official package and prints, as JSON, every span that they hold.

Standard input: a JSON list of {"kind": content type, "payload": base64}. Whatever the package does not know, or would write in other bytes,
is an error.
"""

import base64
import json
import sys

from google.protobuf import json_format, unknown_fields
from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

# OTLP/JSON has ids in hexadecimal, protobuf's own JSON has bytes in base64.
IDS = {"traceId": 16, "spanId": 8, "parentSpanId": 8}


def base64_ids(value):
    if isinstance(value, list):
        return [base64_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    fields = {}
    for key, item in value.items():
        if key in IDS:
            octets = bytes.fromhex(item)
            assert len(octets) == IDS[key] or (key, item) == ("parentSpanId", ""), (key, item)
            item = base64.b64encode(octets).decode()
        fields[key] = base64_ids(item)
    return fields


def refuse_unknown(message):
    assert len(unknown_fields.UnknownFieldSet(message)) == 0, message
    for _, value in message.ListFields():
        for item in value if not isinstance(value, (str, bytes, int, float, Message)) else [value]:
            if isinstance(item, Message):
                refuse_unknown(item)


def decode(kind, payload):
    if kind == "application/json":
        return json_format.ParseDict(base64_ids(json.loads(payload)), ExportTraceServiceRequest())
    assert kind in ("application/grpc", "application/x-protobuf"), kind
    request = ExportTraceServiceRequest.FromString(payload)
    refuse_unknown(request)
    assert request.SerializeToString() == payload, "not the canonical bytes"
    return request


def any_value(value):
    which = value.WhichOneof("value")
    if which == "array_value":
        return {which: [any_value(item) for item in value.array_value.values]}
    return {which: getattr(value, which)}


def attributes(pairs):
    return [[pair.key, any_value(pair.value)] for pair in pairs]


def spans(request):
    for group in request.resource_spans:
        assert not group.schema_url and not group.resource.dropped_attributes_count
        for scope in group.scope_spans:
            for span in scope.spans:
                assert not (span.events or span.links or span.dropped_attributes_count or span.trace_state)
                yield {
                    "resource": attributes(group.resource.attributes),
                    "scope": [scope.scope.name, scope.scope.version],
                    "trace": span.trace_id.hex(),
                    "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "flags": span.flags,
                    "name": span.name,
                    "kind": span.kind,
                    "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "status": span.status.code,
                    "attributes": attributes(span.attributes),
                }


found = []
for item in json.load(sys.stdin):
    found.extend(spans(decode(item["kind"], base64.b64decode(item["payload"]))))
json.dump(found, sys.stdout)
