"""Makes `http2-kinds.pcap.gz`: `python http2-kinds.py FILE`, as root, with tcpdump, nghttp, nghttpd,
apache2, curl and node, and a Python that has h2 (4.4.1) and grpcio (1.85.1).

| port | server | clients | what |
|---|---|---|---|
| 31741 | node | node | pushes, 103, trailers, RST_STREAM, WebSocket over HTTP/2 |
| 31742 | nghttpd | nghttp | pushes, padding, CONTINUATION, priorities |
| 31743 | apache2 | curl, nghttp | upgrades from HTTP/1.1 |
| 31744 | grpcio | grpcio | unary and streaming calls, trailers-only, deadlines, large metadata |
| 31745 | h2 | h2 | tables of changing sizes, PING, CONTINUATION both ways, GOAWAY |
"""

import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent import futures

if os.environ.get("INSIDE") != "1":
    os.environ["INSIDE"] = "1"
    os.execvp("unshare", ["unshare", "-n", sys.executable, *sys.argv])

import grpc
import h2.config
import h2.connection
import h2.events
import h2.settings

HERE = pathlib.Path(__file__).parent
FOLDER = pathlib.Path(tempfile.mkdtemp())
NODE, NGHTTP, APACHE, GRPC, PYTHON = range(31741, 31746)
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def start(*command, port=None):
    process = subprocess.Popen(command, **QUIET)
    while port:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.05)
    return process


def node():
    server = start("node", str(HERE / "http2-kinds.mjs"), "server", str(NODE), port=NODE)
    subprocess.run(["node", str(HERE / "http2-kinds.mjs"), "client", str(NODE)], check=True)
    server.kill()


def nghttp():
    root = FOLDER / "root"
    root.mkdir()
    for name, size in (("index.html", 100), ("a.css", 20_000), ("b.js", 70_000)):
        (root / name).write_text(name[0] * size)
    server = start(
        "nghttpd", "--no-tls", "--address=127.0.0.1", "--padding=64", "--push=/=/a.css,/b.js",
        "--trailer=x-end: yes", f"--htdocs={root}", str(NGHTTP), port=NGHTTP,
    )
    target = f"http://127.0.0.1:{NGHTTP}"
    both = [f"{target}/", f"{target}/b.js"]
    for options in ([], ["--padding=100"], ["--continuation"], ["--header-table-size=0"]):
        subprocess.run(["nghttp", "--null-out", "--multiply=3", *options, *both], check=True)
    upload = root / "upload"
    upload.write_text("u" * 40_000)
    subprocess.run(
        ["nghttp", "--null-out", f"--data={upload}", "--trailer=x-sum: 1", f"{target}/a.css"],
        check=True,
    )
    server.kill()


def apache():
    root = FOLDER / "www"
    root.mkdir()
    for name in ("a.txt", "b.txt", "c.txt"):
        (root / name).write_text(name * 300)
    modules = "/usr/lib/apache2/modules"
    names = ["mpm_event", "http2", "authz_core"]
    load = "".join(f"LoadModule {name}_module {modules}/mod_{name}.so\n" for name in names)
    config = FOLDER / "apache.conf"
    config.write_text(
        f"{load}ServerName test\nListen 127.0.0.1:{APACHE}\nProtocols h2c http/1.1\n"
        f"PidFile {FOLDER}/pid\nErrorLog {FOLDER}/error\nDocumentRoot {root}\n"
        f"User www-data\nGroup www-data\nDefaultRuntimeDir {FOLDER}\nMutex file:{FOLDER}\n"
    )
    FOLDER.chmod(0o755)
    server = start("apache2", "-X", "-f", str(config), port=APACHE)
    target = f"http://127.0.0.1:{APACHE}"
    for name in ("a.txt", "b.txt", "nothing"):
        subprocess.run(["curl", "-s", "--http2", f"{target}/{name}"], **QUIET, check=True)
    names = [f"{target}/{name}" for name in ("a.txt", "b.txt", "c.txt")]
    for _ in range(3):
        subprocess.run(["nghttp", "--null-out", "--upgrade", *names], check=True)
    server.kill()


