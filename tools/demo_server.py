# SPDX-License-Identifier: Apache-2.0
"""The pods' web server in tools/quickstart: answers every GET with who answered and whom it saw asking.

demo_server.py NETWORK/POD [PORT]
"""

import http.server
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers "shop/web-1 172.16.0.10\n": the pod's own name and the client's address as the pod sees it."""

    def do_GET(self):  # the name is the base class's
        body = f"{self.server.pod} {self.client_address[0]}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return self.client_address[0]  # no look-up of names


class Server(http.server.ThreadingHTTPServer):
    """Keeps the pod's name for its handlers."""

    request_queue_size = 128

    def __init__(self, pod, port):
        super().__init__(("0.0.0.0", port), Handler)
        self.pod = pod


if __name__ == "__main__":
    Server(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 8080).serve_forever()
