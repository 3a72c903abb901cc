//! With what a local cloud has answered for the project in `tests/fixtures/attach/sam`, which was packed by the SAM CLI 1.170 and translated by
//! SAM's own translator (aws-sam-translator 1.115). It comes in pages of a few.

use std::{collections::BTreeMap, fmt::Write as _, sync::OnceLock};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::any,
};
use serde_json::{Value, json};

use super::*;
use crate::{
    aws, process,
    project::{
        HandSource,
        manifest::{Manifest, Source},
    },
};

/// How many resources or functions there are in an answer.
const PAGE: usize = 3;

/// A function that may not be read.
const DENIED: &str = "of-another-team";

fn fixture(path: &str) -> Utf8PathBuf {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/attach").join(path)
}

fn answers() -> &'static BTreeMap<String, String> {
    static ANSWERS: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    ANSWERS.get_or_init(|| {
        let text = fs_err::read_to_string(fixture("sam-deployed/answers.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    })
}

async fn answer(method: Method, uri: Uri, _: HeaderMap, body: Bytes) -> Response {
    if method == Method::GET {
        return lambda(uri.path(), uri.query().unwrap_or_default());
    }
    let form = String::from_utf8(body.to_vec()).unwrap();
    let field = |name: &str| {
        let value = form.split('&').filter_map(|field| field.split_once('=')).find(|(key, _)| *key == name);
        let decoded =
            |value: &str| percent_encoding::percent_decode_str(value).decode_utf8().unwrap().into_owned();
        value.map(|(_, value)| decoded(value)).unwrap_or_default()
    };
    let (action, stack) = (field("Action"), field("StackName"));
    match answers().get(format!("{action} {stack}").trim_end()) {
        Some(found) if action == "ListStackResources" => page(found, &field("NextToken")).into_response(),
        Some(found) => found.clone().into_response(),
        None => {
            let message = format!("Stack with id {stack} does not exist");
            let error = format!("<Error><Code>ValidationError</Code><Message>{message}</Message></Error>");
            (StatusCode::BAD_REQUEST, format!("<ErrorResponse>{error}</ErrorResponse>")).into_response()
        }
    }
}

fn lambda(path: &str, query: &str) -> Response {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap();
    if name == "functions" {
        let all: Value = serde_json::from_str(&answers()["ListFunctions"]).unwrap();
        let all = all["Functions"].as_array().unwrap();
        let from = query.strip_prefix("Marker=").map_or(0, |from| from.parse().unwrap());
        let next = (from + PAGE < all.len()).then(|| (from + PAGE).to_string());
        let some: Vec<&Value> = all.iter().skip(from).take(PAGE).collect();
        return json!({ "Functions": some, "NextMarker": next }).to_string().into_response();
    }
    if name == DENIED {
        let body = json!({ "Message": "not authorized to perform: lambda:GetFunction" }).to_string();
        return (StatusCode::FORBIDDEN, [("x-amzn-errortype", "AccessDeniedException")], body)
            .into_response();
    }
    match answers().get(&format!("GetFunction {name}")) {
        Some(found) => found.clone().into_response(),
        None => {
            let body = json!({ "Message": "Function not found" }).to_string();
            let kind = [("x-amzn-errortype", "ResourceNotFoundException")];
            (StatusCode::NOT_FOUND, kind, body).into_response()
        }
    }
}

/// A part of the resources of a stack, with the token for the next one.
fn page(all: &str, token: &str) -> String {
    let (head, rest) = all.split_once("<member>").unwrap();
    let (members, tail) = rest.rsplit_once("</member>").unwrap();
    let members: Vec<&str> = members.split("</member><member>").collect();
    let from: usize = token.parse().unwrap_or_default();
    let mut page = head.to_owned();
    for member in members.iter().skip(from).take(PAGE) {
        let _ = write!(page, "<member>{member}</member>");
    }
    let next = format!("</StackResourceSummaries><NextToken>{}</NextToken>", from + PAGE);
    let tail = if from + PAGE < members.len() {
        tail.replace("</StackResourceSummaries>", &next)
    } else {
        tail.to_owned()
    };
    page + &tail
}

async fn account() -> Aws {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(any(answer))).await });
    let options = aws::Options { endpoint, local: true, ..aws::Options::default() };
    Aws::connect(options).await.unwrap()
}

/// What is found for the SAM project, with or without its files.
async fn found(with_files: bool, stacks: &[&str], functions: &[&str]) -> Result<Found> {
    found_with(with_files, stacks, functions, &BTreeMap::new()).await
}

