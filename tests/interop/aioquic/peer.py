#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""interop peer on aioquic, HTTP/3. The command line is that of every peer in tests/interop (docs/interop.md):

peer.py client HOST ADDRESS PORT CA TEST PATH OUTPUT
peer.py server ADDRESS PORT CERT KEY DOCUMENTS [retry]
"""
import asyncio
import pathlib
import socket
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, ProtocolNegotiated
from aioquic.quic.packet import QuicProtocolVersion

TIME_LIMIT = 25
IDLE_LIMIT = 8
CHANGE_AFTER = 500_000  # bytes of the answer, before the address changes
WINDOW = 8 << 20


class Failed(Exception):
    pass


class Client(QuicConnectionProtocol):
    """One request. `half_way`, if set, is called in the middle of the answer."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.h3 = H3Connection(self._quic)
        self.answer = self._loop.create_future()
        self.body = bytearray()
        self.status = None
        self.early_data_accepted = False
        self.half_way = None

    def request(self, host, path):
        stream = self._quic.get_next_available_stream_id()
        headers = {":method": "GET", ":scheme": "https", ":authority": host, ":path": path}
        self.h3.send_headers(stream, [(n.encode(), v.encode()) for n, v in headers.items()], end_stream=True)
        self.transmit()
        return self.answer

    def quic_event_received(self, event):
        if isinstance(event, HandshakeCompleted):
            self.early_data_accepted = event.early_data_accepted
        elif isinstance(event, ConnectionTerminated) and not self.answer.done():
            self.answer.set_exception(Failed(f"connection ended: {event.error_code} {event.reason_phrase}"))
        for h3_event in self.h3.handle_event(event):
            self.h3_event_received(h3_event)

    def h3_event_received(self, event):
        if isinstance(event, HeadersReceived):
            self.status = dict(event.headers)[b":status"]
        elif isinstance(event, DataReceived):
            self.body += event.data
            if self.half_way and len(self.body) >= CHANGE_AFTER:
                half_way, self.half_way = self.half_way, None
                self._loop.create_task(half_way())
        if getattr(event, "stream_ended", False) and not self.answer.done():
            self.answer.set_result(None)

    async def swap_socket(self):
        """Changes the socket under aioquic, which knows nothing of it: as a NAT that forgot."""
        old = self._transport
        fresh = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        fresh.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        fresh.bind(("::", 0))
        await self._loop.create_datagram_endpoint(lambda: self, sock=fresh)  # sets self._transport
        old.close()

    async def migrate(self):
        """A new address and, as RFC 9000 s9.5 asks, a new connection ID."""
        await self.swap_socket()
        self.change_connection_id()


def client_configuration(host, ca, **more):
    configuration = QuicConfiguration(
        alpn_protocols=H3_ALPN,
        is_client=True,
        server_name=host,
        idle_timeout=IDLE_LIMIT,
        max_data=WINDOW,
        max_stream_data=WINDOW,
        **more,
    )
    configuration.load_verify_locations(ca)
    return configuration


async def fetch(configuration, address, port, host, path, output, half_way=None, keep_ticket=None):
    """One connection, one document; the protocol object tells how it went."""
    early = configuration.session_ticket is not None
    async with connect(
        address,
        port,
        configuration=configuration,
        create_protocol=Client,
        session_ticket_handler=keep_ticket,
        wait_connected=not early,
    ) as client:
        if half_way:
            client.half_way = lambda: half_way(client)
        await client.request(host, path)
        if client.status != b"200":
            raise Failed(f"status {client.status}")
        pathlib.Path(output).write_bytes(client.body)
        return client


async def resume(host, address, port, ca, path, output):
    """Gets the document twice: for a session ticket, then in 0-RTT."""
    tickets = []
    await fetch(client_configuration(host, ca), address, port, host, path, output, keep_ticket=tickets.append)
    if not tickets:
        raise Failed("no session ticket came")
    configuration = client_configuration(host, ca, session_ticket=tickets[-1])
    client = await fetch(configuration, address, port, host, path, output)
    if not client.early_data_accepted:
        raise Failed("0-RTT was not accepted")


async def get(host, address, port, ca, test, path, output):
    v1, v2 = QuicProtocolVersion.VERSION_1, QuicProtocolVersion.VERSION_2
    versions, half_way = [v1], None
    if test == "0rtt":
        return await resume(host, address, int(port), ca, path, output)
    if test == "v2":
        versions = [v2]
    elif test == "upgrade":
        versions = [v2, v1]
    elif test == "rebind":
        half_way = Client.swap_socket
    elif test == "migrate":
        half_way = Client.migrate
    elif test != "plain":
        raise Failed(f"unknown test '{test}'")
    original = v1 if test == "upgrade" else versions[0]
    configuration = client_configuration(host, ca, supported_versions=versions, original_version=original)
    await fetch(configuration, address, int(port), host, path, output, half_way)


class Server(QuicConnectionProtocol):
    documents = None  # a directory

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.h3 = None

    def quic_event_received(self, event):
        if isinstance(event, ProtocolNegotiated):
            self.h3 = H3Connection(self._quic)
        if self.h3:
            for h3_event in self.h3.handle_event(event):
                if isinstance(h3_event, HeadersReceived):
                    self.answer(h3_event.stream_id, dict(h3_event.headers)[b":path"].decode())

    def answer(self, stream, path):
        """A path from the network stays below the directory of documents."""
        file = (self.documents / path.lstrip("/")).resolve()
        found = file.is_file() and file.is_relative_to(self.documents)
        self.h3.send_headers(stream, [(b":status", b"200" if found else b"404")], end_stream=not found)
        if found:
            self.h3.send_data(stream, file.read_bytes(), end_stream=True)
        self.transmit()


async def serve_documents(address, port, cert, key, documents, retry=None):
    Server.documents = pathlib.Path(documents).resolve()
    configuration = QuicConfiguration(alpn_protocols=H3_ALPN, is_client=False)
    configuration.load_cert_chain(cert, key)
    tickets = {}
    await serve(
        address,
        int(port),
        configuration=configuration,
        create_protocol=Server,
        session_ticket_fetcher=lambda label: tickets.pop(label, None),
        session_ticket_handler=lambda ticket: tickets.update({ticket.ticket: ticket}),
        retry=retry == "retry",
    )
    print("ready", flush=True)
    await asyncio.Event().wait()


def main(role=None, *args):
    if role == "client" and len(args) == 7:
        asyncio.run(asyncio.wait_for(get(*args), TIME_LIMIT))
    elif role == "server" and len(args) in (5, 6):
        asyncio.run(serve_documents(*args))
    else:
        raise Failed(__doc__)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (Failed, OSError, TimeoutError) as error:
        sys.exit(f"aioquic: {error or 'timed out'}")
