"""An HTTP server that misbehaves according to a plan, one request after the other."""

import http.server
import socket
import struct
import threading
import time
from contextlib import contextmanager

KINDS = (
    "whole",
    "cut",
    "reset",
    "longer",
    "shorter",
    "no length",
    "no ranges",
    "wrong range",
    "redirect",
    "slow",
    "busy",
)


class Server(http.server.ThreadingHTTPServer):
    """Serves `content` at any path as `plan`, a list of (kind, share of the bytes), says; correctly after its end."""

    daemon_threads = True

    def __init__(self, content, plan):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.plan = content, list(plan)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/corpus.zip"

    def handle_error(self, *_):
        """The other side hung up."""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        kind, share = self.server.plan.pop(0) if self.server.plan else ("whole", 1.0)
        if kind == "busy":
            self.send_error(503)
            return
        if kind == "redirect":
            self.send_response(302)
            self.send_header("Location", "/elsewhere.zip")
            self.end_headers()
            return
        content, requested = self.server.content, self.headers.get("Range")
        start = int(requested[6:-1]) if requested and kind != "no ranges" else 0
        if start >= len(content):
            self.send_error(416)
            return
        rest = content[start:]
        self.send_response(206 if start else 200)
        if start:
            first = start + (kind == "wrong range")
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        if kind != "no length":
            self.send_header("Content-Length", len(rest) + {"longer": 1000, "shorter": -len(rest) // 2}.get(kind, 0))
        self.end_headers()
        sent = rest[: round(share * len(rest))] if kind in ("cut", "reset") else rest
        self.wfile.write(sent[: len(sent) // 2])
        if kind == "slow":
            self.wfile.flush()
            time.sleep(0.02)
        self.wfile.write(sent[len(sent) // 2 :])
        if kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, *_):
        """Quiet."""


@contextmanager
def serving(content, plan):
    with Server(content, plan) as server:
        threading.Thread(target=server.serve_forever, args=(0.005,), daemon=True).start()
        yield server
        server.shutdown()
