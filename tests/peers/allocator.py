#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""allocator: a stand-in for Agones' allocator: its REST contract over mutual TLS on loopback.

    allocator.py --ready FILE --cert NAME.pem --key NAME.key --client-ca CA.pem [--namespace NS] SERVER...

SERVER is FLEET=NAME@ADDRESS:PORT[/PLAYERS]: a game server with room for so many players (1). FILE gets two port
numbers when both listeners are bound: of the allocator, and of a plain HTTP one through which a test steers it:

    GET  /_count                                  {"requests", "allocations", "connections", "failed_handshakes"}
    POST /_behave?mode=MODE[&value=V][&times=N]   for the next N requests, or for all; modes: see class Behaviour
    POST /_certificate?cert=FILE&key=FILE         for connections from now on
    POST /_reset                                  all game servers ready and empty, counts 0, no misbehaviour

A request that deviates from the contract in any way is answered 400.
"""
import argparse
import http.server
import json
import os
import socket
import ssl
import sys
import threading
import time
import urllib.parse

PATH = "/gameserverallocation"
JUNK = b'{"gameServerName": "junk", "address": '


class Server:
    def __init__(self, text):
        self.fleet, rest = text.split("=", 1)
        self.name, rest = rest.split("@", 1)
        rest, _, players = rest.partition("/")
        self.address, port = rest.rsplit(":", 1)
        self.port = int(port)
        self.room = self.left = int(players or 1)
        self.state = "READY"

    def reset(self):
        self.left, self.state = self.room, "READY"


class Behaviour:
    """What the next requests meet.

    ok       the contract
    delay    V seconds of silence before it
    status   V instead of 200, without an allocation
    cut      the connection ends instead of an answer
    half     an answer that ends before its Content-Length
    junk     200 with a body that is no JSON
    huge     200 with a body of V bytes
    body     200 with the body V
    strings  the ports' numbers as strings
    close    the contract, but the connection ends after it
    """

    def __init__(self):
        self.mode, self.value, self.times = "ok", "", 0

    def next(self):
        mode, value = self.mode, self.value
        if self.times > 0:
            self.times -= 1
            if self.times == 0:
                self.mode = "ok"
        return mode, value


class World:
    def __init__(self, arguments):
        self.lock = threading.Lock()
        self.run = 0
        self.arguments = arguments
        self.cert, self.key = arguments.cert, arguments.key
        self.servers = [Server(text) for text in arguments.servers]
        self.reset()

    def reset(self):
        self.run += 1
        self.behaviour = Behaviour()
        self.counts = {"requests": 0, "allocations": 0, "connections": 0, "failed_handshakes": 0}
        for server in self.servers:
            server.reset()

    def count(self, what):
        with self.lock:
            self.counts[what] += 1

    def context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.cert, self.key)
        context.load_verify_locations(self.arguments.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def deviation(self, body):
        """What is wrong with a request's body, or None; and the fleet."""
        fleet = None
        try:
            request = json.loads(body)
            fleet = request["gameServerSelectors"][0]["matchLabels"]["agones.dev/fleet"]
        except (ValueError, KeyError, IndexError, TypeError) as error:
            return f"not the shape: {error!r}", None

        def selector(state):
            return {
                "matchLabels": {"agones.dev/fleet": fleet},
                "gameServerState": state,
                "lists": {"players": {"minAvailable": "1"}},
            }

        wanted = {
            "namespace": self.arguments.namespace,
            "gameServerSelectors": [selector("ALLOCATED"), selector("READY")],
        }
        return (None if request == wanted else "not what the contract says"), fleet

    def allocate(self, fleet):
        with self.lock:
            for state in ("ALLOCATED", "READY"):
                for server in self.servers:
                    if server.fleet == fleet and server.state == state and server.left > 0:
                        server.state = "ALLOCATED"
                        server.left -= 1
                        self.counts["allocations"] += 1
                        return server
        return None


