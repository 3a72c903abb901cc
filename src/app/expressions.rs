//! Properties of functions that are expressions: each is handled right, or its function keeps its own code and is named.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value, json};

use super::*;
use crate::{
    debug_stack::DebugStack,
    project::{
        Kind,
        manifest::{Layer, Manifest},
    },
    stub_package::{Architecture, Package, Stubs},
};

/// What becomes of a function.
#[derive(Clone, Copy)]
enum Fate {
    /// It is live.
    Live,
    /// It is left alone, and this is in the reason.
    Kept(&'static str),
}

use Fate::{Kept as Left, Live};

/// The kinds of expressions, in the order of each row of [`table`].
const KINDS: [&str; 7] =
    ["Ref", "Fn::If", "Fn::Sub", "Fn::GetAtt", "Fn::ImportValue", "Fn::FindInMap", "ssm"];

/// An expression of each kind. What an `Fn::If` chooses between depends on the property.
fn expressions(yes: &Value, no: &Value) -> [Value; 7] {
    [
        json!({ "Ref": "Parameter" }),
        json!({ "Fn::If": ["Sometimes", yes, no] }),
        json!({ "Fn::Sub": "${Parameter}" }),
        json!({ "Fn::GetAtt": ["Other", "Value"] }),
        json!({ "Fn::ImportValue": "somebody-elses" }),
        json!({ "Fn::FindInMap": ["Table", { "Ref": "Parameter" }, "value"] }),
        json!("{{resolve:ssm:/app/value}}"),
    ]
}

/// The properties, what an `Fn::If` chooses between, and what becomes of a function with each kind of expression there. A property
/// within another one is behind its name.
fn table() -> Vec<(&'static str, Value, Value, [Fate; 7])> {
    let none = || json!({ "Ref": "AWS::NoValue" });
    let left = |reason| [Left(reason); 7];
    let only = |kind: usize, reason| {
        let mut row = left(reason);
        row[kind] = Live;
        row
    };
    let variables = || json!({ "Variables": { "A": "a", "LD_PRELOAD": "x" } });
    let nested = || json!({ "Fn::If": ["Often", { "Variables": {} }, { "Variables": none() }] });
    let (role, other) =
        (json!({ "Fn::GetAtt": ["Role", "Arn"] }), json!({ "Fn::GetAtt": ["OtherRole", "Arn"] }));
    let environment = "environment variables (`Environment`) are not known";
    let log = "the format of its log";
    let mut foreign = left("its role is not part of the app");
    foreign[1] = Left("which role it has is only known when the app is deployed");
    vec![
        ("Environment", variables(), none(), only(1, environment)),
        ("Environment", nested(), variables(), only(1, environment)),
        ("Environment", variables(), json!({ "Ref": "Parameter" }), left(environment)),
        ("Environment.Variables", json!({ "A": "a" }), none(), only(1, environment)),
        ("Environment.Variables.A", json!("a"), none(), [Live; 7]),
        ("LoggingConfig", json!({ "LogFormat": "Text" }), none(), only(1, log)),
        ("LoggingConfig", json!({ "LogFormat": "JSON" }), json!({ "LogFormat": "JSON" }), only(1, log)),
        ("LoggingConfig", json!({ "LogFormat": "JSON" }), none(), left(log)),
        ("LoggingConfig.LogFormat", json!("JSON"), json!("Text"), left(log)),
        ("LoggingConfig.LogFormat", json!("Text"), none(), only(1, log)),
        ("LoggingConfig.LogGroup", json!("a"), none(), [Live; 7]),
        ("Role", role, other, foreign),
        ("Timeout", json!(3), json!(5), [Live; 7]),
        ("MemorySize", json!(128), json!(512), [Live; 7]),
        ("Layers", json!([]), json!(["arn:aws:lambda:eu-west-1:1:layer:a:1"]), [Live; 7]),
        ("Runtime", json!("nodejs22.x"), json!("python3.12"), left("its runtime is not known")),
        ("Handler", json!("a.handler"), json!("b.handler"), left("its handler is not known")),
        (
            "Code",
            json!({ "S3Bucket": "a", "S3Key": "b" }),
            json!({ "ZipFile": "" }),
            left("its code (`Code`)"),
        ),
        ("PackageType", json!("Zip"), json!("Image"), left("a container image (`PackageType`)")),
        ("TenancyConfig", json!({ "TenantIsolationMode": "PER_TENANT" }), none(), left("isolates tenants")),
        ("Architectures", json!(["arm64"]), json!(["x86_64"]), [Live; 7]),
        ("VpcConfig", json!({ "SubnetIds": ["a"] }), none(), [Live; 7]),
        ("FileSystemConfigs", json!([]), none(), [Live; 7]),
        ("EphemeralStorage", json!({ "Size": 512 }), none(), [Live; 7]),
        ("DeadLetterConfig", json!({ "TargetArn": "a" }), none(), [Live; 7]),
        ("SnapStart", json!({ "ApplyOn": "None" }), none(), [Live; 7]),
        ("CodeSigningConfigArn", json!("a"), none(), [Live; 7]),
        ("RuntimeManagementConfig", json!({ "UpdateRuntimeOn": "Auto" }), none(), [Live; 7]),
        ("ReservedConcurrentExecutions", json!(1), none(), [Live; 7]),
        ("FunctionName", json!("a"), none(), [Live; 7]),
        ("KmsKeyArn", json!("a"), none(), [Live; 7]),
        ("TracingConfig", json!({ "Mode": "Active" }), none(), [Live; 7]),
        ("Tags", json!([]), none(), [Live; 7]),
    ]
}

/// Properties that the stub has in the same words as the function.
const THE_SAME: [&str; 8] = [
    "Timeout",
    "MemorySize",
    "Handler",
    "ReservedConcurrentExecutions",
    "FunctionName",
    "KmsKeyArn",
    "TracingConfig",
    "Tags",
];

/// A stub for each architecture.
pub(super) fn stubs() -> Stubs {
    let of = |architecture, sha256: &str| Package {
        architecture,
        path: format!("/{sha256}.zip").into(),
        sha256: sha256.into(),
    };
    Stubs::new(of(Architecture::X86_64, "0123"), vec![of(Architecture::Arm64, "4567")])
}

struct App {
    root: Utf8PathBuf,
    project: Project,
}

impl App {
    fn new(root: &Utf8Path) -> Self {
        for directory in ["assembly", "live"] {
            fs_err::create_dir_all(root.join(directory)).unwrap();
        }
        fs_err::write(root.join("index.js"), "exports.handler = async () => 1").unwrap();
        let project = Project {
            root: root.to_owned(),
            name: "app".to_owned(),
            region: None,
            cdk: Default::default(),
            kind: Kind::Cdk { app: "node app.js".to_owned(), build: None, context: Default::default() },
            functions: Default::default(),
            stage_in_file: None,
            masked: Vec::new(),
            unknown: Vec::new(),
        };
        Self { root: root.to_owned(), project }
    }

