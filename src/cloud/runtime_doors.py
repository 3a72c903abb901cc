"""Keeps web pages out of the Runtime APIs of functions that run in the local cloud itself: the stubs.

Each is an HTTP server on a port of its own, which a page can find. `<img src="…/invocation/next">` would take a function's call.
"""

import http.server

import pages

# All of them are built on the standard library's handler, here and at the times that ministack starts them.
USES = {}


def apply():
    """Has every such server look at a request's headers before it does anything."""
    original = http.server.BaseHTTPRequestHandler.parse_request

    def parse_request(self):
        if not original(self):
            return False

        def values(name):
            return self.headers.get_all(name, [])

        host = pages.name_of(pages.only(values("Host")))
        # Here an address that somebody has typed is one too many as well.
        if pages.is_loopback(host) and not pages.is_page(values) and not values("Sec-Fetch-Site"):
            return True
        self.close_connection = True
        self.send_error(403, "this address serves one Lambda runtime only")
        return False

    http.server.BaseHTTPRequestHandler.parse_request = parse_request
