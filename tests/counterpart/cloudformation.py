"""CloudFormation: stacks by change sets, as `sst` and the CDK CLI deploy them, with the states and the words of the real one.

The bootstrap stack of the CDK is there from the beginning, with its bucket and its roles.
"""

import asyncio
import json
import time
import uuid

import resources
import templates
from query import Failed, answer, failure, members, parameters

NAMESPACE = "http://cloudformation.amazonaws.com/doc/2010-05-15/"

# What a change set says that would change nothing. The words are AWS's; clients look for them.
UNCHANGED = "The submitted information didn't contain changes. Submit different information to create a change set."

# Quotas of CloudFormation for one template: its length in bytes, and its resources.
LONGEST, MOST_RESOURCES = 1_000_000, 500

IAM = {"AWS::IAM::Role", "AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"}
NAMED = {"AWS::IAM::Role": "RoleName", "AWS::IAM::Policy": None, "AWS::IAM::ManagedPolicy": "ManagedPolicyName"}


def stamp():
    """The time as CloudFormation writes it."""
    now = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"


class Stack:
    """A stack."""

    def __init__(self, world, name):
        self.world, self.name = world, name
        self.id = f"arn:aws:cloudformation:{world.region}:{world.account}:stack/{name}/{uuid.uuid4()}"
        self.created = stamp()
        self.status, self.reason = "REVIEW_IN_PROGRESS", "User Initiated"
        self.text, self.template = None, {"Resources": {}}
        self.parameters, self.tags, self.outputs, self.capabilities = {}, [], [], []
        # The resources, their types, and those that could not be deleted.
        self.resources, self.types, self.failed = {}, {}, set()
        self.change_sets, self.events = {}, []
        self.protected = False

    def happened(self, logical, physical, kind, status, reason=None):
        """Notes an event. That of the stack itself is its new status."""
        self.events.append({
            "StackId": self.id, "EventId": str(uuid.uuid4()), "StackName": self.name, "LogicalResourceId": logical, "PhysicalResourceId": physical,
            "ResourceType": kind, "Timestamp": stamp(), "ResourceStatus": status, "ResourceStatusReason": reason,
        })
        self.world.record.add("stackEvent", stack=self.name, resource=logical, status=status, reason=reason)

    def becomes(self, status, reason=None):
        """The stack has another status."""
        self.status, self.reason = status, reason
        self.happened(self.name, self.id, "AWS::CloudFormation::Stack", status, reason)

    def described(self):
        """What DescribeStacks tells."""
        return {
            "StackId": self.id, "StackName": self.name, "CreationTime": self.created, "StackStatus": self.status, "StackStatusReason": self.reason,
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in self.parameters.items()],
            "Outputs": self.outputs, "Tags": self.tags, "Capabilities": self.capabilities, "EnableTerminationProtection": self.protected,
            "DisableRollback": False,
        }

    def resolver(self, template, given):
        """Resolves values of a template of this stack."""
        world = self.world
        pseudo = {
            "AWS::AccountId": world.account, "AWS::Region": world.region, "AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": self.name, "AWS::StackId": self.id, "AWS::NotificationARNs": [],
        }

        def found(logical):
            if logical not in self.resources:
                raise templates.Invalid(f"Template format error: Unresolved resource dependencies [{logical}] in the Resources block of the template")
            return self.resources[logical]

        return templates.Resolver(template, pseudo, given, lambda name: found(name).physical, lambda name, key: found(name).attribute(key))


