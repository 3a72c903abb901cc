"""DynamoDB: tables with a partition key, and the few operations on items that registrations need."""

import json
import zlib

from expressions import Expression, Invalid
from web import Response

# An item, with its names.
LONGEST_ITEM = 400 * 1024

MODULE = "com.amazonaws.dynamodb.v20120810#"
FRONT_END = "com.amazon.coral.service#"


class Failed(Exception):
    """An error with a type, as DynamoDB answers it."""

    def __init__(self, kind, message, module=MODULE, status=400, **more):
        super().__init__(message)
        self.kind, self.module, self.status = kind, module, status
        # Coral's own errors spell it with a small letter as well, except for those about access.
        self.body = {"__type": module + kind, ("Message" if kind == "AccessDeniedException" else "message"): message, **more}


def answer(status, value):
    """An answer with the checksum that DynamoDB sends along, and that SDKs check."""
    body = json.dumps(value).encode()
    return Response(status, body, {"x-amz-crc32": str(zlib.crc32(body))}, "application/x-amz-json-1.0")


def failure(kind, message, status=400):
    """An answer of another part of the counterpart: a bad signature, or a fault that a test asked for."""
    module = MODULE if kind in ("ProvisionedThroughputExceededException", "RequestLimitExceeded", "InternalServerError") else FRONT_END
    return answer(status, Failed(kind, message, module, status).body)


