"""nghttpx in front of a port: TLS with HTTP/2 or HTTP/1.1, with a certificate of an authority of our own."""

import asyncio
import os
import subprocess

import guard
import ports


class Authority:
    """A certificate authority for one run. Who is to trust it is given `bundle`."""

    def __init__(self, directory):
        self.directory = os.path.join(directory, "tls")
        self.bundle = os.path.join(self.directory, "ca.pem")
        if not os.path.exists(self.bundle):
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
            self._make()

    def path(self, name):
        """A file of the authority."""
        return os.path.join(self.directory, name)

    def _make(self):
        def openssl(*arguments):
            subprocess.run(["openssl", *arguments], check=True, capture_output=True)

        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        constraints = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        openssl("req", "-x509", *key, "-keyout", self.path("ca.key"), "-out", self.bundle, "-days", "2", "-subj", "/CN=counterpart", *constraints)
        openssl("req", *key, "-keyout", self.path("server.key"), "-out", self.path("server.csr"), "-subj", "/CN=127.0.0.1")
        with open(self.path("server.ext"), "w", encoding="utf-8") as file:
            file.write("subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:*.localhost,DNS:counterpart.test,DNS:*.counterpart.test\nbasicConstraints=CA:FALSE\n")
        openssl(
            "x509", "-req", "-in", self.path("server.csr"), "-CA", self.bundle, "-CAkey", self.path("ca.key"), "-CAcreateserial",
            "-out", self.path("server.pem"), "-days", "2", "-extfile", self.path("server.ext"),
        )


class Front:
    """An nghttpx."""

    def __init__(self, authority, target, protocols):
        self.authority, self.target, self.protocols = authority, target, protocols
        self.port = self.process = None

    async def open(self):
        """Starts it."""
        with ports.held() as (self.port,):
            await self._start()

    async def _start(self):
        files = [self.authority.path("server.key"), self.authority.path("server.pem")]
        offered = {"h2": "h2,http/1.1", "http/1.1": "http/1.1"}[self.protocols]
        options = [
            f"--frontend=127.0.0.1,{self.port}", f"--backend=127.0.0.1,{self.target}", "--workers=1", "--single-process", f"--npn-list={offered}", "--no-ocsp",
            "--frontend-read-timeout=3h", "--frontend-write-timeout=3h", "--backend-read-timeout=3h", "--backend-write-timeout=3h",
            "--stream-read-timeout=3h", "--stream-write-timeout=3h", "--frontend-http2-read-timeout=3h", "--frontend-keep-alive-timeout=3h",
            "--read-burst=10M", "--backend-connections-per-host=100", "--errorlog-file=/dev/null", "--accesslog-file=/dev/null", "--conf=/dev/null",
        ]
        program = next((path for path in ("/usr/sbin/nghttpx", "/usr/bin/nghttpx") if os.path.exists(path)), "nghttpx")
        self.process = await asyncio.create_subprocess_exec(
            program, *options, *files, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )
        guard.add(self.process.pid)
        await ports.until_listening(self.port, self.process)

    async def close(self):
        """Ends it."""
        guard.kill(self.process.pid)
        await self.process.wait()
        guard.remove(self.process.pid)