    /// Deploys a template with the resources that the expressions name, and these: the manifest, and the template with stubs.
    fn rewrite(&self, resources: &Value) -> (Manifest, Value) {
        self.rewrite_beside(None, resources)
    }

    /// The same with a debug stack that has a policy for stubs, or none.
    fn rewrite_beside(&self, stub_policy: Option<&str>, resources: &Value) -> (Manifest, Value) {
        let trust = |service: &str| json!({ "Statement": [{ "Principal": { "Service": service } }] });
        let role = || json!({ "Type": "AWS::IAM::Role", "Properties": { "AssumeRolePolicyDocument": trust("lambda.amazonaws.com") } });
        let mut template = json!({
            "Parameters": { "Parameter": { "Type": "String" } },
            "Conditions": { "Sometimes": true, "Often": true },
            "Mappings": { "Table": { "eu-west-1": { "value": "nodejs22.x" }, "us-east-1": { "value": "nodejs20.x" } } },
            "Resources": { "Role": role(), "OtherRole": role(), "Other": { "Type": "Custom::Other" } },
        });
        let all = template["Resources"].as_object_mut().unwrap();
        all.extend(resources.as_object().unwrap().clone());
        let ids: Vec<String> = all.keys().cloned().collect();
        let assembly = self.root.join("assembly");
        let stack = json!({
            "type": "aws:cloudformation:stack",
            "environment": "aws://123456789012/eu-west-1",
            "properties": { "templateFile": "App.template.json" },
        });
        let assets = json!({ "type": "cdk:asset-manifest", "properties": { "file": "App.assets.json" } });
        let file = json!({
            "source": { "path": "App.template.json", "packaging": "file" },
            "destinations": { "current": { "bucketName": "assets", "objectKey": "old.json" } },
        });
        let records = ids.iter().map(|id| {
            format!("{}\n", json!({ "path": format!("App/{id}"), "entry": self.root.join("index.js"), "export": "handler" }))
        });
        let records: String = records.collect();
        for (name, text) in [
            ("manifest.json", json!({ "artifacts": { "App": stack, "App.assets": assets } }).to_string()),
            ("App.template.json", template.to_string()),
            ("App.assets.json", json!({ "files": { "old": file } }).to_string()),
            ("sources", records),
        ] {
            fs_err::write(assembly.join(name), text).unwrap();
        }
        let sources = assembly.join("sources");
        let assembly = Assembly::read(&assembly, &sources, "dev", "123456789012", "eu-west-1").unwrap();
        let manifest = discover(&assembly, &self.project).unwrap();
        let debug_stack = DebugStack {
            endpoint: "wss://a.example/dev".into(),
            management: "https://a.example/dev".into(),
            api_id: "abcdef1234".into(),
            api_stage: "dev".into(),
            table: "connections".into(),
            table_arn: "arn:aws:dynamodb:eu-west-1:123456789012:table/connections".into(),
            bucket: "payloads".into(),
            stub_policy: stub_policy.map(str::to_owned),
            answers: crate::debug_stack::Answers::Mock,
        };
        let options = Options {
            debug_stack: &debug_stack,
            region: "eu-west-1",
            increase_timeout: false,
            today: jiff::civil::date(2026, 11, 30),
            stubs: &stubs(),
            kept: &Kept::new(),
        };
        let rewritten = rewrite(&assembly, &manifest, &options, &self.root.join("live")).unwrap();
        (rewritten.manifest, rewritten.templates[0].body.clone())
    }
}

fn function(properties: &Value) -> Value {
    let mut all = json!({
        "Runtime": "nodejs22.x", "Handler": "index.handler",
        "Role": { "Fn::GetAtt": ["Role", "Arn"] }, "Code": { "S3Bucket": "a", "S3Key": "b" },
    });
    all.as_object_mut().unwrap().extend(properties.as_object().unwrap().clone());
    json!({ "Type": "AWS::Lambda::Function", "Properties": all })
}

/// `{ "A": { "B": value } }` for `A.B`.
fn at(path: &str, value: &Value) -> Value {
    path.rsplit('.').fold(value.clone(), |value, name| json!({ name: value }))
}

/// CloudFormation refuses an expression that is not alone in its object.
fn assert_well_formed(value: &Value, of: &str) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| assert_well_formed(item, of)),
        Value::Object(object) => {
            let is_expression = |key: &String| key == "Ref" || key.starts_with("Fn::");
            assert!(object.len() == 1 || !object.keys().any(is_expression), "{of}: {value}");
            object.values().for_each(|field| assert_well_formed(field, of));
        }
        _ => {}
    }
}

