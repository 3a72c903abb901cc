"""Keeps web pages out of the local cloud's control plane, whether IAM is enforced or not.

A page that somebody looks at can send requests to 127.0.0.1, under any name that resolves to it. ministack would create a function
for it and call that, and add `Access-Control-Allow-Origin: *` to every answer.

What a browser app uses is open to pages, as on AWS, with the app's own answers about origins: endpoints of APIs, function URLs,
distributions, load balancers, AppSync, Cognito's pages, and objects in S3 by a signature in the query. All else is for programs, who
sign what they send in the `Authorization` header: a page cannot send that without being allowed to beforehand.
"""

import logging

import answers
import objects
import pages
import places
import unsigned

# What is replaced or used here, by module.
USES = {"ministack.app": ["AUTH", "app"]}

logger = logging.getLogger("sst.doors")


def apply():
    """Puts this in front of everything that ministack serves at its port."""
    from ministack import app as cloud

    serve = cloud.app

    async def guarded(scope, receive, send):
        if scope["type"] not in ("http", "websocket"):
            return await serve(scope, receive, send)
        request = places.Request(scope)
        door = _websocket_door if scope["type"] == "websocket" else _door
        try:
            answer, receive, send = await door(request, receive, send)
        except Exception:
            # Nobody is let in by a mistake in here.
            logger.exception("cannot look at %s %r", request.method, request.path)
            answer = answers.refusal("InternalFailure", "the request cannot be looked at")
        if answer is None:
            return await serve(scope, receive, send)
        if answer.why:
            logger.warning("refused %s %r: %s", request.method, request.path, answer.why)
        await answers.give(answer, scope["type"], receive, send)

    cloud.app = guarded
    objects.apply()


async def _door(request, receive, send):
    """An answer, if the request is not let in; and how what is let in is received and answered."""
    place = places.find(request)
    if answer := _wrong_name(request, place):
        return answer, receive, send
    if place.kind == "public":
        return None, receive, send
    if place.kind == "object":
        return objects.answer(request, place), receive, objects.with_cors(send, request, place)
    # What is for programs never says that a page may read it.
    send = answers.without_cors(send)
    if request.is_page or request.method == "OPTIONS":
        return answers.page(), receive, send
    if place.kind == "internal" or unsigned.is_signed(request):
        return None, receive, send
    if place.kind == "registry":
        return (None if request.header("authorization") else answers.sign_in()), receive, send
    body, receive = await unsigned.read(receive)
    return unsigned.answer(request, body), receive, send


async def _websocket_door(request, receive, send):
    from ministack import app as cloud

    place = places.find_websocket(request)
    answer = _wrong_name(request, place)
    if answer is None and place.kind != "public":
        # By IAM, which ministack asks only when it is told to. Until then a page could sign with anything.
        if request.is_page and not cloud.AUTH:
            answer = answers.page()
        elif not unsigned.is_signed(request) and "X-Amz-Signature" not in request.query:
            answer = answers.refusal("MissingAuthenticationToken", "who connects here signs that")
    return answer, receive, send


def _wrong_name(request, place):
    """Why a request cannot mean this server, or anything in it, by the name that it was sent to."""
    if any(len(request.values(name)) > 1 for name in ("origin", "referer", "authorization", "sec-fetch-site")):
        return answers.refusal("InvalidRequest", "a header is given twice")
    if request.host is None:
        return answers.refusal("InvalidRequest", "`Host` is not given once, as a name and a port")
    if not pages.is_loopback(request.host) and not place.is_named:
        return answers.refusal("InvalidRequest", f"{request.host} is no name of the local cloud")
    return None
