//! Each kind of request that a stub makes, signed for the names that AWS has in its partitions, and made anew by botocore.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use super::*;
use crate::signing::host;

/// Regions of three partitions, and what their names end in.
const PLACES: [(&str, &str); 3] =
    [("us-east-1", "amazonaws.com"), ("cn-north-1", "amazonaws.com.cn"), ("us-gov-west-1", "amazonaws.com")];

/// With all characters that have to be encoded somewhere.
const TOKEN: &str = "IQoJb3JpZ2luX2VjE//////////wEaCXVzLWVhc3QtMSJH+a/+==";

/// A stub of a region, with the names that it is given, or those that it makes of the region.
fn cloud(region: &str, api: &str, variables: &[(&str, String)]) -> Cloud {
    let config = json!({
        "v": VERSION, "f": "app/B\u{fc}cher & \u{4e2d}", "s": "dev", "e": format!("wss://{api}/live"), "m": format!("https://{api}/live"),
        "t": "registrations", "b": "payloads", "r": region,
    });
    let usual = [
        ("SST_STUB", config.to_string()),
        ("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE0000001".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
        ("AWS_SESSION_TOKEN", TOKEN.to_owned()),
    ];
    let environment = usual.iter().chain(variables).map(|(name, value)| ((*name).to_owned(), value.clone()));
    Cloud::new(Client::new(None).unwrap(), Settings::read(environment.collect()).ok().unwrap())
}

/// A request as it is sent.
fn request(
    cloud: &Cloud,
    (service, method): (&str, &str),
    url: &Uri,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Value {
    let mut all: Vec<(String, String)> = vec![("host".to_owned(), host(url))];
    // A handshake is authorised by its query.
    if url.query().is_none() {
        all.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        all.extend(cloud.signer(service).headers(method, url, headers, body));
    }
    json!({
        "region": cloud.settings.config.region, "service": service, "method": method, "headers": all,
        "target": url.path_and_query().unwrap().as_str(), "body": base64::engine::general_purpose::STANDARD.encode(body),
    })
}

/// All that a stub asks for.
fn requests(cloud: &Cloud) -> Vec<Value> {
    let mut requests =
        vec![request(cloud, ("execute-api", "GET"), &cloud.handshake_url().ok().unwrap(), &[], b"")];
    for id in ["R0oXAdfD0kwCH6w=", "R0o+XA/fD0kwCH6w="] {
        let url = cloud.connection(id).ok().unwrap();
        requests.push(request(cloud, ("execute-api", "POST"), &url, &[], "{\"a\":\"\u{4e2d}\"}".as_bytes()));
    }
    let lookup =
        [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", "DynamoDB_20120810.GetItem")];
    requests.push(request(cloud, ("dynamodb", "POST"), &cloud.settings.dynamodb, &lookup, b"{}"));
    for (method, body) in [("PUT", &b"an event"[..]), ("GET", b"")] {
        let url = cloud.object("payloads/a b+c=/event").ok().unwrap();
        requests.push(request(cloud, ("s3", method), &url, &[], body));
    }
    requests
}

/// What botocore has to say of each; `Null` when nothing is wrong.
fn wrong(requests: &[Value]) -> Vec<Value> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = std::env::var("CARGO_TARGET_DIR").map_or_else(|_| root.join("target"), PathBuf::from);
    let mut python = Command::new(target.join("python/bin/python"))
        .arg(root.join("tests/counterpart/again.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let credentials = json!({
        "accessKeyId": "ASIAEXAMPLE0000001", "secretAccessKey": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "sessionToken": TOKEN,
    });
    let asked = json!({ "credentials": credentials, "requests": requests }).to_string();
    python.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    let said = python.wait_with_output().unwrap();
    serde_json::from_slice(&said.stdout).unwrap()
}

#[test]
fn botocore_signs_the_same_in_every_partition() {
    let mut all = Vec::new();
    for (region, suffix) in PLACES {
        let mut usual = requests(&cloud(region, &format!("abc.execute-api.{region}.{suffix}"), &[]));
        // Where botocore's own clients would send these.
        for request in &mut usual {
            let client = request["service"].as_str().filter(|service| *service != "execute-api");
            if let Some(client) = client.map(str::to_owned) {
                request["client"] = client.into();
            }
        }
        all.extend(usual);
        let fips = ["DYNAMODB", "S3"].map(|service| {
            let name = format!("https://{}-fips.{region}.{suffix}", service.to_lowercase());
            (format!("AWS_ENDPOINT_URL_{service}"), name)
        });
        let fips = fips.each_ref().map(|(name, value)| (name.as_str(), value.clone()));
        all.extend(requests(&cloud(region, &format!("abc.execute-api-fips.{region}.{suffix}"), &fips)));
    }
    assert_eq!(all.len(), 36);
    for (request, wrong) in all.iter().zip(wrong(&all)) {
        assert_eq!(wrong, Value::Null, "{request:#}");
    }
}

#[test]
fn botocore_finds_what_is_wrong() {
    let cloud = cloud("cn-north-1", "abc.execute-api.cn-north-1.amazonaws.com.cn", &[]);
    let mut other_region = requests(&cloud);
    for request in &mut other_region {
        request["region"] = "us-east-1".into();
    }
    let mut other_host = requests(&cloud);
    for request in &mut other_host {
        request["headers"][0][1] = "abc.execute-api.cn-north-1.amazonaws.com".into();
    }
    let mut other_target = requests(&cloud);
    for request in &mut other_target {
        let target = request["target"].as_str().unwrap().replacen("%3D", "=", 1) + "&";
        request["target"] = target.into();
    }
    for requests in [other_region, other_host, other_target] {
        assert!(wrong(&requests).iter().all(Value::is_string));
    }
}