/// All objects that an `Environment` may turn out to be, less what its variables are.
fn variables<'a>(environment: &'a Value, found: &mut Vec<&'a Map<String, Value>>) {
    match (environment.get("Fn::If"), environment.get("Variables")) {
        (Some(three), _) => three.as_array().unwrap()[1..].iter().for_each(|branch| variables(branch, found)),
        (None, Some(inner)) => variables(inner, found),
        (None, None) => found.push(environment.as_object().unwrap()),
    }
}

#[test]
fn each_property_may_be_each_kind_of_expression() {
    let directory = tempfile::tempdir().unwrap();
    let app = App::new(Utf8Path::from_path(directory.path()).unwrap());
    for (path, yes, no, fates) in table() {
        for ((kind, expression), fate) in KINDS.iter().zip(expressions(&yes, &no)).zip(fates) {
            let of = format!("{path} as {kind}");
            let before = function(&at(path, &expression));
            let (manifest, template) = app.rewrite(&json!({ "Function": before }));
            let after = &template["Resources"]["Function"];
            match fate {
                Left(reason) => {
                    let [left] = &manifest.left_alone[..] else { panic!("{of}: {manifest:?}") };
                    assert_eq!(left.id.as_str(), "App/Function", "{of}");
                    assert!(left.reason.contains(reason), "{of}: {}", left.reason);
                    assert_eq!(*after, before, "{of}");
                }
                Live => {
                    let [function] = &manifest.functions[..] else { panic!("{of}: {manifest:?}") };
                    let properties = &after["Properties"];
                    assert_eq!(properties["Runtime"], "provided.al2023", "{of}");
                    let (architectures, key) = match (path, *kind) {
                        ("Architectures", "Fn::If") => {
                            (expression, json!({ "Fn::If": ["Sometimes", "4567.zip", "0123.zip"] }))
                        }
                        ("Architectures", _) => (json!(["x86_64"]), json!("0123.zip")),
                        _ => (Value::Null, json!("0123.zip")),
                    };
                    assert_eq!(properties["Architectures"], architectures, "{of}");
                    assert_eq!(properties["Code"]["S3Key"], key, "{of}");
                    assert_well_formed(properties, &of);
                    let mut found = Vec::new();
                    variables(&properties["Environment"], &mut found);
                    for variables in found {
                        assert!(variables.contains_key("SST_STUB"), "{of}: {properties}");
                        assert!(!variables.contains_key("LD_PRELOAD"), "{of}: {properties}");
                    }
                    for name in REMOVED {
                        assert_eq!(properties[name], Value::Null, "{of}");
                    }
                    if THE_SAME.contains(&path) {
                        assert_eq!(properties[path], before["Properties"][path], "{of}");
                    }
                    match path {
                        "Timeout" => assert_eq!(function.timeout_s, None, "{of}"),
                        "MemorySize" => assert_eq!(function.memory_mb, None, "{of}"),
                        "Environment.Variables.A" => assert_eq!(function.environment, ["A"], "{of}"),
                        "Layers" => {
                            assert!(matches!(function.layers[..], [Layer::Absent { .. }]), "{of}");
                        }
                        _ => {}
                    }
                    let text = properties["LoggingConfig"].to_string();
                    assert!(!text.contains("JSON") && !text.contains("Level"), "{of}: {text}");
                }
            }
        }
    }
}

