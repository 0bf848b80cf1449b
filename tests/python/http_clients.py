"""Python's HTTP clients as they come: httpx in both protocols, and urllib. Arguments: the URL, and a file of authorities."""

import ssl
import sys
import urllib.request

import httpx

URL, AUTHORITIES = sys.argv[1:3]
SECURE = URL.startswith("https")
BLOB = bytes(range(256)) * 4096


def context():
    return ssl.create_default_context(cafile=AUTHORITIES)


def equal(left, right, what):
    assert left == right, f"{what}: {left!r} is not {right!r}"


def pieces():
    for _ in range(50):
        yield b"piece" * 1000


def with_httpx(protocol, **versions):
    with httpx.Client(verify=context(), base_url=URL, timeout=20, trust_env=False, **versions) as client:
        answer = client.get("/blob")
        equal((answer.http_version, answer.content == BLOB), (protocol, True), "download")
        answer = client.post("/echo", content=b"x" * 1_000_000)
        equal((answer.headers["x-framing"], len(answer.content)), ("1000000", 1_000_000), "upload")
        answer = client.put("/echo", content=pieces())
        equal((answer.headers["x-framing"], answer.content), ("chunked", b"".join(pieces())), "chunked upload")
        answer = client.post("/echo", json={"a": 1})
        equal(answer.json(), {"a": 1}, "JSON")
        answer = client.get("/blob", headers={"range": "bytes=256-511"})
        equal((answer.status_code, answer.content), (206, bytes(range(256))), "range")
        answer = client.head("/blob")
        equal((answer.headers["content-length"], answer.content), (str(len(BLOB)), b""), "HEAD")
        with client.stream("GET", "/blob") as answer:
            equal(sum(map(len, answer.iter_bytes())), len(BLOB), "stream")
        for _ in range(100):
            equal(client.get("/echo").status_code, 200, "one after another")


def with_urllib():
    over_tls = urllib.request.HTTPSHandler(context=context())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), over_tls)
    equal(opener.open(f"{URL}/blob", timeout=20).read() == BLOB, True, "urllib")
    answer = opener.open(f"{URL}/echo", data=b"a=1", timeout=20)
    equal((answer.read(), answer.headers["x-method"]), (b"a=1", "POST"), "urllib POST")


with_httpx("HTTP/1.1", http1=True, http2=False)
with_httpx("HTTP/2", http1=SECURE, http2=True)
with_urllib()
