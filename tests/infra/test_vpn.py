"""The commands of `docs/vpc.md` are ones that AWS has, with the options that they have: by botocore's description of each operation."""

import os
import re
import shlex
import unittest

import botocore.session
from botocore import xform_name

PAGE = os.path.join(os.path.dirname(__file__), "../../docs/vpc.md")

# What the AWS CLI takes with every command.
GLOBAL = {"query", "output"}
# Options that the AWS CLI has instead of members of a structure, by operation.
CUSTOM = {"authorize_security_group_ingress": {"protocol", "port", "source_group"}}


def commands():
    """Each `aws` command of the page, as words, with or without `$( … )` around it."""
    with open(PAGE, encoding="utf-8") as page:
        blocks = re.findall(r"```sh\n(.*?)```", page.read(), re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    for line in lines:
        found = re.search(r"\baws (?:acm|ec2) [^>)]*", line)
        if found:
            yield shlex.split(found.group())


class Vpn(unittest.TestCase):
    def test_commands(self):
        session = botocore.session.get_session()
        seen = 0
        for _, service, command, *words in commands():
            seen += 1
            model = session.get_service_model(service)
            operations = {xform_name(name, "-"): name for name in model.operation_names}
            self.assertIn(command, operations, f"aws {service} has no such command")
            operation = model.operation_model(operations[command])
            members = {xform_name(name): shape for name, shape in operation.input_shape.members.items()}
            given = {word[2:].replace("-", "_") for word in words if word.startswith("--")} - GLOBAL
            own = CUSTOM.get(xform_name(operation.name), set())
            plural = {name.removesuffix("s") for name in members}
            for option in given - own:
                self.assertIn(option, set(members) | plural, f"aws {service} {command} has no such option")
            required = {xform_name(name) for name in operation.input_shape.required_members}
            self.assertLessEqual(required, given, f"aws {service} {command} needs more")
        self.assertGreaterEqual(seen, 9)

    def test_structures(self):
        """The one option that is a structure has the members that it has."""
        session = botocore.session.get_session()
        shape = session.get_service_model("ec2").operation_model("CreateClientVpnEndpoint").input_shape
        authentication = shape.members["AuthenticationOptions"].member
        words = next(words for words in commands() if "create-client-vpn-endpoint" in words)
        value = words[words.index("--authentication-options") + 1]
        kind, mutual, root = re.fullmatch(r"Type=([\w-]+),(\w+)=\{(\w+)=\$CERTIFICATE\}", value).groups()
        self.assertIn(kind, authentication.members["Type"].enum)
        self.assertIn(root, authentication.members[mutual].members)

    def test_results(self):
        """What is asked for with `--query` is in the operation's answer."""
        session = botocore.session.get_session()
        for _, service, command, *words in commands():
            if "--query" not in words:
                continue
            model = session.get_service_model(service)
            operation = model.operation_model({xform_name(name, "-"): name for name in model.operation_names}[command])
            shape = operation.output_shape
            for part in words[words.index("--query") + 1].replace("[0]", "").split("."):
                self.assertIn(part, shape.members, f"aws {service} {command} answers without `{part}`")
                shape = shape.members[part]
                if shape.type_name == "list":
                    shape = shape.member


if __name__ == "__main__":
    unittest.main()