const REMOVED: [&str; 9] = [
    "Layers",
    "SnapStart",
    "RuntimeManagementConfig",
    "DeadLetterConfig",
    "CodeSigningConfigArn",
    "EphemeralStorage",
    "ImageConfig",
    "VpcConfig",
    "FileSystemConfigs",
];

#[test]
fn what_expressions_become_is_used_where_it_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let app = App::new(Utf8Path::from_path(directory.path()).unwrap());
    let region = json!({ "Ref": "AWS::Region" });
    let both = json!({ "Fn::If": ["Sometimes", { "Variables": { "A": "a" } }, { "Variables": { "B": "b", "A": "c" } }] });
    let (manifest, template) = app.rewrite(&json!({
        "Function": function(&json!({
            "Runtime": { "Fn::FindInMap": ["Table", region, "value"] },
            "Handler": { "Fn::Join": [".", ["index", "handler"]] },
            "Role": { "Fn::Sub": "${Role.Arn}" },
            "Timeout": { "Fn::Join": ["", ["2", "0"]] },
            "MemorySize": "256",
            "LoggingConfig": { "LogFormat": { "Fn::Sub": "JSON" } },
            "Environment": both,
        })),
    }));
    let [function] = &manifest.functions[..] else { panic!("{manifest:?}") };
    assert_eq!((function.runtime.as_str(), function.handler.as_str()), ("nodejs22.x", "index.handler"));
    assert_eq!((function.timeout_s, function.memory_mb), (Some(20), Some(256)));
    assert_eq!(function.json_log.as_deref(), Some("INFO"));
    assert_eq!(function.environment, ["A", "B"]);
    let stub = &template["Resources"]["Function"]["Properties"];
    assert_eq!(stub["Timeout"], 30);
    assert_eq!(template["Resources"]["SstStubPolicy"]["Properties"]["Roles"], json!([{ "Ref": "Role" }]));
}

