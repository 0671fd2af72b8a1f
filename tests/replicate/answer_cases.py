# ruff: noqa: E501 - one case a line where it fits
"""Answers of servers as in the public test suites of HTTP parsers, with our own data.

Each case names its suites. ``peers`` says what the suites' parsers do if they differ.
"""

from dataclasses import dataclass, field

LLHTTP, CPYTHON, H11 = "llhttp", "CPython", "h11"


@dataclass(frozen=True)
class Case:
    """The bytes of a server's answer and their expected result: an answer, or a refusal with ``refused``. After the
    bytes the server closes the connection if ``closes``, else it waits. ``kept``: the next request may use the same
    connection.
    """

    name: str
    of: tuple[str, ...]
    raw: bytes
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    kept: bool = True
    closes: bool = False
    refused: str = ""
    peers: str = ""


def _ok(*lines, body=b"", status=b"HTTP/1.1 200 Fine"):
    return b"\r\n".join((status, *lines, b"", body))


def _chunked(body, *lines):
    return _ok(b"Transfer-Encoding: chunked", *lines, body=body)


MADE = (
    # Where an answer ends
    Case("length", (LLHTTP, CPYTHON, H11), _ok(b"Content-Length: 6", body=b"answer"), body=b"answer"),
    Case("length of nothing", (LLHTTP, CPYTHON), _ok(b"Content-Length: 0")),
    Case("length between tabs", (LLHTTP,), _ok(b"Content-Length:\t2\t", body=b"{}"), body=b"{}"),
    Case("another header that begins so", (LLHTTP,), _chunked(b"2\r\nok\r\n0\r\n\r\n", b"Content-Length-Y: 0"), body=b"ok"),
    Case("to the end", (LLHTTP, CPYTHON, H11), _ok(body=b"all of it"), body=b"all of it", kept=False, closes=True),
    Case("to the end, nothing", (LLHTTP,), _ok(), kept=False, closes=True),
    Case("to the end, with close", (LLHTTP,), _ok(b"Connection: close", body=b"<x>"), body=b"<x>", kept=False, closes=True),
    Case("1.0, to the end, though kept alive", (LLHTTP, H11),
         _ok(b"Connection: keep-alive", body=b"HTTP/1.0 200 Fine\r\n\r\n", status=b"HTTP/1.0 200 Fine"),
         body=b"HTTP/1.0 200 Fine\r\n\r\n", kept=False, closes=True),
    Case("to the end, which looks like an answer", (LLHTTP,), _ok(body=_ok()), body=_ok(), kept=False, closes=True),
    Case("no headers", (LLHTTP,), b"HTTP/1.1 404 Nothing\r\n\r\n", status=404, kept=False, closes=True),
    Case("204", (LLHTTP, H11), b"HTTP/1.1 204 Nothing\r\n\r\n", status=204),
    Case("204 with a length", (H11,), b"HTTP/1.1 204 Nothing\r\nContent-Length: 9\r\n\r\n", status=204),
    Case("204 with chunks", (H11,), b"HTTP/1.1 204 Nothing\r\nTransfer-Encoding: chunked\r\n\r\n", status=204),
    Case("204 of 1.0, kept alive", (LLHTTP,), b"HTTP/1.0 204 Nothing\r\nConnection: keep-alive\r\n\r\n", status=204),
    Case("204 and close", (LLHTTP,), b"HTTP/1.1 204 Nothing\r\nConnection: close\r\n\r\n", status=204, kept=False),
    Case("304 with a length", (LLHTTP, H11), b"HTTP/1.1 304 Same\r\nContent-Length: 10\r\n\r\n", status=304),
    Case("304 with chunks", (LLHTTP, H11), b"HTTP/1.1 304 Same\r\nTransfer-Encoding: chunked\r\n\r\n", status=304),
    Case("200 that mentions an upgrade, to the end", (LLHTTP,),
         _ok(b"Connection: upgrade", b"Upgrade: h2c", body=b"x"), body=b"x", kept=False, closes=True),
    Case("200 that mentions an upgrade, with a length", (LLHTTP,),
         _ok(b"Connection: upgrade", b"Upgrade: h2c", b"Content-Length: 1", body=b"x"), body=b"x"),
    Case("200 that mentions an upgrade, in chunks", (LLHTTP,),
         _chunked(b"1\r\nx\r\n0\r\n\r\n", b"Connection: upgrade", b"Upgrade: h2c"), body=b"x"),
    Case("bytes after the answer", (LLHTTP, CPYTHON), _ok(b"Content-Length: 2", body=b"{}more"), body=b"{}", kept=False),
    Case("answers nobody asked for", (LLHTTP,), _ok(b"Content-Length: 1", body=b"1") + _ok(b"Content-Length: 1", body=b"2"),
         body=b"1", kept=False),
    Case("bytes after an answer that ends the connection", (LLHTTP,),
         _ok(b"Connection: close", b"Content-Length: 2", body=b"{}and more"), body=b"{}", kept=False),
    Case("408 unasked, then closed", (H11,), b"HTTP/1.1 408 Late\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
         status=408, kept=False),
    Case("an answer after 204", (LLHTTP,), b"HTTP/1.1 204 Nothing\r\n\r\n" + _ok(), status=204, kept=False),
    Case("an answer after 304", (LLHTTP,), b"HTTP/1.1 304 Same\r\nContent-Length: 10\r\n\r\n" + _ok(), status=304, kept=False),
    Case("204 with a length and chunks", (H11,), b"HTTP/1.1 204 Nothing\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n",
         refused="not valid HTTP", peers="h11 looks at neither"),
    # Bytes before the answer
    Case("a line end first", (LLHTTP,), b"\r\n" + _ok(b"Content-Length: 0"), refused="not valid HTTP", peers="llhttp skips it"),
    Case("a line end alone", (H11,), b"\r\n", refused="not valid HTTP"),
    Case("100 first", (LLHTTP, H11), b"HTTP/1.1 100 Go on\r\n\r\n" + _ok(b"Content-Length: 1", body=b"x"), body=b"x"),
    Case("103 first", (LLHTTP, H11), b"HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n" + _ok(b"Content-Length: 1", body=b"x"),
         body=b"x"),
    # Whether the connection stays open
    Case("1.0", (CPYTHON, H11), _ok(b"Content-Length: 1", body=b"x", status=b"HTTP/1.0 200 Fine"), body=b"x", kept=False),
    Case("1.0, kept alive", (CPYTHON,),
         _ok(b"Connection: KEEP-alive", b"Content-Length: 1", body=b"x", status=b"HTTP/1.0 200 Fine"), body=b"x"),
    Case("close, in another case", (CPYTHON,), _ok(b"Connection: cLosE", b"Content-Length: 1", body=b"x"), body=b"x", kept=False),
    Case("close among others", (H11,), _ok(b"Connection: x, Close , y", b"Content-Length: 1", body=b"x"), body=b"x", kept=False),
    Case("Proxy-Connection is ignored", (LLHTTP,), _ok(b"Proxy-Connection: close", b"Content-Length: 1", body=b"x"), body=b"x"),
    # Chunks
    Case("chunks", (CPYTHON, H11), _chunked(b"3\r\nabc\r\n0B\r\n0123456789-\r\n0\r\n\r\n"), body=b"abc0123456789-"),
    Case("no chunk", (H11,), _chunked(b"0\r\n\r\n")),
    Case("no chunk, and a trailer", (H11,), _chunked(b"0\r\nSum: 1\r\n\r\n")),
    Case("digits of both cases", (H11,), _chunked(b"aA\r\n" + b"y" * 0xAA + b"\r\n0\r\n\r\n"), body=b"y" * 0xAA),
    Case("trailers", (CPYTHON, H11), _chunked(b"1\r\nx\r\n0\r\nSum: 1\r\nOther: 2\r\n\r\n"), body=b"x"),
    Case("bytes after chunks", (CPYTHON,), _chunked(b"1\r\nx\r\n0\r\nSum: 1\r\n\r\nmore"), body=b"x", kept=False),
    Case("extensions", (LLHTTP, CPYTHON, H11), _chunked(b"1;a;b=c\r\nx\r\n1;d\r\ny\r\n0;e=f\r\n\r\n"), body=b"xy"),
    Case("quoted extensions", (LLHTTP, H11), _chunked(b'1;a="b; c";d="e";f\r\nx\r\n0\r\n\r\n'), body=b"x"),
    Case("a body of one line end", (LLHTTP,), _chunked(b"1\r\n\n\r\n0\r\n\r\n"), body=b"\n"),
    # Status lines and headers
    Case("values of one kind and another", (LLHTTP,), _ok(b"A: b", b"C:\t d", b"Content-Length: 0"), headers={"a": "b", "c": "d"}),
    Case("no reason", (LLHTTP, H11), _ok(b"Content-Length: 0", status=b"HTTP/1.1 200")),
    Case("an empty reason", (LLHTTP,), _ok(b"Content-Length: 0", status=b"HTTP/1.1 200 ")),
    Case("a reason after two spaces", (LLHTTP,), _ok(b"Content-Length: 0", status=b"HTTP/1.1 200  Fine")),
    Case("a reason that is not ASCII", (LLHTTP,), _ok(b"Content-Length: 0", status="HTTP/1.1 500 Größe".encode()), status=500),
    Case("underscores in names", (LLHTTP,), _ok(b"A_b: c;d", b"Content-Length: 0"), headers={"a_b": "c;d"}),
    Case("odd first letters of names", (LLHTTP,), _ok(b".a: 1", b"_b: 2", b"$c: 3", b"Content-Length: 0"),
         headers={".a": "1", "_b": "2", "$c": "3"}),
    Case("an empty value before another header", (LLHTTP, H11), _ok(b"Pragma: ", b"Location: /a", b"Content-Length: 0"),
         headers={"pragma": "", "location": "/a"}),
    Case("a value of blanks", (H11,), _ok(b"A: \t \t ", b"Content-Length: 0"), headers={"a": ""}),
    Case("blanks within a value", (H11,), _ok(b"A:  b c d  ", b"Content-Length: 0"), headers={"a": "b c d"}),
    Case("every octet", (CPYTHON,),
         _ok(b"!#$%&'*+-.^_`|~: a", b"V: " + bytes(range(33, 127)), b"O: " + bytes(range(128, 256)), b"Content-Length: 0"),
         headers={"!#$%&'*+-.^_`|~": "a", "v": bytes(range(33, 127)).decode(), "o": bytes(range(128, 256)).decode("latin-1")}),
    Case("folded lines", (CPYTHON, H11), _ok(b"A: b", b" c", b"\t  d", b"Content-Length: 0"), headers={"a": "b c d"}),
    Case("a header more than once", (CPYTHON,), _ok(b"Set-Cookie: a=1", b"Set-Cookie: b=2", b"Content-Length: 0"),
         headers={"set-cookie": "a=1, b=2"}),
    Case("an answer that breaks off an upload", (CPYTHON,),
         b"HTTP/1.0 401 No\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n", status=401, kept=False, closes=True),
    Case("a control character in a cookie", (H11,), _ok(b"Set-Cookie: a=b\x01c", b"Content-Length: 0"), refused="not valid HTTP",
         peers="h11 takes it"),
    # Invalid HTTP
    Case("another protocol's name", (LLHTTP,), b"HTP/1.1 200 Fine\r\n\r\n", refused="not valid HTTP"),
    Case("more than the protocol's name", (LLHTTP,), b"HTTPS/1.1 200 Fine\r\n\r\n", refused="not valid HTTP"),
    Case("a major version of two digits", (LLHTTP,), b"HTTP/01.1 200 Fine\r\n\r\n", refused="not valid HTTP"),
    Case("a major version of eleven", (LLHTTP,), b"HTTP/11.1 200 Fine\r\n\r\n", refused="not valid HTTP"),
    Case("a minor version of two digits", (LLHTTP,), b"HTTP/1.01 200 Fine\r\n\r\n", refused="not valid HTTP"),
    Case("a version of another time", (LLHTTP,), b"HTTP/7.3 200 Fine\r\n\r\n", refused="not valid HTTP"),
    Case("a tab after the version", (LLHTTP,), b"HTTP/1.1\t200 Fine\r\n\r\n", refused="not valid HTTP"),
    Case("a CR before all", (LLHTTP,), b"\rHTTP/1.1\t200 Fine\r\n\r\n", refused="not valid HTTP"),
    Case("two spaces before the status", (LLHTTP,), b"HTTP/1.1  200 Fine\r\n\r\n", refused="not valid HTTP"),
    Case("a status of one digit", (LLHTTP,), b"HTTP/1.1 2 Fine\r\n\r\n", refused="not valid HTTP"),
    Case("a status with a fraction", (CPYTHON,), b"HTTP/1.1 400.1 No\r\n\r\n", refused="not valid HTTP"),
    Case("no status line", (CPYTHON,), b"This is no status line\r\n\r\n", refused="not valid HTTP"),
    Case("a status line that goes on after a NUL", (H11,), b"HTTP/1.0 200 Fine\x00x\r\n\r\n", refused="not valid HTTP"),
    Case("a NUL in a value", (H11,), _ok(b"A: b\x00c", b"Content-Length: 0"), refused="not valid HTTP"),
    Case("a NUL", (H11,), b"\x00", refused="not valid HTTP"),
    Case("a space", (H11,), b" ", refused="not valid HTTP"),
    Case("TLS", (H11,), b"\x16\x03\x03\x001", refused="not valid HTTP"),
    Case("CR between headers", (LLHTTP,), _ok(b"A: 1\rB: 2"), refused="not valid HTTP"),
    Case("CR after the status line", (LLHTTP,), b"HTTP/1.1 200 Fine\rContent-Length: 0\r\n\r\n", refused="not valid HTTP"),
    Case("two CR after the status line", (LLHTTP,), b"HTTP/1.1 200 Fine\r\rContent-Length: 1\r\n\r\nx", refused="not valid HTTP"),
    Case("a folded line before all headers", (LLHTTP, H11), b"HTTP/1.1 200 Fine\r\n Host: a\r\n\r\n", refused="white space before"),
    Case("blanks before the colon", (H11,), _ok(b"A  : b", b"Content-Length: 0"), refused="not valid HTTP"),
    Case("a tab before the colon", (H11,), _ok(b"A\t: b", b"Content-Length: 0"), refused="not valid HTTP"),
    Case("a name of two words", (LLHTTP,), _ok(b"en Content-Type: a", b"Content-Length: 0"), refused="not valid HTTP"),
    Case("LF alone, no body", (LLHTTP,), b"HTTP/1.1 200 Fine\nContent-Length: 0\n\n", refused="not valid HTTP"),
    Case("LF alone, to the end", (LLHTTP,), b"HTTP/1.1 200 Fine\nA: b\n\nx\n", refused="not valid HTTP"),
    Case("LF alone, with close", (LLHTTP,), b"HTTP/1.1 200 Fine\nConnection: close\n\nx", refused="not valid HTTP"),
    Case("two lengths", (LLHTTP,), _ok(b"Content-Length: 1", b"Content-Length: 2", body=b"xy"), refused="not valid HTTP"),
    Case("blanks after a chunk's size", (LLHTTP,), _chunked(b"1  \r\nx\r\n0\r\n\r\n"), refused="not valid HTTP"),
    Case("words after a chunk's size", (LLHTTP,), _chunked(b"1 word\r\nx\r\n0 end\r\n\r\n"), refused="not valid HTTP"),
    Case("a semicolon with nothing after it", (LLHTTP,), _chunked(b"1;\r\nx\r\n0\r\n\r\n"), refused="not valid HTTP"),
    Case("a quoted extension without its end", (LLHTTP,), _chunked(b'1;a="b;c\r\nx\r\n0\r\n\r\n'), refused="not valid HTTP"),
    Case("a chunk's size of a hundred digits", (H11,), _chunked(b"9" * 100 + b"\r\nx"), refused="not valid HTTP"),
    Case("a NUL in a chunk's size", (H11,), _chunked(b"1\x00\r\nx"), refused="not valid HTTP"),
    Case("more bytes than the chunk", (H11,), _chunked(b"1\r\nxyz\r\n"), refused="not valid HTTP"),
    Case("CR and another byte after a chunk", (H11,), _chunked(b"1\r\nx\rz\r\n"), refused="not valid HTTP"),
    Case("another byte and LF after a chunk", (H11,), _chunked(b"1\r\nxz\n\r\n"), refused="not valid HTTP"),
    # Truncated or endless answers
    Case("nothing", (CPYTHON, H11), b"", closes=True, refused="without an answer"),
    Case("100 and nothing more", (CPYTHON,), b"HTTP/1.1 100 Go on\r\n\r\n", closes=True, refused="without an answer"),
    Case("less than the length", (CPYTHON, H11), _ok(b"Content-Length: 9", body=b"x"), closes=True, refused="middle of its answer"),
    Case("chunks without an end", (CPYTHON, H11), _chunked(b"1\r\nx\r\n"), closes=True, refused="middle of its answer"),
    Case("chunks and a word", (CPYTHON,), _chunked(b"1\r\nx\r\nword\r\n"), closes=True, refused="not valid HTTP"),
    Case("an endless status line", (CPYTHON, H11), b"HTTP/1.1 200 " + b"F" * 70_000, refused="more than 65536 bytes"),
    Case("an endless header", (CPYTHON,), _ok(b"A: " + b"b" * 70_000), refused="more than 65536 bytes"),
    Case("too many headers", (CPYTHON,), _ok(*(b"A%d: b" % number for number in range(101))), refused="more than 100 headers"),
    Case("an endless size of a chunk", (CPYTHON,), _chunked(b"0" * 65_536 + b"1\r\nx\r\n0\r\n\r\n"), body=b"x",
         peers="CPython refuses it; here 1 MiB bounds all that is not body"),
    Case("an endless 100", (CPYTHON,), b"HTTP/1.1 100 Go on\r\n" + b"r\n" * 33_000, refused="not valid HTTP"),
    # Accepted by a peer, refused here
    Case("101 with a length", (LLHTTP, H11), b"HTTP/1.1 101 Other\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\nx",
         refused="a switch to another protocol", peers="llhttp and h11 hand the connection over"),
    Case("101 with chunks", (LLHTTP,),
         b"HTTP/1.1 101 Other\r\nConnection: upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
         refused="a switch to another protocol", peers="llhttp hands the connection over"),
    Case("RTSP", (LLHTTP,), b"RTSP/1.1 200 Fine\r\n\r\n", refused="not valid HTTP", peers="llhttp speaks it"),
    Case("ICE", (LLHTTP,), b"ICE/1.1 200 Fine\r\n\r\n", refused="not valid HTTP", peers="llhttp speaks it"),
    Case("version 0.9", (LLHTTP,), b"HTTP/0.9 200 Fine\r\n\r\n", refused="HTTP version 0.9", peers="llhttp takes it"),
    Case("chunked before another coding", (LLHTTP,), _ok(b"Transfer-Encoding: chunked, deflate", body=b"x"), closes=True,
         refused="Transfer-Encoding", peers="llhttp reads to the end, and leaves the coding to its user"),
    Case("chunked and another coding in two lines", (LLHTTP,),
         _ok(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=b"x"), closes=True,
         refused="Transfer-Encoding", peers="llhttp reads to the end"),
    Case("a word that holds chunked twice", (LLHTTP,), _ok(b"Transfer-Encoding: chunkedchunked", body=b"1\r\nx\r\n0\r\n\r\n"),
         closes=True, refused="Transfer-Encoding", peers="llhttp reads to the end"),
    Case("chunked with a folded word", (LLHTTP,), _ok(b"Transfer-Encoding: chunked", b"  word", body=b"1\r\nx\r\n0\r\n\r\n"),
         refused="Transfer-Encoding", peers="llhttp takes it in a lenient mode"),
    Case("chunks with a length", (H11,), _chunked(b"1\r\nx\r\n0\r\n\r\n", b"Content-Length: 9"),
         refused="not valid HTTP", peers="h11 takes the chunks; two readers may see two ends"),
    Case("a length below zero", (CPYTHON,), _ok(b"Content-Length: -1", body=b"x"), closes=True, refused="not valid HTTP",
         peers="CPython reads to the end"),
    Case("a header without a name", (CPYTHON, H11), _ok(b"A: b", b": c", b"Content-Length: 0"), refused="not valid HTTP",
         peers="CPython ignores it"),
    Case("a status line and nothing more", (CPYTHON,), b"HTTP/1.1 200 Fine", closes=True, refused="middle of its answer",
         peers="CPython treats it as an answer"),
    Case("chunks without the last line end", (CPYTHON,), _chunked(b"1\r\nx\r\n0\r\n"), closes=True,
         refused="middle of its answer", peers="CPython treats it as the end"),
    Case("LF alone after some lines", (H11,), b"HTTP/1.1 200 Fine\r\nA: b\nContent-Length: 0\n\r\n", refused="not valid HTTP",
         peers="h11 takes it"),
    Case("LF alone before the body", (H11,), b"HTTP/1.1 200 Fine\r\nA: b\n\r\n", refused="not valid HTTP", peers="h11 takes it"),
    Case("LF alone everywhere", (H11,), b"HTTP/1.1 200 Fine\nA: b\nC: d\n\n", refused="not valid HTTP", peers="h11 takes it"),
    Case("blanks after a chunk's size, h11's", (H11,), _chunked(b"1   \t \r\nx\r\n0\r\n\r\n"), refused="not valid HTTP",
         peers="h11 takes it"),
)  # fmt: skip