async fn found_with(
    with_files: bool,
    stacks: &[&str],
    functions: &[&str],
    mappings: &BTreeMap<String, HandMapping>,
) -> Result<Found> {
    let texts = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (stacks, functions) = (texts(stacks), texts(functions));
    let root = fixture("sam");
    let (spawner, (ui, _shown)) = (process::for_tests(), Ui::channel());
    let asked = Asked { root: &root, stage: None, region: None, spawner: &spawner, ui: &ui };
    let declaration = declare(&asked).await?.filter(|_| with_files);
    let chosen = Chosen { stacks: &stacks, functions: &functions };
    look_up(&account().await, declaration.as_ref(), &chosen, &asked, mappings).await
}

/// Each function with its source as it is shown, or the first words of why there is none.
fn told(found: &Found) -> Vec<(String, String)> {
    let source = |candidate: &Candidate| match &candidate.source {
        Ok(sourced) => sourced.shown.clone(),
        Err(Unsourced::Ambiguous(several)) => format!("one of {}", several.len()),
        Err(Unsourced::NotFound(where_looked)) => format!("not found: {where_looked}"),
        Err(Unsourced::Unable(reason)) => reason.split(',').next().unwrap().to_owned(),
    };
    found.candidates.iter().map(|one| (one.label.clone(), source(one))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(label, source)| ((*label).to_owned(), (*source).to_owned())).collect()
}

#[tokio::test]
async fn a_function_that_may_not_be_read_is_left_alone_and_the_others_are_found() {
    let whole = found(true, &[], &[]).await.unwrap();
    let create = whole.candidates[0].deployed.name.as_str();
    let found = found(false, &[], &[DENIED, create]).await.unwrap();
    let [denied, create] = found.candidates.as_slice() else { panic!("{found:?}") };
    assert_eq!(denied.deployed.name, DENIED);
    let Err(Unsourced::Unable(reason)) = &denied.source else { panic!("{denied:?}") };
    assert!(
        reason.starts_with("Lambda does not tell of it") && reason.contains("lambda:GetFunction"),
        "{reason}"
    );
    assert!(create.source.is_ok(), "{create:?}");
}

#[tokio::test]
async fn the_functions_of_a_project_are_found_with_their_code() {
    let found = found(true, &[], &[]).await.unwrap();
    assert_eq!(found.shown, "samconfig.toml (stack orders-dev)");
    assert_eq!(found.notices, [""; 0]);
    let expected = [
        ("Create", "orders/src/create.ts"),
        ("List", "list/, JavaScript"),
        ("Report", "report/, Python"),
        ("Audit", "audit/, Go"),
        ("Traced", "traced/, JavaScript"),
        ("Thumbnails", "it is a container image"),
        ("Ping", "its code is in the template (`InlineCode`)"),
        ("Billing/Charge", "billing/src/, JavaScript"),
    ];
    assert_eq!(told(&found), pairs(&expected));

    let create = &found.candidates[0];
    let spec = &create.source.as_ref().unwrap().spec;
    assert_eq!(spec.id.as_str(), create.deployed.name);
    assert_eq!((spec.stack.as_str(), spec.logical_id.as_str()), ("orders-dev", "Create"));
    assert_eq!((spec.timeout_s, spec.memory_mb), (Some(10), Some(256)));
    assert_eq!(spec.environment, ["NODE_OPTIONS", "STAGE", "TABLE"]);
    let Source::Entry { export, bundling, .. } = &spec.source else { panic!("{spec:?}") };
    assert_eq!((export.as_str(), bundling.target.as_deref()), ("handler", Some("es2022")));
    let traced = &found.candidates[4].source.as_ref().unwrap().spec;
    assert_eq!(traced.handler, "index.handler");
    let charge = &found.candidates[7];
    assert!(charge.stack.as_ref().unwrap().starts_with("orders-dev-Billing-"), "{charge:?}");
}

#[tokio::test]
async fn a_stack_is_enough_without_the_files_of_its_tool() {
    let found = found(false, &["orders-dev"], &[]).await.unwrap();
    assert_eq!(found.shown, "the stack orders-dev");
    let mut told = told(&found);
    told.sort();
    let expected = [
        ("Audit", "audit/, Go"),
        ("Billing/Charge", "billing/src/, JavaScript"),
        ("Create", "orders/src/create.ts"),
        ("List", "list/, JavaScript"),
        ("Ping", "its code is in the template"),
        ("Report", "report/, Python"),
        ("Thumbnails", "it is a container image"),
        ("Traced", "traced/, JavaScript"),
    ];
    assert_eq!(told, pairs(&expected));
}

