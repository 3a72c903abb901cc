//! What this program asks of AWS, as it would be sent there, with the names that AWS has in its partitions: made anew by botocore, whose
//! clients would send it to the same hosts.

use std::{
    io::Write,
    process::{Command, Stdio},
    sync::Mutex,
};

use aws_sdk_apigatewaymanagement::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::BeforeTransmitInterceptorContextRef, dyn_dispatch_hint},
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{base64, config_bag::ConfigBag};
use axum::{Router, routing::post};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{profile::Source, tests::IDENTITY, *};

/// Regions of three partitions, what their names end in, and whether FIPS endpoints are asked for.
const PLACES: [(&str, &str, bool); 5] = [
    ("us-east-1", "amazonaws.com", false),
    ("us-east-1", "amazonaws.com", true),
    ("cn-north-1", "amazonaws.com.cn", false),
    ("us-gov-west-1", "amazonaws.com", false),
    ("us-gov-west-1", "amazonaws.com", true),
];

const KEY: (&str, &str) = ("ASIAEXAMPLE0000001", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");

/// With all characters that have to be encoded somewhere.
const TOKEN: &str = "IQoJb3JpZ2luX2VjE//////////wEaCXVzLWVhc3QtMSJH+a/+==";

/// Takes note of a request that is signed, and keeps it from being sent.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<Value>>>);

#[dyn_dispatch_hint]
impl Intercept for Kept {
    fn name(&self) -> &'static str {
        "Kept"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        let uri: http::Uri = request.uri().parse()?;
        let headers = request.headers().iter().map(|(name, value)| [name, value]);
        let mut headers: Vec<[&str; 2]> = headers.filter(|[name, _]| *name != "host").collect();
        headers.push(["host", uri.authority().map(|host| host.as_str()).ok_or("no host")?]);
        self.0.lock().unwrap().push(json!({
            "method": request.method(), "headers": headers, "target": uri.path_and_query().ok_or("no path")?.as_str(),
            "body": base64::encode(request.body().bytes().ok_or("a body that is not there as a whole")?),
        }));
        Err("it was only looked at".into())
    }
}

/// Somebody with temporary credentials, in a region of AWS.
async fn somebody(region: &str, fips: bool) -> Aws {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, Router::new().route("/", post(async || IDENTITY))).await });
    let options = Options { endpoint: Some(endpoint), local: true, ..Options::default() };
    let mut aws = Aws::connect(options).await.unwrap();
    let credentials = Credentials::new(KEY.0, KEY.1, Some(TOKEN.to_owned()), None, "a test");
    aws.keeper = Keeper::new(Source::fixed(credentials, aws.network.clone()), aws.clock.clone());
    let mut sdk = aws.sdk.to_builder();
    sdk.set_endpoint_url(None);
    let sdk = sdk.region(aws_types::region::Region::new(region.to_owned())).use_fips(fips);
    aws.sdk = sdk.credentials_provider(SharedCredentialsProvider::new(aws.keeper.clone())).build();
    (aws.endpoint, aws.region) = (None, region.to_owned());
    aws.without_retries()
}