class DynamoDb:
    """All tables of the account."""

    def __init__(self, world):
        self.world = world
        self.tables = {}

    def create_table(self, name, key="pk"):
        """A table with a partition key of strings."""
        self.tables[name] = {"key": key, "items": {}}

    def handle(self, request, key):
        """Answers a request."""
        operation = request.headers.get("x-amz-target", "").removeprefix("DynamoDB_20120810.")
        try:
            parameters = json.loads(request.body)
            known = getattr(self, f"_{operation}", None)
            if known is None:
                raise Failed("UnknownOperationException", f"the counterpart knows no {operation}", FRONT_END)
            result = known(parameters)
        except Failed as failed:
            self.world.record.add("dynamodb", operation=operation, who=key["who"], error=failed.kind)
            return answer(failed.status, failed.body)
        except Invalid as invalid:
            self.world.record.add("dynamodb", operation=operation, who=key["who"], error="ValidationException")
            return answer(400, Failed("ValidationException", str(invalid), FRONT_END).body)
        shown = {name: parameters.get(name) for name in ("TableName", "Key", "Item") if name in parameters}
        self.world.record.add("dynamodb", operation=operation, who=key["who"], **shown)
        return answer(200, result)

    def _table(self, parameters):
        table = self.tables.get(parameters.get("TableName"))
        if table is None:
            raise Failed("ResourceNotFoundException", "Requested resource not found")
        return table

    @staticmethod
    def _key(table, attributes, exactly):
        value = attributes.get(table["key"])
        if value is None or "S" not in value or (exactly and len(attributes) != 1):
            raise Failed("ValidationException", "The provided key element does not match the schema", FRONT_END)
        if not value["S"]:
            message = "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value."
            raise Failed("ValidationException", f"{message} Key: {table['key']}", FRONT_END)
        return value["S"]

    @staticmethod
    def _expression(parameters, *names):
        """The expressions of a request, all of whose names and values have to be used."""
        attribute_names, values = parameters.get("ExpressionAttributeNames"), parameters.get("ExpressionAttributeValues")
        made = [Expression(parameters[name], attribute_names, values) if name in parameters else None for name in names]
        parsed = []
        for name, expression in zip(names, made):
            parse = "update" if name == "UpdateExpression" else "condition"
            parsed.append(getattr(expression, parse)() if expression else None)
        used = set().union(*(expression.used for expression in made if expression))
        for what, given in (("Names", attribute_names), ("Values", values)):
            if given and not any(made):
                raise Invalid(f"ExpressionAttribute{what} can only be specified when using expressions")
            if unused := set(given or {}) - used:
                message = f"Value provided in ExpressionAttribute{what} unused in expressions: keys: {{{', '.join(sorted(unused))}}}"
                raise Invalid(message)
        return parsed

    @staticmethod
    def _check(condition, old, parameters):
        if condition is None or condition(old or {}):
            return
        more = {}
        if parameters.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" and old is not None:
            more["Item"] = old
        raise Failed("ConditionalCheckFailedException", "The conditional request failed", **more)

    @staticmethod
    def _room(item):
        size = sum(len(name.encode()) + len(json.dumps(value)) for name, value in item.items())
        if size > LONGEST_ITEM:
            raise Failed("ValidationException", "Item size has exceeded the maximum allowed size", FRONT_END)

    @staticmethod
    def _returned(parameters, old, new):
        wanted = parameters.get("ReturnValues", "NONE")
        chosen = {"ALL_OLD": old, "ALL_NEW": new, "UPDATED_OLD": old, "UPDATED_NEW": new}.get(wanted)
        return {"Attributes": chosen} if chosen else {}

    def _GetItem(self, parameters):
        table = self._table(parameters)
        item = table["items"].get(self._key(table, parameters["Key"], True))
        return {"Item": item} if item is not None else {}

    def _PutItem(self, parameters):
        table = self._table(parameters)
        if parameters.get("ReturnValues", "NONE") not in ("NONE", "ALL_OLD"):
            raise Failed("ValidationException", "Return values set to invalid value", FRONT_END)
        number = self._key(table, parameters["Item"], False)
        old = table["items"].get(number)
        (condition,) = self._expression(parameters, "ConditionExpression")
        self._check(condition, old, parameters)
        self._room(parameters["Item"])
        table["items"][number] = parameters["Item"]
        return self._returned(parameters, old, None)

    def _UpdateItem(self, parameters):
        table = self._table(parameters)
        number = self._key(table, parameters["Key"], True)
        old = table["items"].get(number)
        update, condition = self._expression(parameters, "UpdateExpression", "ConditionExpression")
        self._check(condition, old, parameters)
        new = update(old or {}) if update else dict(old or {})
        if new.get(table["key"], parameters["Key"][table["key"]]) != parameters["Key"][table["key"]]:
            message = f"One or more parameter values were invalid: Cannot update attribute {table['key']}. This attribute is part of the key"
            raise Failed("ValidationException", message, FRONT_END)
        new.update(parameters["Key"])
        self._room(new)
        table["items"][number] = new
        return self._returned(parameters, old, new)

    def _DeleteItem(self, parameters):
        table = self._table(parameters)
        number = self._key(table, parameters["Key"], True)
        old = table["items"].get(number)
        (condition,) = self._expression(parameters, "ConditionExpression")
        self._check(condition, old, parameters)
        table["items"].pop(number, None)
        return self._returned(parameters, old, None)

    def _Scan(self, parameters):
        table = self._table(parameters)
        (chosen,) = self._expression(parameters, "FilterExpression")
        numbers = sorted(table["items"])
        start = parameters.get("ExclusiveStartKey")
        if start:
            numbers = [number for number in numbers if number > start[table["key"]]["S"]]
        limit = parameters.get("Limit", 1000)
        page = [table["items"][number] for number in numbers[:limit]]
        items = [item for item in page if chosen is None or chosen(item)]
        more = {"LastEvaluatedKey": {table["key"]: {"S": numbers[limit - 1]}}} if len(numbers) > limit else {}
        return {"Items": items, "Count": len(items), "ScannedCount": len(page), **more}

    def _BatchGetItem(self, parameters):
        responses = {}
        wanted = parameters["RequestItems"]
        if sum(len(one["Keys"]) for one in wanted.values()) > 100:
            raise Failed("ValidationException", "Too many items requested for the BatchGetItem call", FRONT_END)
        for name, one in wanted.items():
            table = self._table({"TableName": name})
            numbers = [self._key(table, key, True) for key in one["Keys"]]
            if len(set(numbers)) != len(numbers):
                raise Failed("ValidationException", "Provided list of item keys contains duplicates", FRONT_END)
            responses[name] = [table["items"][number] for number in numbers if number in table["items"]]
        return {"Responses": responses, "UnprocessedKeys": {}}

    def _DescribeTable(self, parameters):
        table = self._table(parameters)
        description = {"TableName": parameters["TableName"], "TableStatus": "ACTIVE", "ItemCount": len(table["items"])}
        return {"Table": {**description, "KeySchema": [{"AttributeName": table["key"], "KeyType": "HASH"}]}}
