"""A client of the Lambda Runtime API.

It speaks HTTP/1.1 on a plain socket instead of using `http.client`, for three reasons: libraries that trace, record, or replace
sockets patch Python's modules and would see our calls; `http.client` takes longer to load than all of the runner; and there is
less to do for each invocation.
"""

import _socket

_PREFIX = "/2018-06-01/runtime"

#: The cause of an error travels twice, in the body and in a header for X-Ray. Only the header is left out when it is large, so
#: that no server refuses the request for it. In bytes.
_LONGEST_XRAY_CAUSE = 64 * 1024


class RuntimeApi:
    """The client of one worker. It is used by one thread."""

    def __init__(self, address):
        """
        :param address: `host:port`, the value of `AWS_LAMBDA_RUNTIME_API`
        """
        host, _, port = address.rpartition(":")
        self.address = address
        self._host = host
        self._port = int(port)
        self._connection = None

    def next(self):
        """Waits for the next invocation, without a time limit.

        :returns: the headers, names in lower case, and the event
        """
        status, headers, body = self._request("GET", "/invocation/next", ["Sst-Runner: 1"])
        if status != 200:
            raise ValueError("asking for the next invocation was answered with status {}: {!r}".format(status, body))
        return headers, body

    def respond(self, request_id, body, content_type):
        """Answers an invocation.

        Nothing is made of the status: 413 says that the result is too large, and others that the invocation was answered
        before, for instance because it took too long. Its caller knows.
        """
        self._post("/invocation/{}/response".format(request_id), [], body, content_type)

    def fail(self, request_id, body, xray_cause):
        """Reports that an invocation failed.

        :param body: the error in Lambda's shape, as JSON
        :param xray_cause: the same in the shape of X-Ray
        """
        headers = []
        if len(xray_cause.encode("utf-8", "replace")) <= _LONGEST_XRAY_CAUSE:
            headers.append("Lambda-Runtime-Function-XRay-Error-Cause: " + xray_cause)
        self._post("/invocation/{}/error".format(request_id), headers, body.encode("utf-8", "replace"))

    def fail_init(self, error_type, body):
        """Reports that the function cannot be loaded."""
        # Names of error classes are up to the developer; what is not allowed in a header stays out of it.
        error_type = "".join(c if " " <= c <= "~" else "?" for c in error_type)
        headers = ["Lambda-Runtime-Function-Error-Type: " + error_type]
        self._post("/init/error", headers, body.encode("utf-8", "replace"))

    def _post(self, path, headers, body, content_type="application/json"):
        headers = headers + ["Content-Type: " + content_type, "Content-Length: {}".format(len(body))]
        return self._request("POST", path, headers, body)

    def _request(self, method, path, headers, body=b""):
        lines = ["{} {}{} HTTP/1.1".format(method, _PREFIX, path), "Host: " + self.address, "User-Agent: sst-python"]
        message = "\r\n".join(lines + headers + ["", ""]).encode("utf-8", "replace") + body
        kept, self._connection = self._connection, None
        connection = kept or _Connection(self._host, self._port)
        try:
            response = connection.exchange(message)
        except OSError:
            connection.close()
            # A server may close a kept connection at any time, also in the moment in which it is used again.
            if kept is None:
                raise
            connection = _Connection(self._host, self._port)
            response = connection.exchange(message)
        if connection.reusable:
            self._connection = connection
        else:
            connection.close()
        return response


class _Connection:
    """One connection; one request at a time."""

    def __init__(self, host, port):
        self.reusable = True
        self._rest = b""
        self._socket = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        self._socket.connect((host, port))
        self._socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)

    def close(self):
        self._socket.close()

    def exchange(self, message):
        """Sends a request and waits for its response (RFC 9112).

        :returns: the status, the headers with names in lower case, and the body
        """
        self._socket.sendall(message)
        status_line = self._line()
        version, _, rest = status_line.partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
            raise ValueError("the answer is not HTTP/1.1: {!r}".format(status_line))
        headers = {}
        line = self._line()
        while line:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
            line = self._line()
        if headers.get("connection", "").lower() == "close":
            self.reusable = False
        return int(rest[:3]), headers, self._body(int(rest[:3]), headers)

    def _body(self, status, headers):
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return b"".join(self._chunks())
        if status == 204:
            return b""
        if "content-length" in headers:
            return self._bytes(int(headers["content-length"]))
        # The end of the connection is the end of the response.
        self.reusable = False
        parts = [self._rest]
        data = self._socket.recv(65536)
        while data:
            parts.append(data)
            data = self._socket.recv(65536)
        return b"".join(parts)

    def _chunks(self):
        length = -1
        while length != 0:
            length = int(self._line().partition(";")[0], 16)
            yield self._bytes(length)
            if length > 0:
                self._line()
        # Trailers, up to an empty line.
        while self._line():
            pass

    def _line(self):
        while True:
            line, end, rest = self._rest.partition(b"\r\n")
            if end:
                self._rest = rest
                return line.decode("utf-8", "replace")
            self._rest += self._receive()

    def _bytes(self, count):
        parts, missing = [self._rest], count - len(self._rest)
        while missing > 0:
            parts.append(self._receive())
            missing -= len(parts[-1])
        # Put together once, however many pieces there are.
        everything = b"".join(parts)
        self._rest = everything[count:]
        return everything[:count]

    def _receive(self):
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionResetError("the connection was closed before an answer came")
        return data