/// One request of each kind: its service, by which client of botocore's it could be sent, and what it is.
async fn requests(aws: &Aws, suffix: &str, fips: bool) -> Vec<Value> {
    let region = &aws.region;
    let name = if fips { "execute-api-fips" } else { "execute-api" };
    let host = format!("abc.{name}.{region}.{suffix}");
    let signed: http::Uri =
        aws.presign_websocket(&format!("wss://{host}/live")).await.unwrap().parse().unwrap();
    let handshake = json!({
        "method": "GET", "headers": [["host", signed.host()]], "target": signed.path_and_query().unwrap().as_str(),
    });
    let mut named = vec![("execute-api", None, handshake)];
    let kept = Kept::default();
    let mut take = |service: &'static str, client: Option<&'static str>| {
        named.push((service, client, kept.0.lock().unwrap().pop().expect("a request")));
    };
    let kept = || kept.clone();
    for id in ["R0oXAdfD0kwCH6w=", "R0o+XA/fD0kwCH6w="] {
        let management = aws.management(&format!("https://{host}/live"));
        let answer =
            management.post_to_connection().connection_id(id).data(Blob::new("{\"a\":\"\u{4e2d}\"}"));
        answer.customize().interceptor(kept()).send().await.unwrap_err();
        take("execute-api", None);
    }
    let item =
        aws.dynamodb().put_item().table_name("t").item("pk", AttributeValue::S("app/B\u{fc}cher".into()));
    item.customize().interceptor(kept()).send().await.unwrap_err();
    take("dynamodb", Some("dynamodb"));
    let object = aws.s3().put_object().bucket("payloads").key("payloads/a b+c=/event");
    object
        .body(ByteStream::from_static(b"an event"))
        .customize()
        .interceptor(kept())
        .send()
        .await
        .unwrap_err();
    take("s3", Some("s3"));
    let object = aws.s3().get_object().bucket("payloads").key("payloads/a b+c=/event");
    object.customize().interceptor(kept()).send().await.unwrap_err();
    take("s3", Some("s3"));
    aws.cloudformation().describe_stacks().customize().interceptor(kept()).send().await.unwrap_err();
    take("cloudformation", Some("cloudformation"));
    aws.lambda().get_function().function_name("f").customize().interceptor(kept()).send().await.unwrap_err();
    take("lambda", Some("lambda"));
    aws.sts().get_caller_identity().customize().interceptor(kept()).send().await.unwrap_err();
    take("sts", Some("sts"));
    let with_facts = |(service, client, mut request): (&str, Option<&str>, Value)| {
        request["service"] = service.into();
        request["region"] = region.as_str().into();
        request["fips"] = fips.into();
        request["client"] = client.into();
        request
    };
    named.into_iter().map(with_facts).collect()
}

/// What botocore has to say of each; `Null` when nothing is wrong.
fn wrong(requests: &[Value]) -> Vec<Value> {
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let mut python = Command::new(format!("{target}/python/bin/python"))
        .arg("tests/counterpart/again.py")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let credentials = json!({ "accessKeyId": KEY.0, "secretAccessKey": KEY.1, "sessionToken": TOKEN });
    let asked = json!({ "credentials": credentials, "requests": requests }).to_string();
    python.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    let said = python.wait_with_output().unwrap();
    serde_json::from_slice(&said.stdout).unwrap()
}

#[tokio::test]
async fn botocore_signs_the_same_for_the_same_hosts_in_every_partition() {
    let mut all = Vec::new();
    for (region, suffix, fips) in PLACES {
        all.extend(requests(&somebody(region, fips).await, suffix, fips).await);
    }
    assert_eq!(all.len(), PLACES.len() * 9);
    let wrong: Vec<Value> = wrong(&all).into_iter().filter(|wrong| !wrong.is_null()).collect();
    // AWS's two SDKs have two names for what is a FIPS endpoint by either.
    let known = "botocore would ask dynamodb-fips.us-gov-west-1.amazonaws.com, and not dynamodb.us-gov-west-1.amazonaws.com";
    assert_eq!(wrong, [known]);
}

#[tokio::test]
async fn botocore_finds_what_is_wrong() {
    let right = requests(&somebody("us-east-1", true).await, "amazonaws.com", true).await;
    for (what, value) in [("region", "us-gov-west-1"), ("service", "iam")] {
        let mut other = right.clone();
        for request in &mut other {
            request[what] = value.into();
        }
        assert!(wrong(&other).iter().all(Value::is_string), "{what}");
    }
    let mut usual: Vec<Value> = right.into_iter().filter(|request| !request["client"].is_null()).collect();
    for request in &mut usual {
        request["fips"] = false.into();
    }
    assert!(wrong(&usual).iter().all(Value::is_string), "hosts are others");
}
