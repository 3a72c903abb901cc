"""Handlers whose errors nobody but the runner takes, and some that take their own."""

import json


class OwnError(Exception):
    pass


def inner(text):
    raise OwnError(text)


def deep(event, context):
    inner("deep")


def at_once(event, context):
    raise ValueError("at once")


def in_library(event, context):
    json.loads("{")


async def _coroutine():
    inner("in a coroutine")


def coroutine(event, context):
    import asyncio

    return asyncio.run(_coroutine())


def caught(event, context):
    try:
        inner("caught")
    except OwnError as error:
        return str(error)


def not_json(event, context):
    return object()
