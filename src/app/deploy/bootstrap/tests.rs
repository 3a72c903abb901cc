//! Which bootstrap is made where, with services that have several regions and accounts.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::any,
};
use camino::Utf8Path;

use super::*;
use crate::{
    app::{Bootstrap, Role},
    aws::Options,
};

const HERE: &str = "000000000000";
const OTHER: &str = "222222222222";

/// What there is, one line each: `role <name>` that can be assumed, `denied`, `<region> <parameter> <version>`, `<region> stack <name> <qualifier>`.
struct World {
    there: Vec<String>,
    asked: Mutex<Vec<String>>,
}

impl World {
    async fn start(there: &[&str]) -> (Arc<Self>, Aws) {
        let there = there.iter().map(ToString::to_string).collect();
        let world = Arc::new(Self { there, asked: Mutex::default() });
        let router = Router::new().fallback(any(Self::answer)).with_state(world.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let aws = Aws::connect(Options { endpoint, local: true, ..Options::default() }).await.unwrap();
        (world, aws)
    }

    fn has(&self, line: &str) -> bool {
        self.there.iter().any(|known| known == line)
    }

    /// What stands behind the beginning of a line.
    fn behind(&self, beginning: &str) -> Option<&str> {
        self.there.iter().find_map(|line| line.strip_prefix(beginning)?.strip_prefix(' '))
    }

    async fn answer(State(world): State<Arc<Self>>, headers: HeaderMap, body: String) -> Response {
        // `AWS4-HMAC-SHA256 Credential=<key>/<date>/<region>/<service>/aws4_request, …`
        let signed = headers["authorization"].to_str().unwrap();
        let scope: Vec<&str> = signed.split("Credential=").nth(1).unwrap().split('/').collect();
        let (key, region, service) = (scope[0], scope[2], scope[3]);
        let field = |name: &str| {
            let fields = body.split('&').filter_map(|field| field.split_once('='));
            let mut found = fields.filter(|(known, _)| *known == name).map(|(_, value)| value);
            let value = found.next().unwrap_or_default();
            percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned()
        };
        let (action, json) = (field("Action"), serde_json::from_str::<Value>(&body).unwrap_or_default());
        let refused = |code: &str, message: &str| {
            let text = format!(
                "<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
            );
            (StatusCode::FORBIDDEN, text).into_response()
        };
        match (service, action.as_str()) {
            ("sts", "AssumeRole") => {
                let role = field("RoleArn");
                world.asked.lock().unwrap().push(format!("assume {role} {}", field("ExternalId")));
                if !world.has(&format!("role {}", role.rsplit('/').next().unwrap())) {
                    return refused("AccessDenied", "not authorized");
                }
                "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
                 <SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
                    .into_response()
            }
            ("sts", _) => format!(
                "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws-cn:iam::{HERE}:user/a</Arn><Account>{HERE}</Account>\
                 </GetCallerIdentityResult></GetCallerIdentityResponse>"
            )
            .into_response(),
            ("cloudformation", _) => {
                let name = field("StackName");
                match world.behind(&format!("{region} stack {name}")) {
                    Some(qualifier) => format!(
                        "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>{name}</StackName><CreationTime>2026-01-01T00:00:00Z\
                         </CreationTime><StackStatus>CREATE_COMPLETE</StackStatus><Parameters><member><ParameterKey>Qualifier</ParameterKey>\
                         <ParameterValue>{qualifier}</ParameterValue></member></Parameters></member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
                    )
                    .into_response(),
                    None => refused("ValidationError", &format!("Stack with id {name} does not exist")),
                }
            }
            _ => {
                let name = json["Name"].as_str().unwrap_or_default();
                world.asked.lock().unwrap().push(format!("{key} {region} {name}"));
                let failed = |kind: &str| {
                    (StatusCode::BAD_REQUEST, serde_json::json!({ "__type": kind }).to_string()).into_response()
                };
                if key != "ROLE" && world.has("denied") {
                    return failed("AccessDeniedException");
                }
                match world.behind(&format!("{region} {name}")) {
                    Some(version) => serde_json::json!({ "Parameter": { "Value": version } }).to_string().into_response(),
                    None => failed("ParameterNotFound"),
                }
            }
        }
    }
}

fn project(cdk: &str) -> (tempfile::TempDir, Project) {
    let directory = tempfile::tempdir().unwrap();
    fs_err::write(directory.path().join("cdk.json"), cdk).unwrap();
    fs_err::write(directory.path().join("package.json"), r#"{"name":"app"}"#).unwrap();
    let project = Project::find(Utf8Path::from_path(directory.path()).unwrap()).unwrap();
    (directory, project)
}

fn environment(account: &str, region: &str, qualifier: &str) -> Environment {
    let role = |kind: &str| Role {
        arn: format!(
            "arn:${{AWS::Partition}}:iam::{account}:role/cdk-{qualifier}-{kind}-role-{account}-${{AWS::Region}}"
        ),
        external_id: Some("told".to_owned()),
    };
    let bootstrap = Bootstrap {
        qualifier: Some(qualifier.to_owned()),
        parameter: Some(format!("/cdk-bootstrap/{qualifier}/version")),
        version: 6,
        roles: vec![role("deploy"), role("lookup")],
    };
    Environment {
        account: account.to_owned(),
        region: region.to_owned(),
        bootstrap,
        stacks: vec!["api".to_owned()],
    }
}

/// What is lacking: how it is said, and the command. Or else what is wrong.
async fn said(cdk: &str, there: &[&str], environments: &[Environment]) -> (Vec<String>, Arc<World>) {
    let (_directory, project) = project(cdk);
    let (world, aws) = World::start(there).await;
    let said = match lacking(&project, &aws, environments).await {
        Ok(found) => found.iter().map(|one| format!("{one}: {}", one.command())).collect(),
        Err(error) => vec![error.message, error.detail.unwrap_or_default(), error.hint.unwrap_or_default()],
    };
    (said, world)
}

const PLAIN: &str = r#"{ "app": "x" }"#;
const NAMED: &str = r#"{ "app": "x", "toolkitStackName": "Acme" }"#;

#[tokio::test]
async fn each_place_is_looked_at_and_what_is_missing_is_made_by_its_own_command() {
    let [one, two] = ["eu-west-1", "us-east-1"];
    let usual = |region| environment(HERE, region, DEFAULT_QUALIFIER);
    let acme = |region| environment(HERE, region, "acme");
    /// The `cdk.json`, what is there, where is looked, and what is run.
    type Case<'a> = (&'a str, &'a [&'a str], Vec<Environment>, &'a [&'a str]);
    let table: [Case<'_>; 9] = [
        (PLAIN, &["eu-west-1 /cdk-bootstrap/hnb659fds/version 6"], vec![usual(one)], &[]),
        (
            PLAIN,
            &["eu-west-1 /cdk-bootstrap/hnb659fds/version 30"],
            vec![usual(one), usual(two)],
            &[
                "aws://000000000000/us-east-1 is not bootstrapped for the CDK: npx cdk bootstrap aws://000000000000/us-east-1",
            ],
        ),
        // Nobody else's is taken for one's own, nor overwritten.
        (
            PLAIN,
            &["eu-west-1 /cdk-bootstrap/hnb659fds/version 30", "eu-west-1 stack CDKToolkit hnb659fds"],
            vec![acme(one), acme(two)],
            &[
                "aws://000000000000/eu-west-1 is not bootstrapped for the CDK with the qualifier `acme`: \
                 npx cdk bootstrap aws://000000000000/eu-west-1 --qualifier acme --toolkit-stack-name CDKToolkit-acme",
                "aws://000000000000/us-east-1 is not bootstrapped for the CDK with the qualifier `acme`: \
                 npx cdk bootstrap aws://000000000000/us-east-1 --qualifier acme",
            ],
        ),
        (
            NAMED,
            &["eu-west-1 stack CDKToolkit hnb659fds"],
            vec![acme(one)],
            &["aws://000000000000/eu-west-1 is not bootstrapped for the CDK with the qualifier `acme`: \
               npx cdk bootstrap aws://000000000000/eu-west-1 --qualifier acme --toolkit-stack-name Acme"],
        ),
        (
            NAMED,
            &["eu-west-1 stack Acme other"],
            vec![acme(one)],
            &[
                "`api` cannot be deployed to aws://000000000000/eu-west-1",
                "the stack `Acme` there is the bootstrap of the qualifier `other`",
                "give `toolkitStackName` in `cdk.json` another name than that; `acme` needs a stack of its own",
            ],
        ),
        // One that is too old is renewed where it is.
        (
            PLAIN,
            &[
                "eu-west-1 /cdk-bootstrap/acme/version 5",
                "eu-west-1 stack CDKToolkit hnb659fds",
                "eu-west-1 stack CDKToolkit-acme acme",
            ],
            vec![acme(one)],
            &[
                "aws://000000000000/eu-west-1 has version 5 of the CDK's bootstrap, and 6 is needed with the qualifier `acme`: \
               npx cdk bootstrap aws://000000000000/eu-west-1 --qualifier acme --toolkit-stack-name CDKToolkit-acme",
            ],
        ),
        (
            PLAIN,
            &["eu-west-1 /cdk-bootstrap/acme/version 5"],
            vec![acme(one)],
            &[
                "`api` cannot be deployed to aws://000000000000/eu-west-1",
                "aws://000000000000/eu-west-1 has version 5 of the CDK's bootstrap, and 6 is needed with the qualifier `acme`",
                "find the stack that made it, and run `npx cdk bootstrap aws://000000000000/eu-west-1 --qualifier acme --toolkit-stack-name <its name>`",
            ],
        ),
        // Who may not look lets a role look, and without one the CDK CLI.
        (
            PLAIN,
            &[
                "denied",
                "role cdk-acme-lookup-role-000000000000-eu-west-1",
                "eu-west-1 /cdk-bootstrap/acme/version 6",
            ],
            vec![acme(one)],
            &[],
        ),
        (PLAIN, &["denied"], vec![acme(one)], &[]),
    ];
    for (cdk, there, environments, expected) in table {
        assert_eq!(said(cdk, there, &environments).await.0, expected, "{there:?}");
    }
}