class CloudFormation:
    """All stacks of the account."""

    def __init__(self, world):
        self.world = world
        self.stacks = {}
        self.deleted = {}
        self.running = set()
        self._bootstrap()

    def _bootstrap(self):
        world = self.world
        place = f"{world.account}-{world.region}"
        stack = Stack(world, "CDKToolkit")
        stack.status, stack.reason = "CREATE_COMPLETE", None
        bucket = f"cdk-hnb659fds-assets-{place}"
        world.s3.create_bucket(bucket)
        for role in ("deploy", "file-publishing", "image-publishing", "lookup"):
            world.roles[f"cdk-hnb659fds-{role}-role-{place}"] = {"trusted": True}
        world.roles[f"cdk-hnb659fds-cfn-exec-role-{place}"] = {"trusted": False}
        outputs = {"BucketName": bucket, "BucketDomainName": f"{bucket}.s3.{world.region}.amazonaws.com", "BootstrapVersion": "30", "FileAssetKeyArn": ""}
        stack.outputs = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]
        self.stacks["CDKToolkit"] = stack

    def shown(self):
        """What the control port tells."""
        return {
            name: {
                "status": stack.status, "parameters": stack.parameters, "tags": stack.tags,
                "resources": {one: found.physical for one, found in stack.resources.items()},
            }
            for name, stack in self.stacks.items()
        }

    # ---- Requests ----

    def handle(self, request, key):
        """Answers a request."""
        form = parameters(request)
        action = form.get("Action", "")
        try:
            known = getattr(self, f"_{action}", None)
            if known is None:
                raise Failed("InvalidAction", f"Could not find operation {action} for version 2010-05-15")
            result = known(form)
        except templates.Invalid as invalid:
            failed = Failed("ValidationError", str(invalid))
        except Failed as error:
            failed = error
        else:
            self.world.record.add("cloudformation", operation=action, who=key["who"], stack=form.get("StackName"))
            return answer(action, NAMESPACE, result)
        self.world.record.add("cloudformation", operation=action, who=key["who"], stack=form.get("StackName"), error=failed.message)
        return failure(NAMESPACE, failed.code, failed.message, failed.status)

    def _stack(self, form):
        name = form.get("StackName", "")
        for stack in self.stacks.values():
            if name in (stack.name, stack.id):
                return stack
        if name in self.deleted:
            return self.deleted[name]
        raise Failed("ValidationError", f"Stack with id {name} does not exist")

    def _DescribeStacks(self, form):
        stacks = [self._stack(form)] if "StackName" in form else list(self.stacks.values())
        return {"Stacks": [stack.described() for stack in stacks]}

    def _ListStacks(self, form):
        wanted = members(form, "StackStatusFilter")
        shown = [stack for stack in self.stacks.values() if not wanted or stack.status in wanted]
        return {"StackSummaries": [{"StackId": one.id, "StackName": one.name, "CreationTime": one.created, "StackStatus": one.status} for one in shown]}

    def _DescribeStackEvents(self, form):
        return {"StackEvents": list(reversed(self._stack(form).events))}

    def _GetTemplate(self, form):
        if "ChangeSetName" in form:
            return {"TemplateBody": self._change_set(form)[1]["text"], "StagesAvailable": ["Original", "Processed"]}
        stack = self._stack(form)
        # One that has only a change set so far has no template.
        return {"TemplateBody": stack.text or "", "StagesAvailable": ["Original", "Processed"]}

    def _GetTemplateSummary(self, form):
        template = templates.read(self._text(form)) if "TemplateBody" in form or "TemplateURL" in form else self._stack(form).template
        types = sorted({resource["Type"] for resource in template["Resources"].values()})
        shown = [{"ParameterKey": key, "ParameterType": one["Type"]} for key, one in template.get("Parameters", {}).items()]
        return {"Parameters": shown, "ResourceTypes": types}

    def _listed(self, form):
        stack = self._stack(form)
        return [
            {
                "StackName": stack.name, "StackId": stack.id, "LogicalResourceId": logical, "PhysicalResourceId": resource.physical,
                "ResourceType": stack.types[logical], "LastUpdatedTimestamp": stack.created, "Timestamp": stack.created,
                "ResourceStatus": "DELETE_FAILED" if logical in stack.failed else "CREATE_COMPLETE",
            }
            for logical, resource in stack.resources.items()
        ]

    def _ListStackResources(self, form):
        return {"StackResourceSummaries": self._listed(form)}

    def _DescribeStackResources(self, form):
        return {"StackResources": self._listed(form)}

    def _UpdateTerminationProtection(self, form):
        stack = self._stack(form)
        stack.protected = form["EnableTerminationProtection"] == "true"
        return {"StackId": stack.id}

    def _text(self, form):
        # AWS has one endpoint for all, so what two people deploy does not differ by the ways that they come.
        return self.world.as_functions_see(self._given_text(form))

    def _given_text(self, form):
        if "TemplateBody" in form:
            if len(form["TemplateBody"].encode()) > 51_200:
                message = "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have length less than or equal to 51200"
                raise Failed("ValidationError", message)
            return form["TemplateBody"]
        # The host may be S3's or the one of an endpoint; which bucket is meant is in either.
        host, _, path = form["TemplateURL"].partition("://")[2].partition("/")
        for bucket, objects in self.world.s3.buckets.items():
            key = path.removeprefix(f"{bucket}/") if path.startswith(f"{bucket}/") else (path if host.startswith(f"{bucket}.") else None)
            if key in objects:
                return objects[key]["body"].decode()
        raise Failed("ValidationError", f"S3 error: The specified key does not exist. ({form['TemplateURL']})")

    # ---- Change sets ----

    def _CreateChangeSet(self, form):
        name, kind = form["StackName"], form.get("ChangeSetType", "UPDATE")
        stack = next((one for one in self.stacks.values() if name in (one.name, one.id)), None)
        if kind == "CREATE":
            if stack and stack.status != "REVIEW_IN_PROGRESS":
                message = f"Stack [{name}] already exists and cannot be created again with the changeSet [{form['ChangeSetName']}]."
                raise Failed("ValidationError", message)
        elif stack is None:
            raise Failed("ValidationError", f"Stack [{name}] does not exist")
        elif stack.status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE"):
            raise Failed("ValidationError", f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        same = form.get("UsePreviousTemplate") == "true"
        text = stack.text if same else self._text(form)
        template = templates.read(text)
        self._limited(text, template)
        unknown = sorted({one["Type"] for one in template["Resources"].values()} - set(resources.TYPES))
        if unknown:
            raise Failed("ValidationError", f"Template format error: Unrecognized resource types: [{', '.join(unknown)}]")
        self._capable(template, members(form, "Capabilities"))
        if stack and form["ChangeSetName"] in stack.change_sets:
            raise Failed("AlreadyExistsException", f"ChangeSet {form['ChangeSetName']} cannot be created due to a mismatch with existing attribute Template")
        given = self._given(template, members(form, "Parameters"), stack)
        if stack is None:
            stack = self.stacks[name] = Stack(self.world, name)
            stack.becomes("REVIEW_IN_PROGRESS", "User Initiated")
        change_set = {
            "id": f"arn:aws:cloudformation:{self.world.region}:{self.world.account}:changeSet/{form['ChangeSetName']}/{uuid.uuid4()}",
            "name": form["ChangeSetName"], "text": text, "template": template, "parameters": given, "kind": kind, "looked": 0,
            "tags": [{"Key": tag["Key"], "Value": tag["Value"]} for tag in members(form, "Tags")], "capabilities": members(form, "Capabilities"),
            "rollback": form.get("OnStackFailure") != "DO_NOTHING", "created": stamp(), "execution": "AVAILABLE",
        }
        change_set["changes"] = self._changes(stack, template, given)
        change_set["unchanged"] = kind == "UPDATE" and not change_set["changes"] and change_set["tags"] == stack.tags and template.get("Outputs") == stack.template.get("Outputs")
        stack.change_sets[form["ChangeSetName"]] = change_set
        return {"Id": change_set["id"], "StackId": stack.id}

    @staticmethod
    def _limited(text, template):
        if len(text.encode()) > LONGEST:
            raise Failed("ValidationError", f"Template may not exceed {LONGEST} bytes in size.")
        if (number := len(template["Resources"])) > MOST_RESOURCES:
            message = f"Template format error: Number of resources, {number}, is greater than maximum allowed, {MOST_RESOURCES}"
            raise Failed("ValidationError", message)

    @staticmethod
    def _capable(template, given):
        needed = set()
        for resource in template["Resources"].values():
            if resource["Type"] in IAM:
                named = NAMED[resource["Type"]] in resource.get("Properties", {})
                needed.add("CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM")
        if needed and not set(given) & (needed | {"CAPABILITY_NAMED_IAM"}):
            raise Failed("InsufficientCapabilitiesException", f"Requires capabilities : [{', '.join(sorted(needed))}]")

    def _given(self, template, listed, stack):
        given = {}
        for one in listed:
            previous = stack and stack.parameters.get(one["ParameterKey"])
            given[one["ParameterKey"]] = previous if one.get("UsePreviousValue") == "true" else one.get("ParameterValue")
        declared = template.get("Parameters", {})
        if unknown := sorted(set(given) - set(declared)):
            raise Failed("ValidationError", f"Parameters: [{', '.join(unknown)}] do not exist in the template")
        for key, parameter in declared.items():
            if given.get(key) is None:
                if "Default" not in parameter:
                    raise Failed("ValidationError", f"Parameters: [{key}] must have values")
                given[key] = str(parameter["Default"])
            if "AllowedValues" in parameter and given[key] not in [str(one) for one in parameter["AllowedValues"]]:
                raise Failed("ValidationError", f"Parameter {key} failed to satisfy constraint: Parameter must be one of {parameter['AllowedValues']}")
        return given

    @staticmethod
    def _changes(stack, template, given):
        old, new = stack.template["Resources"], template["Resources"]
        changes = []
        for logical, resource in new.items():
            if logical not in old:
                changes.append(("Add", logical, resource["Type"]))
            elif json.dumps(old[logical], sort_keys=True) != json.dumps(resource, sort_keys=True) or given != stack.parameters:
                changes.append(("Modify", logical, resource["Type"]))
        changes += [("Remove", logical, resource["Type"]) for logical, resource in old.items() if logical not in new]
        return changes

    def _change_set(self, form):
        stacks = [self._stack(form)] if form.get("StackName") else list(self.stacks.values())
        for stack in stacks:
            for change_set in stack.change_sets.values():
                if form["ChangeSetName"] in (change_set["name"], change_set["id"]):
                    return stack, change_set
        raise Failed("ChangeSetNotFound", f"ChangeSet [{form['ChangeSetName']}] does not exist", 404)

    def _DescribeChangeSet(self, form):
        stack, change_set = self._change_set(form)
        # It is never there at once.
        change_set["looked"] += 1
        status, reason = ("CREATE_IN_PROGRESS", None) if change_set["looked"] == 1 else ("CREATE_COMPLETE", None)
        if status == "CREATE_COMPLETE" and change_set["unchanged"]:
            status, reason = "FAILED", UNCHANGED
        if status == "CREATE_COMPLETE" and (refused := self.world.settings.get("cloudformation", {}).get("refuse")):
            status, reason = "FAILED", refused
        changes = [
            {"Type": "Resource", "ResourceChange": {"Action": action, "LogicalResourceId": logical, "ResourceType": kind, "Replacement": "False"}}
            for action, logical, kind in change_set["changes"]
        ]
        return {
            "ChangeSetName": change_set["name"], "ChangeSetId": change_set["id"], "StackId": stack.id, "StackName": stack.name, "CreationTime": change_set["created"],
            "ExecutionStatus": change_set["execution"] if status == "CREATE_COMPLETE" else "UNAVAILABLE", "Status": status, "StatusReason": reason,
            "Tags": change_set["tags"], "Capabilities": change_set["capabilities"], "Changes": changes if status == "CREATE_COMPLETE" else [],
        }

    def _ListChangeSets(self, form):
        stack = self._stack(form)
        return {"Summaries": [{"ChangeSetId": one["id"], "ChangeSetName": one["name"], "StackId": stack.id, "Status": "CREATE_COMPLETE"} for one in stack.change_sets.values()]}

    def _DeleteChangeSet(self, form):
        try:
            stack, change_set = self._change_set(form)
        except Failed:
            return {}
        stack.change_sets.pop(change_set["name"])
        return {}

    def _ExecuteChangeSet(self, form):
        stack, change_set = self._change_set(form)
        token = form.get("ClientRequestToken")
        if token and change_set.get("token") == token:
            return {}
        if change_set["execution"] != "AVAILABLE" or change_set["unchanged"]:
            message = f"ChangeSet [{change_set['id']}] cannot be executed in its current execution status of [{change_set['execution']}]"
            raise Failed("InvalidChangeSetStatus", message)
        for other in stack.change_sets.values():
            other["execution"] = "OBSOLETE"
        change_set["token"] = token
        rollback = change_set["rollback"] and form.get("DisableRollback") != "true"
        self._run(stack, self._execute(stack, change_set, rollback))
        return {}

    def _run(self, stack, work):
        task = asyncio.ensure_future(work)
        self.running.add(task)

        def ended(_):
            self.running.discard(task)
            if not task.cancelled() and (error := task.exception()):
                stack.becomes("UPDATE_ROLLBACK_FAILED", f"the counterpart itself failed: {error!r}")

        task.add_done_callback(ended)

    # ---- Deploying ----

    async def make(self, name, text, parameters):
        """Makes what a template says, of which nobody is told that it is a stack. Returns the outputs."""
        stack, template = Stack(self.world, name), templates.read(text)
        listed = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
        await self._apply(stack, text, template, self._given(template, listed, None))
        return {output["OutputKey"]: output["OutputValue"] for output in stack.outputs}

    async def _execute(self, stack, change_set, rollback):
        word = "CREATE" if change_set["kind"] == "CREATE" else "UPDATE"
        before = (stack.text, stack.template, stack.parameters)
        stack.becomes(f"{word}_IN_PROGRESS", "User Initiated")
        try:
            await self._apply(stack, change_set["text"], change_set["template"], change_set["parameters"])
        except (resources.Failed, templates.Invalid) as error:
            if not rollback:
                return stack.becomes(f"{word}_FAILED", str(error))
            if word == "CREATE":
                stack.becomes("ROLLBACK_IN_PROGRESS", f"{error} Rollback requested by user.")
                await self._remove(stack, list(stack.resources))
                return stack.becomes("ROLLBACK_COMPLETE")
            stack.becomes("UPDATE_ROLLBACK_IN_PROGRESS", str(error))
            await self._apply(stack, *before)
            return stack.becomes("UPDATE_ROLLBACK_COMPLETE")
        stack.tags, stack.capabilities = change_set["tags"], change_set["capabilities"]
        return stack.becomes(f"{word}_COMPLETE")

    async def _apply(self, stack, text, template, given):
        """Makes the stack what a template says."""
        known = {key: self._known(parameter, given[key]) for key, parameter in template.get("Parameters", {}).items()}
        resolver = stack.resolver(template, known)
        wanted = {name for name, one in template["Resources"].items() if "Condition" not in one or resolver.condition(one["Condition"])}
        for logical in templates.in_order(template, wanted):
            kind = template["Resources"][logical]["Type"]
            # Others see what has happened so far.
            await asyncio.sleep(0)
            properties = resolver.value(template["Resources"][logical].get("Properties", {}))
            existing = stack.resources.get(logical)
            if existing is None:
                self._make(stack, logical, kind, properties)
            elif existing.properties != properties:
                stack.happened(logical, existing.physical, kind, "UPDATE_IN_PROGRESS")
                self._fails(stack, logical, kind, "UPDATE_FAILED", lambda: existing.update(properties))
                stack.happened(logical, existing.physical, kind, "UPDATE_COMPLETE")
        outputs = []
        for key, output in template.get("Outputs", {}).items():
            if "Condition" not in output or resolver.condition(output["Condition"]):
                export = resolver.value(output.get("Export", {})).get("Name")
                outputs.append({"OutputKey": key, "OutputValue": resolver.value(output["Value"]), "Description": output.get("Description"), "ExportName": export})
        await self._remove(stack, [logical for logical in stack.resources if logical not in wanted])
        stack.text, stack.template, stack.parameters, stack.outputs = text, template, given, outputs

    def _known(self, parameter, value):
        if parameter["Type"].startswith("AWS::SSM::Parameter::Value"):
            found = self.world.services["ssm"].parameters.get(value)
            if found is None:
                raise resources.Failed(f"Unable to fetch parameters [{value}] from parameter store for this account.")
            return found
        return value.split(",") if parameter["Type"] == "CommaDelimitedList" else value

    def _make(self, stack, logical, kind, properties):
        stack.happened(logical, "", kind, "CREATE_IN_PROGRESS")
        made = self._fails(stack, logical, kind, "CREATE_FAILED", lambda: resources.TYPES[kind](self.world, stack.name, logical, properties))
        stack.resources[logical], stack.types[logical] = made, kind
        stack.happened(logical, made.physical, kind, "CREATE_COMPLETE")

    def _fails(self, stack, logical, kind, status, work):
        try:
            reason = self.world.settings.get("cloudformation", {}).get("fail", {}).get(logical)
            if reason:
                raise resources.Failed(reason)
            return work()
        except (resources.Failed, KeyError, ValueError) as error:
            stack.happened(logical, "", kind, status, str(error))
            raise resources.Failed(f"The following resource(s) failed: [{logical}].") from error

    async def _remove(self, stack, logicals):
        """Removes resources, each before those that it needs."""
        failed = []
        known = templates.in_order(stack.template, set(logicals))
        for logical in reversed([logical for logical in logicals if logical not in known] + known):
            await asyncio.sleep(0)
            resource, kind = stack.resources[logical], stack.types[logical]
            stack.happened(logical, resource.physical, kind, "DELETE_IN_PROGRESS")
            try:
                if reason := self.world.settings.get("cloudformation", {}).get("failDelete", {}).get(logical):
                    raise resources.Failed(reason)
                resource.delete()
            except resources.Failed as error:
                stack.happened(logical, resource.physical, kind, "DELETE_FAILED", str(error))
                failed.append(logical)
                continue
            stack.resources.pop(logical)
            stack.types.pop(logical)
            stack.happened(logical, resource.physical, kind, "DELETE_COMPLETE")
        return failed

    def _DeleteStack(self, form):
        try:
            stack = self._stack(form)
        except Failed:
            # There is nothing to be deleted, which is no error.
            return {}
        if stack.status == "REVIEW_IN_PROGRESS":
            self.stacks.pop(stack.name, None)
            return {}
        if stack.protected:
            raise Failed("ValidationError", f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
        retained = members(form, "RetainResources")
        if retained and stack.status != "DELETE_FAILED":
            raise Failed("ValidationError", "Invalid operation on stack. Resources to retain can only be given for a stack that is in DELETE_FAILED state")
        if stack.name in self.stacks and stack.status != "DELETE_IN_PROGRESS":
            stack.becomes("DELETE_IN_PROGRESS", "User Initiated")
            self._run(stack, self._delete(stack, retained))
        return {}

    async def _delete(self, stack, retained):
        if failed := await self._remove(stack, [logical for logical in stack.resources if logical not in retained]):
            stack.failed = set(failed)
            stack.becomes("DELETE_FAILED", f"The following resource(s) failed to delete: [{', '.join(failed)}]. ")
            return
        stack.becomes("DELETE_COMPLETE")
        # From now on it is known by its id only.
        self.stacks.pop(stack.name, None)
        self.deleted[stack.id] = stack