#[test]
fn the_larger_of_two_environments_has_to_leave_room() {
    let directory = tempfile::tempdir().unwrap();
    let app = App::new(Utf8Path::from_path(directory.path()).unwrap());
    let large = json!({ "Variables": { "A": "x".repeat(3900) } });
    let environment = json!({ "Fn::If": ["Sometimes", {}, large] });
    let (manifest, _) = app.rewrite(&json!({ "Function": function(&json!({ "Environment": environment })) }));
    assert!(manifest.left_alone[0].reason.contains("of the 4096 bytes"), "{manifest:?}");
}

#[test]
fn what_macros_make_functions_of_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let app = App::new(Utf8Path::from_path(directory.path()).unwrap());
    let sam = json!({ "Type": "AWS::Serverless::Function", "Properties": { "CodeUri": "s3://a/b", "Handler": "a.b" } });
    let each = json!(["Name", ["A", "B"], { "Function${Name}": function(&json!({})) }]);
    let mut made = function(&json!({}));
    made["Properties"]["Fn::Transform"] = json!({ "Name": "Macro" });
    let resources =
        json!({ "Sam": sam, "Fn::ForEach::Each": each, "Made": made, "Function": function(&json!({})) });
    let (manifest, template) = app.rewrite(&resources);
    assert_eq!(manifest.functions.len(), 1);
    let reasons: Vec<(&str, &str)> =
        manifest.left_alone.iter().map(|left| (left.id.as_str(), left.reason.as_str())).collect();
    for (id, reason) in [
        ("App/Sam", "`AWS::Serverless::Function` (SAM)"),
        ("App/Fn::ForEach::Each", "it is a loop"),
        ("App/Made", "made by a macro"),
    ] {
        assert!(reasons.iter().any(|(left, why)| *left == id && why.contains(reason)), "{id}: {reasons:?}");
        let own = id.trim_start_matches("App/");
        assert_eq!(template["Resources"][own], resources[own], "{id}");
    }
}

const ARN: &str = "arn:aws:iam::123456789012:policy/stubs";

#[test]
fn a_role_without_room_for_any_policy_is_a_reason() {
    let directory = tempfile::tempdir().unwrap();
    let app = App::new(Utf8Path::from_path(directory.path()).unwrap());
    let document = |length: usize| json!({ "Statement": [{ "Effect": "Allow", "Action": "x".repeat(length), "Resource": "*" }] });
    let arns: Vec<_> = (0..10).map(|number| format!("arn:{number}")).collect();
    let resource = |of: &[&str]| json!({ "Fn::GetAtt": of });
    for (managed, own, beside, expected) in [
        (&arns[..], 9_000, 0, true),
        (&arns[..], 9_900, 0, false),
        (&arns[..], 4_500, 5_400, false),
        (&arns[..9], 9_900, 0, true),
    ] {
        let of = format!("{} managed policies, {own} and {beside} bytes", managed.len());
        let mut policy = document(beside);
        // What an expression becomes counts, and not how it is written.
        policy["Statement"][0]["Resource"] = resource(&["Other", "Arn"]);
        let (manifest, template) = app.rewrite_beside(
            Some(ARN),
            &json!({
                "Role": { "Type": "AWS::IAM::Role", "Properties": {
                    "ManagedPolicyArns": managed, "Policies": [{ "PolicyName": "own", "PolicyDocument": document(own) }],
                } },
                "Policy": { "Type": "AWS::IAM::Policy", "Properties": {
                    "PolicyName": "beside", "PolicyDocument": policy, "Roles": [{ "Ref": "Role" }],
                } },
                "Function": function(&json!({})),
            }),
        );
        assert_eq!(manifest.functions.len(), usize::from(expected), "{of}");
        if !expected {
            let reason = &manifest.left_alone[0].reason;
            assert!(
                reason.contains("its role has no room") && reason.contains("of the 10240 bytes"),
                "{reason}"
            );
            assert_eq!(template["Resources"]["Function"], function(&json!({})), "{of}");
        }
    }
}

