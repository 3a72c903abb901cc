"""CloudFormation's templates: read from JSON or YAML, and their functions resolved as far as apps of the tests use them."""

import base64
import json
import re

import yaml


class Invalid(Exception):
    """A template that CloudFormation would refuse."""


class Loader(yaml.SafeLoader):
    """YAML with the short forms of functions, and with dates as the texts that they are."""


def _short(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", _short)
Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(text):
    """A template from its text."""
    try:
        template = json.loads(text) if text.lstrip().startswith("{") else yaml.load(text, Loader)
    except (ValueError, yaml.YAMLError) as error:
        raise Invalid(f"Template format error: {error}") from error
    if not isinstance(template, dict) or not template.get("Resources"):
        raise Invalid("Template format error: At least one Resources member must be defined.")
    return template


class Resolver:
    """Resolves a template for one stack. `reference` and `attribute` tell of resources that are there already."""

    def __init__(self, template, pseudo, parameters, reference, attribute):
        self.template, self.reference, self.attribute = template, reference, attribute
        self.known = {**pseudo, **parameters}
        self.conditions = {}

    def condition(self, name):
        """Whether a condition holds."""
        if name not in self.conditions:
            try:
                self.conditions[name] = self._holds(self.template["Conditions"][name])
            except KeyError as error:
                raise Invalid(f"Template error: unresolved condition dependency {name}") from error
        return self.conditions[name]

    def _holds(self, expression):
        ((function, value),) = expression.items()
        if function == "Condition":
            return self.condition(value)
        if function == "Fn::Equals":
            return self.value(value[0]) == self.value(value[1])
        if function == "Fn::Not":
            return not self._holds(value[0])
        if function in ("Fn::And", "Fn::Or"):
            return (all if function == "Fn::And" else any)([self._holds(one) for one in value])
        if function == "Fn::Contains":
            return self.value(value[1]) in self.value(value[0])
        raise Invalid(f"the counterpart knows no condition with {function}")

    def value(self, value):
        """What a value of the template comes to. `NOTHING` is for what is not to be set at all."""
        if isinstance(value, list):
            return [one for one in (self.value(one) for one in value) if one is not NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((function, argument),) = value.items()
            if function == "Ref":
                return self._ref(argument)
            if function.startswith("Fn::"):
                return self._function(function[4:], argument)
        resolved = {key: self.value(one) for key, one in value.items()}
        return {key: one for key, one in resolved.items() if one is not NOTHING}

    def _ref(self, name):
        if name == "AWS::NoValue":
            return NOTHING
        if name in self.known:
            return self.known[name]
        return self.reference(name)

    def _function(self, name, argument):
        if name == "GetAtt":
            logical, attribute = argument if isinstance(argument, list) else argument.split(".", 1)
            return self.attribute(logical, attribute)
        if name == "Sub":
            text, extra = (argument, {}) if isinstance(argument, str) else argument

            def replaced(match):
                key = match.group(1)
                if key.startswith("!"):
                    return "${" + key[1:] + "}"
                if key in extra:
                    return str(self.value(extra[key]))
                if "." in key and key not in self.known:
                    return str(self.attribute(*key.split(".", 1)))
                return str(self._ref(key))

            return re.sub(r"\$\{([^}]+)\}", replaced, text)
        if name == "Join":
            return argument[0].join(str(one) for one in self.value(argument[1]))
        if name == "Select":
            return self.value(argument[1])[int(self.value(argument[0]))]
        if name == "Split":
            return self.value(argument[1]).split(argument[0])
        if name == "If":
            return self.value(argument[1] if self.condition(argument[0]) else argument[2])
        if name == "Base64":
            return base64.b64encode(self.value(argument).encode()).decode()
        if name == "FindInMap":
            first, second, third = (self.value(one) for one in argument[:3])
            return self.template["Mappings"][first][second][third]
        if name == "GetAZs":
            return [f"{self.known['AWS::Region']}{letter}" for letter in "abc"]
        raise Invalid(f"the counterpart knows no Fn::{name}")


NOTHING = object()


def dependencies(template, logical):
    """The resources that one needs to be there before it."""
    found = set()

    def look(value):
        if isinstance(value, dict):
            for key, one in value.items():
                if key == "Ref" and isinstance(one, str):
                    found.add(one)
                elif key == "Fn::GetAtt":
                    found.add(one[0] if isinstance(one, list) else one.split(".")[0])
                elif key == "Fn::Sub":
                    text = one if isinstance(one, str) else one[0]
                    found.update(name.split(".")[0] for name in re.findall(r"\$\{([^!}]+)\}", text))
                    look(one)
                else:
                    look(one)
        elif isinstance(value, list):
            for one in value:
                look(one)

    resource = template["Resources"][logical]
    look(resource.get("Properties", {}))
    look(resource.get("Metadata", {}))
    after = resource.get("DependsOn", [])
    found.update([after] if isinstance(after, str) else after)
    return sorted(found & set(template["Resources"]) - {logical})


def in_order(template, chosen):
    """The resources `chosen`, each after those that it needs."""
    ordered, visiting = [], set()

    def visit(logical):
        if logical in ordered or logical not in chosen:
            return
        if logical in visiting:
            raise Invalid(f"Circular dependency between resources: [{', '.join(sorted(visiting))}]")
        visiting.add(logical)
        for other in dependencies(template, logical):
            visit(other)
        visiting.discard(logical)
        ordered.append(logical)

    for logical in template["Resources"]:
        visit(logical)
    return ordered