#[tokio::test]
async fn a_template_may_be_deployed_under_another_name() {
    let found = found(true, &["orders-dev"], &["Create", "Charge"]).await.unwrap();
    assert_eq!(
        told(&found),
        pairs(&[("Create", "orders/src/create.ts"), ("Billing/Charge", "billing/src/, JavaScript")])
    );
}

#[tokio::test]
async fn functions_are_chosen_by_label_by_name_and_by_pattern() {
    for (chosen, expected) in [
        (&["List"][..], &["List"][..]),
        (&["Billing/*", "Audit"], &["Audit", "Billing/Charge"]),
        (&["orders-dev-Create-653AF4394F1BA"], &["Create"]),
        (&["arn:aws:lambda:us-east-1:000000000000:function:orders-dev-List-E48CFC30B9237"], &["List"]),
    ] {
        let found = found(true, &[], chosen).await.unwrap();
        let labels: Vec<&str> = found.candidates.iter().map(|one| one.label.as_str()).collect();
        assert_eq!(labels, expected, "{chosen:?}");
    }
    let error = found(true, &[], &["Craete"]).await.unwrap_err();
    assert_eq!(error.message, "no function matches `Craete`");
    assert!(error.hint.unwrap().starts_with("did you mean `Create`? There are `Create`, `List`"));
}

#[tokio::test]
async fn bare_functions_are_found_by_name_and_by_pattern() {
    let expected = [
        ("orders-dev-Create-653AF4394F1BA", "orders/src/create.ts"),
        ("orders-dev-Report-49DC451423A4D", "report/, Python"),
    ];
    let found = found(false, &[], &["orders-dev-Create-653AF4394F1BA", "*-Report-*"]).await.unwrap();
    assert_eq!((found.shown.as_str(), told(&found)), ("Lambda (us-east-1)", pairs(&expected)));
}

#[tokio::test]
async fn what_is_no_function_of_this_account_is_told() {
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:a";
    for (function, message) in [
        (
            "orders-dev-Craete-653AF4394F1BA".to_owned(),
            "there is no function `orders-dev-Craete-653AF4394F1BA`",
        ),
        ("nothing-*".to_owned(), "no function matches `nothing-*`"),
        (arn.replace("us-east-1", "eu-west-1"), "is in aws://000000000000/eu-west-1"),
        (arn.replace("000000000000", "123456789012"), "is in aws://123456789012/us-east-1"),
        (format!("{arn}:live"), "is one version of the function `a`"),
        ("a:7".to_owned(), "is one version of the function `a`"),
        ("arn:aws:s3:::bucket".to_owned(), "is not the ARN of a function"),
    ] {
        let error: Error = found(false, &[], &[&function]).await.unwrap_err();
        assert_eq!(error.kind, Kind::Usage);
        assert!(error.message.contains(message), "{function}: {}", error.message);
    }
    let error = found(false, &[], &["orders-dev-Craete-653AF4394F1BA"]).await.unwrap_err();
    assert_eq!(error.hint.as_deref(), Some("did you mean `orders-dev-Create-653AF4394F1BA`?"));
    let error = found(false, &["orders-test"], &[]).await.unwrap_err();
    assert!(error.message.starts_with("there is no stack `orders-test` in aws://"), "{}", error.message);
    let error = found(false, &[], &[]).await.unwrap_err();
    assert_eq!(error.message, "nothing here says which functions are deployed");
}

/// What `change` makes of the project's declaration is looked up.
async fn found_changed(change: impl FnOnce(&mut Declaration)) -> Result<Found> {
    let root = fixture("sam");
    let (spawner, (ui, _shown)) = (process::for_tests(), Ui::channel());
    let asked = Asked { root: &root, stage: None, region: None, spawner: &spawner, ui: &ui };
    let mut declaration = declare(&asked).await?.unwrap();
    change(&mut declaration);
    look_up(&account().await, Some(&declaration), &Chosen::default(), &asked, &BTreeMap::new()).await
}

