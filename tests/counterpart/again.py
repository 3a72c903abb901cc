"""Looks at signed requests as the server does, for tests that have none: each signature is made anew with botocore.

Standard input is JSON: the credentials, and the requests as they would be sent, each with the region and the service that it is for. Where
a request says by which client of botocore's it could be sent, its host has to be that client's as well. Standard output is what
is wrong with each, or null.
"""

import base64
import json
import sys

from botocore.config import Config
from botocore.session import get_session

from record import Clock, Record
from signatures import Checker, Keys, Refused
from web import Request


def main():
    """Reads the requests, and says what is wrong."""
    given = json.load(sys.stdin)
    keys, record, session = Keys(), Record(), get_session()
    keys.add("tests", *(given["credentials"][name] for name in ("accessKeyId", "secretAccessKey", "sessionToken")))
    print(json.dumps([wrong(request, keys, Clock(), record, session) for request in given["requests"]]))


def wrong(given, keys, clock, record, session):
    """What is wrong with a request."""
    if "now" in given:
        clock.skew = given["now"] - clock.wall()
    headers = [(name.lower(), value) for name, value in given["headers"]]
    request = Request(given["method"], given["target"], headers, base64.b64decode(given.get("body", "")))
    try:
        Checker(keys, given["region"], clock, record).check(request, given["service"])
    except Refused as refused:
        return refused.message
    if client := given.get("client"):
        expected = host(session, client, given["region"], given.get("fips", False))
        host_of = request.headers["host"]
        if host_of != expected and not host_of.endswith(f".{expected}"):
            return f"botocore would ask {expected}, and not {host_of}"
    return None


def host(session, service, region, fips):
    """The host that botocore asks. S3 of one region has a name from before there were regions as well."""
    config = Config(use_fips_endpoint=fips, s3={"us_east_1_regional_endpoint": "regional"})
    client = session.create_client(service, region_name=region, config=config, aws_access_key_id="A", aws_secret_access_key="B")
    return client.meta.endpoint_url.partition("://")[2]


if __name__ == "__main__":
    main()