#[tokio::test]
async fn another_account_is_looked_at_by_its_role() {
    let there =
        ["role cdk-acme-deploy-role-222222222222-eu-west-1", "eu-west-1 /cdk-bootstrap/acme/version 6"];
    let wanted = [environment(OTHER, "eu-west-1", "acme")];
    let (found, world) = said(PLAIN, &there, &wanted).await;
    assert_eq!(found, [""; 0]);
    let asked = world.asked.lock().unwrap().clone();
    assert_eq!(
        asked,
        [
            "assume arn:aws-cn:iam::222222222222:role/cdk-acme-deploy-role-222222222222-eu-west-1 told",
            "ROLE eu-west-1 /cdk-bootstrap/acme/version"
        ]
    );

    let command = "`npx cdk bootstrap aws://222222222222/eu-west-1 --qualifier acme --toolkit-stack-name Acme --trust 000000000000 \
        --cloudformation-execution-policies arn:aws-cn:iam::aws:policy/AdministratorAccess`";
    let [message, detail, hint] = said(NAMED, &there[..1], &wanted).await.0.try_into().unwrap();
    assert_eq!(message, "`api` cannot be deployed to aws://222222222222/eu-west-1");
    assert_eq!(
        detail,
        "aws://222222222222/eu-west-1 is not bootstrapped for the CDK with the qualifier `acme`"
    );
    assert_eq!(hint, format!("run this with credentials of account 222222222222: {command}"));

    let [_, detail, hint] = said(NAMED, &[], &wanted).await.0.try_into().unwrap();
    assert_eq!(
        detail,
        "the role `cdk-acme-deploy-role-222222222222-${AWS::Region}` cannot be assumed: AccessDenied: not authorized"
            .replace("${AWS::Region}", "eu-west-1")
    );
    assert!(
        hint.starts_with(
            "allow your credentials `sts:AssumeRole` on it. If account 222222222222 is not bootstrapped"
        ),
        "{hint}"
    );
    assert!(hint.ends_with(command), "{hint}");
}

#[tokio::test]
async fn a_bootstrap_of_another_template_is_nobodys_to_make_here() {
    let mut own = environment(HERE, "eu-west-1", "acme");
    own.bootstrap.parameter = Some("/company/cdk".to_owned());
    own.bootstrap.qualifier = None;
    let [_, detail, hint] = said(PLAIN, &[], &[own.clone()]).await.0.try_into().unwrap();
    assert_eq!(detail, "the SSM parameter `/company/cdk` is not there");
    assert!(hint.starts_with("the app is not deployed with the CDK's own bootstrap"), "{hint}");
    assert_eq!(said(PLAIN, &["eu-west-1 /company/cdk 6"], &[own]).await.0, [""; 0]);
}
