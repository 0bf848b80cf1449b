"""An HTTP/1.1 server as clients of other makers like to ask one. Prints its port; ends with its standard input.

/echo       what was sent, and how: method, framing and type in fields
/blob       a mebibyte that can be asked for in ranges
/page       a page whose script asks for more and tells what came of it
/tell       what is sent here is printed
/app.js, /style.css   its parts
/events     three server-sent events
/chat       a WebSocket that sends back what it is sent, once
"""

import base64
import hashlib
import http.server
import re
import sys
import threading

BLOB = bytes(range(256)) * 4096
PAGE = b"""<!doctype html><title>page</title><link rel=stylesheet href=/style.css><p id=out>waiting</p>
<script src=/app.js></script>"""
STYLE = b"#out { width: 123px; display: block }"
SCRIPT = rb"""
const said = [];
async function main() {
  const post = await fetch('/echo', { method: 'POST', body: 'x'.repeat(100000) });
  said.push('post ' + post.status + ' ' + (await post.text()).length);
  const many = await Promise.all([...Array(20).keys()].map(n => fetch('/echo?' + n).then(r => r.status)));
  said.push('many ' + many.filter(s => s === 200).length);
  said.push('style ' + getComputedStyle(document.getElementById('out')).width);
  said.push('events ' + await new Promise((good, bad) => {
    const got = [], source = new EventSource('/events');
    source.onmessage = e => { got.push(e.data); if (got.length === 3) { source.close(); good(got.join('+')); } };
    source.onerror = () => bad('events broke');
  }));
  said.push('socket ' + await new Promise((good, bad) => {
    const socket = new WebSocket(location.origin.replace('http', 'ws') + '/chat');
    socket.onopen = () => socket.send('hello');
    socket.onmessage = e => { good(e.data); socket.close(); };
    socket.onerror = () => bad('socket broke');
  }));
  said.push('over ' + performance.getEntriesByType('navigation')[0].nextHopProtocol);
}
main().then(() => said.push('done'), e => said.push('FAILED ' + e))
  .then(() => fetch('/tell', { method: 'POST', body: said.join('; ') }));
"""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def answer(self, status, body, **fields):
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        if self.headers.get("transfer-encoding") == "chunked":
            whole = b""
            while size := int(self.rfile.readline(), 16):
                whole += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return whole
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def echo(self):
        framing = self.headers.get("transfer-encoding") or self.headers.get("content-length") or "none"
        kind = self.headers.get("content-type") or "text/plain"
        self.answer(200, self.body(), x_method=self.command, x_framing=framing, content_type=kind)

    def blob(self):
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range") or "")
        if not wanted:
            return self.answer(200, BLOB, accept_ranges="bytes")
        first, last = map(int, wanted.groups())
        span = f"bytes {first}-{last}/{len(BLOB)}"
        self.answer(206, BLOB[first:last + 1], content_range=span)

    def events(self):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for word in (b"one", b"two", b"three"):
            event = b"data: " + word + b"\n\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            self.wfile.flush()
        # The client is the one who leaves.
        self.rfile.read(1)
        self.close_connection = True

    def chat(self):
        key = self.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.send_response(101)
        for name, value in (("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-accept", accept)):
            self.send_header(name, value)
        self.end_headers()
        head = self.rfile.read(2)
        mask = self.rfile.read(4)
        text = bytes(byte ^ mask[at % 4] for at, byte in enumerate(self.rfile.read(head[1] & 127)))
        self.wfile.write(bytes((head[0], len(text))) + text)
        self.wfile.flush()
        self.rfile.read()
        self.close_connection = True

    def do_GET(self):
        fixed = {"/page": ("text/html", PAGE), "/app.js": ("text/javascript", SCRIPT), "/style.css": ("text/css", STYLE)}
        path = self.path.split("?")[0]
        if path in fixed:
            kind, body = fixed[path]
            return self.answer(200, body, content_type=kind)
        {"/blob": self.blob, "/events": self.events, "/chat": self.chat}.get(path, self.echo)()

    do_HEAD = do_GET

    def do_POST(self):
        if self.path == "/tell":
            print(self.body().decode(), flush=True)
            return self.answer(204, b"")
        self.echo()

    do_PUT = do_DELETE = do_PATCH = do_POST


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_):
        pass


server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
