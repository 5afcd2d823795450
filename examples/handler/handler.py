"""A service for HANDLER_URL, with nothing but Python's standard library: it answers each window with the sum of its
records' `value`. main.go, next to it, is the same in Go.

    python3 examples/handler/handler.py 9000
    STREAM=s EMITTER=count WINDOW_SIZE=100 HANDLER_URL=http://127.0.0.1:9000 SINK=kafka … process
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept

    def do_POST(self):
        window = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        data = window["data"]
        if not data:
            return self.answer(204)  # nothing is written for this window
        try:
            result = {"window": window["id"], "count": len(data), "sum": sum(record["value"] for record in data)}
        except (KeyError, TypeError) as e:
            return self.answer(422, {"error": repr(e)})  # 4xx: a dead letter at once
        self.answer(200, result)

    def answer(self, status, body=None):
        text = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
