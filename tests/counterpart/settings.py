"""What a test can set, with the values that AWS documents, and the faults that a test can ask for."""

import fnmatch
import random


def defaults():
    """The settings at the start."""
    return {
        "gateway": {
            # Quotas of WebSocket APIs; none of them can be raised.
            "frameLimit": 32 * 1024,
            "messageLimit": 128 * 1024,
            "urlLimit": 4096,
            "idleMs": 10 * 60 * 1000,
            "ageMs": 2 * 60 * 60 * 1000,
            # The account's quota of requests per second over all APIs. Newer regions have 2500 with a burst of 1250.
            "rate": 10_000,
            "burst": 5_000,
            "retryAfterSeconds": 1,
            # How many requests a second the account's other APIs are asked. They share the quota.
            "others": 0,
            # New connections per second.
            "connectRate": 500,
            "connectBurst": 500,
            "pong": True,
            # Nobody has confirmed that a ping counts as activity, so by default it does not.
            "pingIsActivity": False,
            # What may wait for a receiver that does not read before a post is answered with 429. Documented without a number.
            "socketBuffer": None,
            # How long it takes until `hello` is answered, e.g. for a cold start, and whether it is answered at all.
            "helloMs": 0,
            "hello": "answer",
            # At which routes mocks are supported.
            "mock": {"$connect": True, "hello": True},
            # What goes wrong with messages that were answered with 200, for those to the developer's machine and those to stubs.
            "toClient": {},
            "toStub": {},
        },
        "functions": {
            # As many execution environments as a function may have.
            "concurrency": 10,
            "freeze": True,
            # How long Lambda waits before it sends an asynchronous event that failed once more.
            "retryMs": [60_000, 120_000],
            "environment": {},
            # Why an environment is initialised, as it is told: `on-demand`, `provisioned-concurrency` and so on.
            "initialization": "on-demand",
            # Whether functions in Python whose code is in their template run. Else they answer at once.
            "inline": True,
            # How often somebody has to look at an update before it is over.
            "updateLooks": 1,
            # The next updates of which functions fail: by name, `{"code": …, "reason": …}`.
            "failUpdates": {},
            # Whether new environments have no call yet. What they are initialised for waits until this is set back.
            "initializedAhead": False,
        },
        # How long a text may be to be kept whole in the record.
        "recordedText": 2048,
    }


# Settings that are set as a whole, because what is not named in them is not wanted any more.
WHOLE = ("toClient", "toStub", "environment", "fail", "failDelete", "failUpdates")


def merge(into, changes):
    """Sets some of the settings and leaves the others."""
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict) and key not in WHOLE:
            merge(into[key], value)
        else:
            into[key] = value


class Bucket:
    """A token bucket by the counterpart's clock. Rate and burst are looked up each time, because a test may change them."""

    def __init__(self, clock, limits):
        self._clock, self._limits = clock, limits
        self._tokens, self._since = None, clock.now()

    def take(self):
        """Takes a token, if there is one."""
        rate, burst, others = (*self._limits(), 0)[:3]
        now = self._clock.now()
        held = burst if self._tokens is None else self._tokens
        if others:
            # Each of the others takes one as well, if there is one, at equal intervals.
            for number in range(int(self._since * others) + 1, int(now * others) + 1):
                held = min(burst, held + (number / others - self._since) * rate)
                self._since = number / others
                held -= 1 if held >= 1 else 0
        held = min(burst, held + (now - self._since) * rate)
        self._since = now
        self._tokens = held - 1 if held >= 1 else held
        return held >= 1


class Faults:
    """Rules by which requests are refused, delayed, or lost, in the order in which the test gave them."""

    def __init__(self):
        self._rules = []
        self._last = 0

    def add(self, rule):
        """Adds a rule; see `README.md`. Its chances come from its own seed, so that a run can be repeated."""
        self._last += 1
        self._rules.append({"id": self._last, "random": random.Random(rule.get("seed", 1)), "hits": 0, **rule})
        return self._last

    def remove(self, number=None):
        """Removes one rule, or all."""
        self._rules = [rule for rule in self._rules if number is not None and rule["id"] != number]

    def take(self, facts):
        """The first rule that applies to a request with these facts, which is thereby used."""
        for rule in self._rules:
            wanted = rule.get("match", {})
            if not all(fnmatch.fnmatchcase(facts.get(name) or "", pattern) for name, pattern in wanted.items()):
                continue
            if rule.get("skip", 0) > 0:
                rule["skip"] -= 1
                continue
            if rule.get("times") is not None and rule["hits"] >= rule["times"]:
                continue
            if rule["random"].random() < rule.get("probability", 1):
                rule["hits"] += 1
                return rule
        return None

    def shown(self):
        """The rules and how often each was used."""
        return [{name: value for name, value in rule.items() if name != "random"} for rule in self._rules]