def calls():
    same = {"request_deserializer": None, "response_serializer": None}

    def fail(request, context):
        context.abort(grpc.StatusCode.NOT_FOUND, "nothing of that name")

    def wait(request, context):
        time.sleep(0.3)
        return request

    def large(request, context):
        context.send_initial_metadata((("y-large", "l" * 5000),))
        context.set_trailing_metadata((("y-trailer", "t" * 3000),))
        return request

    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(lambda r, _: r, **same),
        "Server": grpc.unary_stream_rpc_method_handler(lambda r, _: iter([r] * 5), **same),
        "Client": grpc.stream_unary_rpc_method_handler(lambda r, _: b"".join(r), **same),
        "Bidi": grpc.stream_stream_rpc_method_handler(lambda r, _: r, **same),
        "Fail": grpc.unary_unary_rpc_method_handler(fail, **same),
        "Wait": grpc.unary_unary_rpc_method_handler(wait, **same),
        "Large": grpc.unary_unary_rpc_method_handler(large, **same),
    }
    server = grpc.server(futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", handlers),))
    server.add_insecure_port(f"127.0.0.1:{GRPC}")
    server.start()
    for _ in range(2):
        with grpc.insecure_channel(
            f"127.0.0.1:{GRPC}", options=[("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            for number in range(6):
                message = f"message {number}".encode() * 40
                metadata = (("x-number", str(number)),)
                unary, stream = channel.unary_unary, iter
                unary("/t.T/Unary")(message, metadata=metadata)
                list(channel.unary_stream("/t.T/Server")(message, metadata=metadata))
                channel.stream_unary("/t.T/Client")(stream([message] * 3), metadata=metadata)
                list(channel.stream_stream("/t.T/Bidi")(stream([message] * 4), metadata=metadata))
                unary("/t.T/Large")(message, metadata=(("x-large", "L" * 6000), *metadata))
                for name, timeout in (("Fail", 5), ("Missing", 5), ("Wait", 0.05)):
                    try:
                        unary(f"/t.T/{name}")(message, timeout=timeout, metadata=metadata)
                        raise AssertionError(name)
                    except grpc.RpcError:
                        pass
    server.stop(1).wait()


def serve(listener):
    sock, _ = listener.accept()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    sock.sendall(connection.data_to_send())
    count = 0
    while received := sock.recv(65536):
        for event in connection.receive_data(received):
            if isinstance(event, h2.events.StreamEnded):
                count += 1
                if count % 5 == 0:
                    connection.update_settings(
                        {h2.settings.SettingCodes.HEADER_TABLE_SIZE: (0, 200, 4096, 9000)[count // 5 % 4]}
                    )
                head = [(":status", "200" if count % 3 else "206"), ("y-count", str(count))]
                if count % 7 == 0:
                    head.append(("y-large", "y" * 20_000))
                connection.send_headers(event.stream_id, head)
                data = b"d" * (count * 10)
                pad = count % 11 or None
                connection.send_data(event.stream_id, data, end_stream=True, pad_length=pad)
        sock.sendall(connection.data_to_send())
    connection.close_connection()


def python():
    listener = socket.create_server(("127.0.0.1", PYTHON))
    thread = threading.Thread(target=serve, args=(listener,))
    thread.start()
    sock = socket.create_connection(("127.0.0.1", PYTHON))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection = h2.connection.H2Connection()
    connection.initiate_connection()
    for number in range(60):
        stream = connection.get_next_available_stream_id()
        head = [
            (":method", ("PUT", "GET", "DELETE")[number % 3]),
            (":scheme", "http"),
            (":path", f"/thing/{number % 9}"),
            (":authority", "things.test"),
            ("x-number", str(number // 4)),
        ]
        if number % 10 == 9:
            head.append(("x-large", "x" * 30_000))
        if number % 12 == 5:
            connection.update_settings(
                {h2.settings.SettingCodes.HEADER_TABLE_SIZE: (4096, 0, 300, 8000)[number // 12 % 4]}
            )
        connection.send_headers(stream, head)
        data, pad = b"q" * number, number % 5 or None
        connection.send_data(stream, data, end_stream=True, pad_length=pad)
        if number % 4 == 0:
            connection.ping(b"12345678")
        sock.sendall(connection.data_to_send())
        ended = False
        while not ended:
            for event in connection.receive_data(sock.recv(65536)):
                ended |= isinstance(event, h2.events.StreamEnded)
                if isinstance(event, h2.events.DataReceived):
                    connection.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id
                    )
            sock.sendall(connection.data_to_send())
    connection.close_connection()
    sock.sendall(connection.data_to_send())
    sock.close()
    thread.join()


subprocess.run(["ip", "link", "set", "lo", "mtu", "1500", "up"], check=True)
raw = FOLDER / "raw.pcap"
dump = subprocess.Popen(
    ["tcpdump", "-i", "lo", "-U", "-B", "65536", "-w", str(raw), "tcp"], stderr=subprocess.PIPE
)
dump.stderr.readline()
for part in (node, nghttp, apache, calls, python):
    part()
time.sleep(1)
dump.terminate()
print(dump.communicate()[1].decode())
data = subprocess.run(["gzip", "-9nc", str(raw)], check=True, stdout=subprocess.PIPE).stdout
pathlib.Path(sys.argv[1]).write_bytes(data)
