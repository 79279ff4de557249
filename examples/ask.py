#!/usr/bin/env python3
"""Asks an aggregator a question, knowing nothing but its address: the protocol comes from gRPC reflection.

usage: ask.py ADDRESS QUESTION [TOPOLOGY]
Needs grpcio and grpcio-reflection (pip install grpcio grpcio-reflection).
"""
import sys

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    address, question, topology = sys.argv[1], sys.argv[2], (sys.argv[3:] or [""])[0]
    with grpc.insecure_channel(address) as channel:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        service = pool.FindServiceByName("synod.v1.AggregatorService")
        method = service.methods_by_name["Ask"]
        request_type, response_type = map(message_factory.GetMessageClass, (method.input_type, method.output_type))
        ask = channel.unary_stream(
            f"/{service.full_name}/{method.name}",
            request_serializer=request_type.SerializeToString,
            response_deserializer=response_type.FromString,
        )
        request = request_type(messages=[{"role": "user", "content": question}], topology=topology)
        try:
            for response in ask(request, timeout=300):
                show(response)
        except grpc.RpcError as error:
            sys.exit(f"{error.code().name}: {error.details()}")


def show(response):
    kind = response.WhichOneof("event")
    event = getattr(response, kind)
    if kind == "answer_delta":
        print(event.text, end="", flush=True)
    elif kind == "member_started":
        print(f"[stage {event.stage + 1}, seat {event.seat + 1}: {event.model} on {event.node}]", file=sys.stderr)
    elif kind == "member_failed":
        print(f"[stage {event.stage + 1}, seat {event.seat + 1} lost: {event.error}]", file=sys.stderr)
    elif kind == "run_finished":
        print(f"\n[{event.timings.total_ms} ms, degraded: {event.degraded}]", file=sys.stderr)


main()