class Allocator(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, *arguments):
        pass

    def setup(self):
        self.request = self.server.world.context().wrap_socket(
            self.request, server_side=True, do_handshake_on_connect=True)
        self.server.world.count("connections")
        super().setup()

    def answer(self, status, body, length=None):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def error(self, status, text):
        self.answer(status, json.dumps({"code": status, "message": text, "details": []}).encode())

    def cut(self):
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def do_GET(self):
        self.error(405, "not a POST")

    do_PUT = do_DELETE = do_GET

    def do_POST(self):
        world = self.server.world
        world.count("requests")
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > 65536:
            self.close_connection = True
            return self.error(400, "Content-Length")
        body = self.rfile.read(int(length))
        if self.path != PATH or self.request_version != "HTTP/1.1":
            return self.error(400, f"{self.path} by {self.request_version}")
        if self.headers.get("Content-Type") != "application/json" or "Host" not in self.headers:
            return self.error(400, "Content-Type or Host")
        deviation, fleet = world.deviation(body)
        if deviation:
            return self.error(400, deviation)
        with world.lock:
            mode, value = world.behaviour.next()
        self.behave(mode, value, fleet)

    def behave(self, mode, value, fleet):
        if mode == "delay":
            run = self.server.world.run
            time.sleep(float(value))
            if self.server.world.run != run:
                return self.cut()  # a reset: what was asked before must not count after it
        if mode == "status":
            return self.error(int(value), f"told to\x1b say {value}")
        if mode == "cut":
            return self.cut()
        if mode == "junk":
            return self.answer(200, JUNK)
        if mode == "huge":
            return self.answer(200, b" " * int(value))
        if mode == "body":
            return self.answer(200, value.encode())
        server = self.server.world.allocate(fleet)
        if not server:
            return self.error(429, "there is no available GameServer to allocate")
        numbers = [server.port, server.port + 1]
        if mode == "strings":
            numbers = [str(number) for number in numbers]
        reply = json.dumps({
            "gameServerName": server.name,
            "ports": [{"name": "game", "port": numbers[0]}, {"name": "query", "port": numbers[1]}],
            "address": server.address,
            "addresses": [{"type": "InternalIP", "address": server.address}],
            "nodeName": "node-1",
            "source": "local",
            "metadata": {"labels": {"agones.dev/fleet": fleet}, "annotations": {}},
        }).encode()
        if mode == "half":
            self.answer(200, reply[:len(reply) // 2], len(reply))
            return self.cut()
        if mode == "close":
            self.close_connection = True
        self.answer(200, reply)


class Steering(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        world = self.server.world
        with world.lock:
            counts = dict(world.counts)
        self.answer(*((200, counts) if self.path == "/_count" else (404, {})))

    def do_POST(self):
        world = self.server.world
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        with world.lock:
            if url.path == "/_behave":
                if f"    {query['mode']} " not in Behaviour.__doc__:
                    return self.answer(400, {})
                world.behaviour.mode = query["mode"]
                world.behaviour.value = query.get("value", "")
                world.behaviour.times = int(query.get("times", 0))
            elif url.path == "/_certificate":
                world.cert, world.key = query["cert"], query["key"]
            elif url.path == "/_reset":
                world.reset()
            else:
                return self.answer(404, {})
        self.answer(200, {})


class Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, world, handler):
        self.world = world
        super().__init__(("127.0.0.1", 0), handler)

    def handle_error(self, request, client_address):
        error = sys.exc_info()[1]
        if isinstance(error, ssl.SSLError):
            self.world.count("failed_handshakes")
        elif not isinstance(error, OSError):
            super().handle_error(request, client_address)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--ready", required=True)
    parser.add_argument("--cert", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--client-ca", required=True)
    parser.add_argument("--namespace", default="default")
    parser.add_argument("servers", nargs="*")
    world = World(parser.parse_args())
    allocator, steering = Listener(world, Allocator), Listener(world, Steering)
    for listener in (allocator, steering):
        threading.Thread(target=listener.serve_forever, daemon=True).start()
    ready = world.arguments.ready
    with open(ready + ".new", "w", encoding="ascii") as file:
        file.write(f"{allocator.server_port} {steering.server_port}\n")
    os.rename(ready + ".new", ready)
    threading.Event().wait()


if __name__ == "__main__":
    main()
