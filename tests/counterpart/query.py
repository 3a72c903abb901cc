"""AWS's query protocol: forms in, XML out. STS and CloudFormation speak it."""

import urllib.parse
from xml.sax.saxutils import escape

from web import Response


class Failed(Exception):
    """An error with a code."""

    def __init__(self, code, message, status=400):
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


def parameters(request):
    """The form of a request."""
    return dict(urllib.parse.parse_qsl(request.body.decode(), keep_blank_values=True))


def members(form, prefix):
    """A list in a form: texts, or dictionaries by the names behind the number."""
    found = {}
    for name, value in form.items():
        if name.startswith(prefix + ".member."):
            index, _, rest = name[len(prefix) + 8 :].partition(".")
            if rest:
                found.setdefault(int(index), {})[rest] = value
            else:
                found[int(index)] = value
    return [found[index] for index in sorted(found)]


def element(name, value):
    """A value as XML: dictionaries as elements, lists as members, nothing for none."""
    if value is None:
        return ""
    if isinstance(value, dict):
        inner = "".join(element(key, one) for key, one in value.items())
    elif isinstance(value, list):
        inner = "".join(element("member", one) for one in value)
    elif isinstance(value, bool):
        inner = str(value).lower()
    else:
        inner = escape(str(value))
    return f"<{name}>{inner}</{name}>"


def answer(action, namespace, result):
    """A successful answer."""
    inner = element(f"{action}Result", result) + "<ResponseMetadata><RequestId>counterpart</RequestId></ResponseMetadata>"
    return Response(200, f'<{action}Response xmlns="{namespace}">{inner}</{action}Response>', content_type="text/xml")


def failure(namespace, code, message, status=400):
    """An error."""
    inner = element("Error", {"Type": "Sender" if status < 500 else "Receiver", "Code": code, "Message": message})
    return Response(status, f'<ErrorResponse xmlns="{namespace}">{inner}<RequestId>counterpart</RequestId></ErrorResponse>', content_type="text/xml")
