"""DynamoDB's condition and update expressions: the part of the grammar that the registrations need, evaluated as documented.

Comparisons are between values of one type only; anything else is false. Numbers are compared as numbers, the rest byte for byte.
"""

import re
from decimal import Decimal

TOKEN = re.compile(r"\s*(?:(<>|<=|>=|[=<>(),.+\-\[\]])|([#:]?[A-Za-z_][A-Za-z0-9_\-]*|[#:][A-Za-z0-9_]+|\d+))")


class Invalid(Exception):
    """An expression that DynamoDB would not take."""


class Expression:
    """One expression with its names and values. What it does not use is an error in DynamoDB, so it is noted."""

    def __init__(self, text, names, values):
        self.text, self.names, self.values = text, names or {}, values or {}
        self.used = set()
        self.tokens = []
        at = 0
        while text[at:].strip():
            match = TOKEN.match(text, at)
            if not match:
                raise Invalid(f'Invalid expression: Syntax error; token: "{text[at:].strip()[:1]}"')
            self.tokens.append(match.group(1) or match.group(2))
            at = match.end()
        self.at = 0

    # ---- Reading ----

    def peek(self, ahead=0):
        """The next token, in capitals when it may be a keyword."""
        index = self.at + ahead
        return self.tokens[index] if index < len(self.tokens) else None

    def keyword(self):
        """The next token as a keyword."""
        return (self.peek() or "").upper()

    def take(self, expected=None):
        """The next token, which has to be `expected` if that is given."""
        token = self.peek()
        if token is None or (expected is not None and token.upper() != expected):
            raise Invalid(f'Invalid expression: Syntax error; token: "{token or "<EOF>"}"')
        self.at += 1
        return token

    def name(self):
        """The name of an attribute. Only those at the top are known here."""
        token = self.take()
        if token.startswith("#"):
            if token not in self.names:
                raise Invalid(f"Invalid expression: An expression attribute name used in the document path is not defined; attribute name: {token}")
            self.used.add(token)
            return self.names[token]
        if token.startswith(":") or not re.match(r"[A-Za-z_]", token):
            raise Invalid(f'Invalid expression: Syntax error; token: "{token}"')
        if token.upper() in RESERVED:
            raise Invalid(f"Invalid expression: Attribute name is a reserved keyword; reserved keyword: {token}")
        return token

    def value(self, token):
        """A value of the request."""
        if token not in self.values:
            raise Invalid(f"Invalid expression: An expression attribute value used in expression is not defined; attribute value: {token}")
        self.used.add(token)
        return self.values[token]

    # ---- Conditions ----

    def condition(self):
        """A function of an item that tells whether the condition holds."""
        holds = self._either()
        if self.peek() is not None:
            raise Invalid(f'Invalid expression: Syntax error; token: "{self.peek()}"')
        return holds

    def _either(self):
        parts = [self._both()]
        while self.keyword() == "OR":
            self.take()
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else lambda item: any(part(item) for part in parts)

    def _both(self):
        parts = [self._not()]
        while self.keyword() == "AND":
            self.take()
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else lambda item: all(part(item) for part in parts)

    def _not(self):
        if self.keyword() == "NOT":
            self.take()
            inner = self._not()
            return lambda item: not inner(item)
        if self.peek() == "(":
            self.take()
            inner = self._either()
            self.take(")")
            return inner
        return self._comparison()

    def _comparison(self):
        if self.peek(1) == "(" and self.keyword() in ("ATTRIBUTE_EXISTS", "ATTRIBUTE_NOT_EXISTS", "BEGINS_WITH", "ATTRIBUTE_TYPE", "CONTAINS"):
            function = self.take().upper()
            self.take("(")
            name = self.name()
            argument = None
            if function not in ("ATTRIBUTE_EXISTS", "ATTRIBUTE_NOT_EXISTS"):
                self.take(",")
                argument = self._operand()
            self.take(")")
            return {
                "ATTRIBUTE_EXISTS": lambda item: name in item,
                "ATTRIBUTE_NOT_EXISTS": lambda item: name not in item,
                "BEGINS_WITH": lambda item: plain(item.get(name), str).startswith(plain(argument(item), str) or "\0"),
                "ATTRIBUTE_TYPE": lambda item: name in item and next(iter(item[name])) == plain(argument(item), str),
                "CONTAINS": lambda item: (plain(argument(item), str) or "\0") in plain(item.get(name), str),
            }[function]
        left = self._operand()
        operator = self.keyword()
        if operator == "BETWEEN":
            self.take()
            low = self._operand()
            self.take("AND")
            high = self._operand()
            return lambda item: compare(">=", left(item), low(item)) and compare("<=", left(item), high(item))
        if operator == "IN":
            self.take()
            self.take("(")
            several = [self._operand()]
            while self.peek() == ",":
                self.take()
                several.append(self._operand())
            self.take(")")
            return lambda item: any(compare("=", left(item), one(item)) for one in several)
        if operator not in ("=", "<>", "<", "<=", ">", ">="):
            raise Invalid(f'Invalid expression: Syntax error; token: "{self.peek() or "<EOF>"}"')
        self.take()
        right = self._operand()
        return lambda item: compare(operator, left(item), right(item))

    def _operand(self):
        token = self.peek()
        if token is not None and token.startswith(":"):
            value = self.value(self.take())
            return lambda item: value
        if self.keyword() == "SIZE" and self.peek(1) == "(":
            self.take()
            self.take("(")
            name = self.name()
            self.take(")")
            return lambda item: {"N": str(len(next(iter(item[name].values()))))} if name in item else None
        name = self.name()
        return lambda item: item.get(name)

    # ---- Updates ----

    def update(self):
        """A function that makes the new item of an old one."""
        steps = []
        seen = set()
        while self.peek() is not None:
            clause = self.take().upper()
            if clause not in ("SET", "REMOVE", "ADD", "DELETE") or clause in seen:
                raise Invalid(f'Invalid UpdateExpression: Syntax error; token: "{clause}"')
            seen.add(clause)
            while True:
                steps.append(getattr(self, f"_{clause.lower()}")())
                if self.peek() != ",":
                    break
                self.take()

        def apply(old):
            # Every clause sees the item as it was.
            new = dict(old)
            for step in steps:
                step(old, new)
            return new

        return apply

    def _set(self):
        name = self.name()
        self.take("=")
        left = self._term()
        if self.peek() not in ("+", "-"):
            return lambda old, new: new.__setitem__(name, required(left(old)))
        sign = 1 if self.take() == "+" else -1
        right = self._term()
        return lambda old, new: new.__setitem__(name, number(decimal(left(old)) + sign * decimal(right(old))))

    def _term(self):
        if self.keyword() == "IF_NOT_EXISTS" and self.peek(1) == "(":
            self.take()
            self.take("(")
            name = self.name()
            self.take(",")
            other = self._operand()
            self.take(")")
            return lambda item: item.get(name, other(item))
        return self._operand()

    def _remove(self):
        name = self.name()
        return lambda old, new: new.pop(name, None)

    def _add(self):
        name, value = self.name(), self.value(self.take())

        def step(old, new):
            kind = next(iter(value))
            if kind == "N":
                new[name] = number(decimal(old.get(name, {"N": "0"})) + decimal(value))
            elif kind in ("SS", "NS", "BS"):
                new[name] = {kind: sorted(set(old.get(name, {kind: []})[kind]) | set(value[kind]))}
            else:
                raise Invalid(f"Invalid UpdateExpression: Incorrect operand type for operator or function; operator: ADD, operand type: {kind}")

        return step

    def _delete(self):
        name, value = self.name(), self.value(self.take())
        kind = next(iter(value))

        def step(old, new):
            left = sorted(set(old.get(name, {kind: []})[kind]) - set(value[kind]))
            if left:
                new[name] = {kind: left}
            else:
                new.pop(name, None)

        return step