#[tokio::test]
async fn what_is_declared_and_not_deployed_is_told() {
    let gone = |logical_id: &str| Which::Resource {
        stack: "orders-dev".to_owned(),
        logical_id: logical_id.to_owned(),
    };
    let found = found_changed(|declaration| {
        declaration.functions[0].which = gone("Gone");
        declaration.functions[1].which = Which::Name("orders-gone".to_owned());
    });
    let found = found.await.unwrap();
    assert_eq!(found.candidates.len(), 6);
    let expected = [
        "`Create` is not deployed: the stack `orders-dev` has no `Gone`",
        "`List` (`orders-gone`) is not deployed in us-east-1",
    ];
    assert_eq!(found.notices, expected);
    let error = found_changed(|declaration| {
        declaration.functions.truncate(1);
        declaration.functions[0].which = gone("Gone");
    });
    let error = error.await.unwrap_err();
    assert_eq!(
        error.message,
        "none of the functions of samconfig.toml (stack orders-dev) is deployed in aws://000000000000/us-east-1"
    );
    assert_eq!(error.detail.as_deref(), Some(expected[0]));
}

#[tokio::test]
async fn a_stack_that_the_files_do_not_name_has_to_be_given() {
    let error = found_changed(|declaration| {
        for function in &mut declaration.functions {
            function.which = Which::Resource { stack: String::new(), logical_id: function.label.clone() };
        }
    });
    assert_eq!(error.await.unwrap_err().hint.as_deref(), Some("name it: `--stack NAME`"));
}

#[tokio::test]
async fn a_function_of_a_cdk_app_is_found_in_a_nested_stack_too() {
    let function = |id: &str, logical_id: &str| {
        json!({
            "id": id, "stack": "orders-dev", "logicalId": logical_id, "language": "node", "runtime": "nodejs22.x",
            "handler": "index.handler", "source": { "kind": "directory", "path": fixture("sam/list") }, "environment": [],
        })
    };
    let functions = [function("Orders/Create", "Create"), function("Orders/Billing/Charge", "Charge")];
    let manifest: Manifest =
        serde_json::from_value(json!({ "functions": functions, "leftAlone": [] })).unwrap();
    let found = found_changed(|declaration| *declaration = from_manifest(&manifest)).await.unwrap();
    let list = "list/, JavaScript";
    assert_eq!(told(&found), pairs(&[("Orders/Create", list), ("Orders/Billing/Charge", list)]));
    let charge = found.candidates[1].source.as_ref().unwrap();
    assert!(charge.spec.stack.starts_with("orders-dev-Billing-"), "{charge:?}");
    assert_eq!(charge.spec.id.as_str(), found.candidates[1].deployed.name);
}

#[tokio::test]
async fn what_sst_json_says_comes_first() {
    let mapping = |path: &str, handler: Option<&str>| HandMapping {
        source: HandSource::Entry(fixture("sam").join(path)),
        handler: handler.map(str::to_owned),
        policy_attached: false,
    };
    let mappings = [
        ("List".to_owned(), mapping("orders/src/create.ts", Some("other"))),
        ("orders-dev-Report-*".to_owned(), mapping("report/app.py", None)),
        ("Traced".to_owned(), mapping("traced/gone.js", None)),
    ];
    let found = found_with(true, &[], &["List", "Report", "Traced"], &mappings.into()).await.unwrap();
    let told = told(&found);
    assert_eq!(told[..2], pairs(&[("List", "orders/src/create.ts"), ("Report", "report/, Python")]));
    assert!(told[2].1.contains("traced/gone.js`"), "{told:?}");
    let list = &found.candidates[0].source.as_ref().unwrap().spec;
    assert!(matches!(&list.source, Source::Entry { export, .. } if export == "other"), "{list:?}");
}

/// What somebody has attached before is a program on Lambda until whoever knows better says so.
#[tokio::test]
async fn a_function_that_is_a_stub_already_is_found_as_it_was() {
    let found = found(false, &[], &["orders-dev-List-E48CFC30B9237"]).await.unwrap();
    let original = found.candidates[0].deployed.clone();
    let mut stub = Deployed {
        runtime: "provided.al2023".to_owned(),
        handler: "bootstrap".to_owned(),
        ..original.clone()
    };
    stub.environment.insert(sst_wire::CONFIG_VARIABLE.to_owned(), "{}".to_owned());
    let candidate = found.candidates[0].clone();
    let stubbed = candidate.as_it_was(stub, &fixture("sam"), &BTreeMap::new());
    assert!(matches!(&stubbed.source, Err(Unsourced::NotFound(_))), "{stubbed:?}");
    let back = stubbed.as_it_was(original, &fixture("sam"), &BTreeMap::new());
    assert_eq!(back, found.candidates[0]);
}
