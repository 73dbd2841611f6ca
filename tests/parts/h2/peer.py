"""A server and a client of HTTP/2 with prior knowledge, by Python's `h2` or, with `httpx`, by the
client that most programs have: `server PORT`, and `client|httpx PORT CONNECTIONS STREAMS BEFORE
AFTER`.

A client sends requests in rounds of STREAMS at once, and says `warm` when each connection has had
BEFORE rounds. It goes on until a line comes, and then for AFTER rounds more, of which it says each
id. A request has its id and other fields, some of twelve, that are new every few rounds, and so has
its response. Each body begins with the id.
"""

import asyncio
import socket
import sys
import threading

import h2.config
import h2.connection
import h2.events
import httpx

ROLE, PORT, *NUMBERS = sys.argv[1:]
ADDRESS = ("127.0.0.1", int(PORT))
TARGET = f"http://127.0.0.1:{PORT}/late"


def fields(prefix, number, epoch):
    found = [(f"{prefix}-id", str(number))]
    for at in range(12):
        mixed = (number * 12 + at) * 40503 % 65536
        if mixed % 3 != 0:
            found.append((f"{prefix}-name-{epoch}-{at}", f"{prefix}{at} is {mixed // 3 % 4}"))
    return found


def body(number, long):
    return str(number) + ("." * 20000 if number % long == 0 else "")


class Stalled:
    """Bodies that wait for the peer's window."""

    def __init__(self, connection):
        self.connection = connection
        self.left = {}

    def send(self, stream, data):
        self.left[stream] = data
        self.go_on()

    def go_on(self):
        for stream, data in list(self.left.items()):
            while data:
                room = self.connection.local_flow_control_window(stream)
                room = min(room, self.connection.max_outbound_frame_size, len(data))
                if room == 0:
                    break
                self.connection.send_data(stream, data[:room], end_stream=room == len(data))
                data = data[room:]
            if data:
                self.left[stream] = data
            else:
                del self.left[stream]


def respond(sock):
    with sock:
        try:
            respond_to_all(sock)
        except ConnectionError:
            # The client is gone.
            pass


def respond_to_all(sock):
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    sock.sendall(connection.data_to_send())
    stalled, requests = Stalled(connection), {}
    while received := sock.recv(65536):
        for event in connection.receive_data(received):
            if isinstance(event, h2.events.RequestReceived):
                head = {name.decode(): value.decode() for name, value in event.headers}
                requests[event.stream_id] = (int(head["x-id"]), int(head["x-epoch"]))
            elif isinstance(event, h2.events.DataReceived):
                connection.acknowledge_received_data(
                    event.flow_controlled_length, event.stream_id
                )
            elif isinstance(event, h2.events.StreamEnded):
                number, epoch = requests.pop(event.stream_id)
                head = [(":status", "200"), *fields("y", number, epoch)]
                connection.send_headers(event.stream_id, head)
                stalled.send(event.stream_id, body(number, 7).encode())
            elif isinstance(event, h2.events.WindowUpdated):
                stalled.go_on()
        sock.sendall(connection.data_to_send())


def serve():
    listener = socket.create_server(ADDRESS)
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=respond, args=(sock,), daemon=True).start()


class Connection:
    """A connection of `h2` and a blocking socket."""

    def __init__(self):
        self.sock = socket.create_connection(ADDRESS)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = h2.connection.H2Connection()
        self.connection.initiate_connection()
        self.sock.sendall(self.connection.data_to_send())
        self.stalled = Stalled(self.connection)

    async def call_all(self, ids, epoch):
        await asyncio.to_thread(self.blocking, ids, epoch)

    def blocking(self, ids, epoch):
        expected, got = {}, {}
        for number in ids:
            stream = self.connection.get_next_available_stream_id()
            head = [
                (":method", "POST"),
                (":scheme", "http"),
                (":authority", "test"),
                (":path", "/late"),
                ("x-epoch", str(epoch(number))),
                *fields("x", number, epoch(number)),
            ]
            self.connection.send_headers(stream, head)
            self.stalled.send(stream, body(number, 11).encode())
            expected[stream], got[stream] = body(number, 7), b""
            self.sock.sendall(self.connection.data_to_send())
        while expected:
            received = self.sock.recv(65536)
            assert received, "the server has closed"
            for event in self.connection.receive_data(received):
                if isinstance(event, h2.events.DataReceived):
                    got[event.stream_id] += event.data
                    self.connection.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id
                    )
                elif isinstance(event, h2.events.StreamEnded):
                    assert expected.pop(event.stream_id) == got[event.stream_id].decode()
                elif isinstance(event, h2.events.WindowUpdated):
                    self.stalled.go_on()
            self.sock.sendall(self.connection.data_to_send())


class Client:
    """A connection of `httpx`."""

    def __init__(self):
        self.client = httpx.AsyncClient(http1=False, http2=True, trust_env=False, timeout=60)

    async def call(self, number, epoch):
        head = [("x-epoch", str(epoch)), *fields("x", number, epoch)]
        response = await self.client.post(TARGET, headers=head, content=body(number, 11))
        assert response.text == body(number, 7)

    async def call_all(self, ids, epoch):
        await asyncio.gather(*(self.call(number, epoch(number)) for number in ids))


async def ask(kind):
    connections, streams, before, after = map(int, NUMBERS)
    progress = {"started": False, "warm": 0}

    async def one(place):
        connection = kind()
        counted, done = 0, 0
        while counted < after:
            counts = progress["started"]
            ids = [(done * streams + at) * connections + place for at in range(streams)]
            await connection.call_all(ids, lambda id_: id_ // (connections * streams * 5))
            if counts:
                counted += 1
                print(*ids, flush=True)
            if done == before:
                progress["warm"] += 1
                if progress["warm"] == connections:
                    print("warm", flush=True)
            done += 1

    async def start():
        await asyncio.to_thread(sys.stdin.readline)
        progress["started"] = True

    await asyncio.gather(start(), *(one(place) for place in range(connections)))


if ROLE == "server":
    serve()
else:
    asyncio.run(ask({"client": Connection, "httpx": Client}[ROLE]))
