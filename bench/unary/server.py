"""server.py - a grpcio server (grpc.aio): a fixed answer to every unary call.

Usage: server.py <file with the answer, framed>.  Prints its port.  Bytes in and out.

SPDX-License-Identifier: Apache-2.0
"""
import asyncio
import sys

import grpc


class Everything(grpc.GenericRpcHandler):
    def __init__(self, answer):
        async def reply(_request, _context):
            return answer
        self.handler = grpc.unary_unary_rpc_method_handler(reply)

    def service(self, details):
        return self.handler


async def main():
    with open(sys.argv[1], "rb") as f:
        answer = f.read()[5:]  # gRPC frames it again
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([Everything(answer)])
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


asyncio.run(main())