def plain(value, kind):
    """The text of a value that is one."""
    found = next(iter(value.values())) if value else ""
    return found if isinstance(found, kind) else ""


def required(value):
    """A value, which DynamoDB insists on."""
    if value is None:
        raise Invalid("The provided expression refers to an attribute that does not exist in the item")
    return value


def decimal(value):
    """A number."""
    if required(value).get("N") is None:
        raise Invalid("An operand in the update expression has an incorrect data type")
    return Decimal(value["N"])


def number(value):
    """A number as an attribute."""
    return {"N": format(value.normalize(), "f")}


def compare(operator, left, right):
    """Compares two attributes. What is not there, or is of another type, compares as false; with `<>` as true."""
    if left is None or right is None:
        return False
    (kind, first), (other, second) = next(iter(left.items())), next(iter(right.items()))
    if kind != other:
        return operator == "<>"
    if kind == "N":
        first, second = Decimal(first), Decimal(second)
    elif kind == "S":
        first, second = first.encode(), second.encode()
    if operator in ("=", "<>"):
        return (first == second) == (operator == "=")
    if kind not in ("N", "S", "B"):
        return False
    return {"<": first < second, "<=": first <= second, ">": first > second, ">=": first >= second}[operator]


# Those of the reserved words that somebody might take for the name of an attribute here.
RESERVED = {
    "ADD", "AND", "BETWEEN", "BY", "CONNECTION", "COUNT", "COUNTER", "DATE", "DELETE", "GROUP", "HASH", "IN", "KEY", "KEYS", "LANGUAGE",
    "LAST", "LENGTH", "LEVEL", "LIST", "LOCAL", "LOCATION", "NAME", "NAMES", "NEXT", "NOT", "NUMBER", "OR", "ORDER", "OWNER", "PATH", "PLAN",
    "RANGE", "REGION", "REMOVE", "ROLE", "SESSION", "SET", "SIZE", "STATE", "STATUS", "TIME", "TIMESTAMP", "TOKEN", "TTL", "TYPE", "UPDATE",
    "USER", "VALUE", "VALUES",
}