#[test]
fn roles_have_the_policy_of_the_debug_stack_as_far_as_they_can() {
    let directory = tempfile::tempdir().unwrap();
    let app = App::new(Utf8Path::from_path(directory.path()).unwrap());
    let some = |count: usize| (0..count).map(|number| json!(format!("arn:{number}"))).collect::<Vec<_>>();
    let with = |count: usize| [some(count), vec![json!(ARN)]].concat();
    let choice = |yes: Value, no: Value| json!({ "Fn::If": ["Sometimes", yes, no] });
    let none = json!({ "Ref": "AWS::NoValue" });
    for (listed, elsewhere, expected) in [
        (json!(null), 0, Some(json!([ARN]))),
        (json!([]), 0, Some(json!([ARN]))),
        (json!(some(3)), 0, Some(json!(with(3)))),
        (json!(with(3)), 0, Some(json!(with(3)))),
        (json!(some(9)), 0, Some(json!(with(9)))),
        (json!(with(9)), 0, Some(json!(with(9)))),
        // A role can have ten.
        (json!(some(10)), 0, None),
        (json!(some(7)), 2, Some(json!(with(7)))),
        (json!(some(8)), 2, None),
        (json!(null), 10, None),
        (none.clone(), 0, Some(json!([ARN]))),
        (choice(json!(some(1)), none.clone()), 0, Some(choice(json!(with(1)), json!([ARN])))),
        (choice(json!(some(1)), json!(some(10))), 0, None),
        (choice(json!(some(1)), json!({ "Ref": "Parameter" })), 0, None),
        (json!({ "Ref": "Parameter" }), 0, None),
        (json!({ "Fn::Split": [",", { "Fn::ImportValue": "policies" }] }), 0, None),
    ] {
        let of = format!("{listed} and {elsewhere}");
        let mut role = json!({ "Type": "AWS::IAM::Role", "Properties": { "AssumeRolePolicyDocument": {} } });
        if !listed.is_null() {
            role["Properties"]["ManagedPolicyArns"] = listed;
        }
        let mut resources = json!({ "Role": role, "Function": function(&json!({})) });
        for number in 0..elsewhere {
            resources[format!("Managed{number}")] =
                json!({ "Type": "AWS::IAM::ManagedPolicy", "Properties": { "Roles": [{ "Ref": "Role" }] } });
        }
        let (manifest, template) = app.rewrite_beside(Some(ARN), &resources);
        assert_eq!(manifest.functions.len(), 1, "{of}");
        let after = &template["Resources"];
        let own = &after["SstStubPolicy"]["Properties"]["Roles"];
        match expected {
            Some(expected) => {
                assert_eq!(after["Role"]["Properties"]["ManagedPolicyArns"], expected, "{of}");
                assert_eq!((own, &after["Function"]["DependsOn"]), (&Value::Null, &Value::Null), "{of}");
            }
            None => {
                assert_eq!(after["Role"], role, "{of}");
                assert_eq!(*own, json!([{ "Ref": "Role" }]), "{of}");
                assert_eq!(after["Function"]["DependsOn"], json!(["SstStubPolicy"]), "{of}");
            }
        }
        // An older debug stack has no policy.
        let (_, template) = app.rewrite(&resources);
        assert_eq!(template["Resources"]["Role"], role, "{of}");
        assert_eq!(template["Resources"]["SstStubPolicy"]["Type"], "AWS::IAM::Policy", "{of}");
    }
}
