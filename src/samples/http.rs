//! Requests of web clients: APIs, function URLs, load balancers, GraphQL, and what authorises them.

use serde_json::{Map, Value, json};

use super::{Origin, fields::ID};

const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36";
const ADDRESS: &str = "192.0.2.1";
const TRACE: &str = "Root=1-5e66d96f-7491f09xmpl79d18acf3d050";

/// What is requested.
struct Request {
    method: String,
    /// With parameters in it.
    pattern: String,
    path: String,
    parameters: Map<String, Value>,
    /// JSON, for methods that carry something.
    body: Option<String>,
}

impl Request {
    fn of(origin: &Origin<'_>) -> Self {
        let route =
            |name: fn(&crate::project::manifest::Trigger) -> Option<&String>| origin.trigger.and_then(name);
        let method = match route(|trigger| trigger.method.as_ref()).map(String::as_str) {
            None | Some("ANY") => "GET".to_owned(),
            Some(method) => method.to_owned(),
        };
        let pattern = route(|trigger| trigger.path.as_ref()).map_or("/notes/{id}", String::as_str);
        let mut parameters = Map::new();
        let segments: Vec<String> = pattern
            .split('/')
            .map(|segment| match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(name) => {
                    let value = value_of(name);
                    parameters.insert(name.trim_end_matches('+').to_owned(), value.into());
                    value.to_owned()
                }
                None => segment.replace('*', "something"),
            })
            .collect();
        let has_body = ["POST", "PUT", "PATCH"].contains(&method.as_str());
        let body = has_body.then(|| r#"{"text":"Hello from a sample"}"#.to_owned());
        Self { method, pattern: pattern.to_owned(), path: segments.join("/"), parameters, body }
    }

    /// Headers in lower case, as all but REST APIs write them.
    fn headers(&self, host: &str) -> Map<String, Value> {
        let mut headers = Map::new();
        let content = self.body.as_ref().map(|_| ("content-type", "application/json"));
        let all = [("accept", "application/json"), ("host", host), ("user-agent", AGENT)];
        let more = [("x-amzn-trace-id", TRACE), ("x-forwarded-for", ADDRESS)];
        let more = more.into_iter().chain([("x-forwarded-port", "443"), ("x-forwarded-proto", "https")]);
        for (name, value) in all.into_iter().chain(content).chain(more) {
            headers.insert(name.to_owned(), value.into());
        }
        headers
    }
}

/// An example of a parameter of a path.
fn value_of(name: &str) -> &str {
    match name {
        greedy if greedy.ends_with('+') => "some/path",
        id if id.to_lowercase().ends_with("id") => "123",
        other => other,
    }
}

/// `{ "name": ["value"] }` of `{ "name": "value" }`.
fn in_lists(map: &Map<String, Value>) -> Value {
    map.iter().map(|(name, value)| (name.clone(), json!([value]))).collect::<Map<_, _>>().into()
}

fn null_if_empty(map: Map<String, Value>) -> Value {
    if map.is_empty() { Value::Null } else { map.into() }
}

/// Also what an HTTP API sends in the older of its two formats.
pub(super) fn rest_api(origin: &Origin<'_>) -> Value {
    let request = Request::of(origin);
    let (api, stage) = (origin.name("abcdef1234"), origin.text("stage").unwrap_or("prod"));
    let domain = format!("{api}.execute-api.{}.amazonaws.com", origin.region());
    let headers: Map<String, Value> =
        request.headers(&domain).into_iter().map(|(name, value)| (capitalised(&name), value)).collect();
    let identity = json!({
        "accessKey": null, "accountId": null, "apiKey": null, "apiKeyId": null, "caller": null, "clientCert": null,
        "cognitoAuthenticationProvider": null, "cognitoAuthenticationType": null, "cognitoIdentityId": null,
        "cognitoIdentityPoolId": null, "principalOrgId": null, "sourceIp": ADDRESS, "user": null, "userAgent": AGENT,
        "userArn": null,
    });
    let query = json!({ "limit": "10" });
    json!({
        "resource": request.pattern,
        "path": request.path,
        "httpMethod": request.method,
        "multiValueHeaders": in_lists(&headers),
        "headers": headers,
        "queryStringParameters": query,
        "multiValueQueryStringParameters": { "limit": ["10"] },
        "pathParameters": null_if_empty(request.parameters),
        "stageVariables": null,
        "requestContext": {
            "accountId": origin.account(),
            "apiId": api,
            "authorizer": null,
            "domainName": domain,
            "domainPrefix": api,
            "extendedRequestId": "JKJaXmPLvHcESHA=",
            "httpMethod": request.method,
            "identity": identity,
            "path": format!("/{stage}{}", request.path),
            "protocol": "HTTP/1.1",
            "requestId": ID,
            "requestTime": origin.written("%d/%b/%Y:%H:%M:%S +0000"),
            "requestTimeEpoch": origin.millis(),
            "resourceId": "g7x2k1",
            "resourcePath": request.pattern,
            "stage": stage,
        },
        "body": request.body,
        "isBase64Encoded": false,
    })
}

/// `X-Amzn-Trace-Id` of `x-amzn-trace-id`.
fn capitalised(name: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    name.split('-').map(capital).collect::<Vec<_>>().join("-")
}

pub(super) fn http_api(origin: &Origin<'_>) -> Value {
    if origin.text("payload") == Some("1.0") {
        let Value::Object(event) = rest_api(origin) else { return Value::Null };
        let version = ("version".to_owned(), json!("1.0"));
        return std::iter::once(version).chain(event).collect::<Map<_, _>>().into();
    }
    let api = origin.name("abcdef1234");
    let domain = format!("{api}.execute-api.{}.amazonaws.com", origin.region());
    version_2(origin, api, &domain, origin.account())
}

pub(super) fn function_url(origin: &Origin<'_>) -> Value {
    let id = "abcdefghijklmnopqrstuvwxyz012345";
    let domain = format!("{id}.lambda-url.{}.on.aws", origin.region());
    // Whoever has not signed the request is nobody.
    version_2(origin, id, &domain, "anonymous")
}

fn version_2(origin: &Origin<'_>, api: &str, domain: &str, account: &str) -> Value {
    let is_url = account == "anonymous";
    let request = Request::of(origin);
    let usual = format!("{} {}", request.method, request.pattern);
    let key = match origin.text("routeKey") {
        _ if is_url => "$default",
        Some(key) => key,
        None => &usual,
    };
    let has_pattern = key != "$default";
    let path = if has_pattern || is_url { request.path.clone() } else { "/".to_owned() };
    let stage = origin.text("stage").unwrap_or("$default");
    // A stage with a name is a part of the path.
    let raw = if stage == "$default" { path } else { format!("/{stage}{path}") };
    let mut event = json!({
        "version": "2.0",
        "routeKey": key,
        "rawPath": raw,
        "rawQueryString": "limit=10",
        "cookies": ["session=abc"],
        "headers": request.headers(domain),
        "queryStringParameters": { "limit": "10" },
        "requestContext": {
            "accountId": account,
            "apiId": api,
            "domainName": domain,
            "domainPrefix": domain.split('.').next(),
            "http": { "method": request.method, "path": raw, "protocol": "HTTP/1.1", "sourceIp": ADDRESS, "userAgent": AGENT },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": key,
            "stage": stage,
            "time": origin.written("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": origin.millis(),
        },
    });
    if let Some(event) = event.as_object_mut() {
        // What there is nothing of is left out.
        if has_pattern && !request.parameters.is_empty() {
            event.insert("pathParameters".to_owned(), request.parameters.into());
        }
        if let Some(body) = request.body {
            event.insert("body".to_owned(), body.into());
        }
        event.insert("isBase64Encoded".to_owned(), false.into());
    }
    event
}

pub(super) fn websocket(origin: &Origin<'_>) -> Value {
    let (api, stage) = (origin.name("abcdef1234"), origin.text("stage").unwrap_or("prod"));
    let key = origin.text("routeKey").unwrap_or("$default");
    let domain = format!("{api}.execute-api.{}.amazonaws.com", origin.region());
    let kind = match key {
        "$connect" => "CONNECT",
        "$disconnect" => "DISCONNECT",
        _ => "MESSAGE",
    };
    let mut event = json!({
        "requestContext": {
            "apiId": api,
            "connectedAt": origin.millis(),
            "connectionId": "JKJaXd_PLvHcESHA=",
            "domainName": domain,
            "eventType": kind,
            "extendedRequestId": "JKJaXmPLvHcESHA=",
            "identity": { "sourceIp": ADDRESS, "userAgent": AGENT },
            "messageDirection": "IN",
            "requestId": "JKJaXmPLvHcESHA=",
            "requestTime": origin.written("%d/%b/%Y:%H:%M:%S +0000"),
            "requestTimeEpoch": origin.millis(),
            "routeKey": key,
            "stage": stage,
        },
        "isBase64Encoded": false,
    });
    match kind {
        "MESSAGE" => {
            let action = if key == "$default" { "greet" } else { key };
            event["requestContext"]["messageId"] = "JKJaXcmPLvHcESHA=".into();
            event["body"] = json!({ "action": action, "data": "Hello from a sample" }).to_string().into();
        }
        _ => {
            let headers: Map<String, Value> =
                [("Host", domain.as_str()), ("User-Agent", AGENT), ("X-Forwarded-For", ADDRESS)]
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value.into()))
                    .collect();
            event["multiValueHeaders"] = in_lists(&headers);
            event["headers"] = headers.into();
        }
    }
    event
}

pub(super) fn load_balancer(origin: &Origin<'_>) -> Value {
    let request = Request::of(origin);
    let group = origin.own_arn("elasticloadbalancing", "targetgroup/", "my-functions/d2d1afxmpl5cc8ae");
    let headers = request.headers("my-balancer-1234567890.elb.amazonaws.com");
    let mut event = json!({
        "requestContext": { "elb": { "targetGroupArn": group } },
        "httpMethod": request.method,
        "path": request.path,
    });
    // One or the other, as the target group says.
    if origin.more("multiValue").is_some() {
        event["multiValueQueryStringParameters"] = json!({ "limit": ["10"] });
        event["multiValueHeaders"] = in_lists(&headers);
    } else {
        event["queryStringParameters"] = json!({ "limit": "10" });
        event["headers"] = headers.into();
    }
    event["body"] = request.body.unwrap_or_default().into();
    event["isBase64Encoded"] = false.into();
    event
}

pub(super) fn authorizer(origin: &Origin<'_>) -> Value {
    let (api, stage) = (origin.name("abcdef1234"), origin.text("stage").unwrap_or("prod"));
    let arn = origin.arn("execute-api", &format!("{api}/{stage}/GET/notes/123"));
    match (origin.text("type"), origin.text("payload")) {
        (_, Some("2.0")) => {
            let Value::Object(request) =
                version_2(origin, api, &format!("{api}.execute-api"), origin.account())
            else {
                return Value::Null;
            };
            let mut event = Map::new();
            event.insert("version".to_owned(), "2.0".into());
            event.insert("type".to_owned(), "REQUEST".into());
            event.insert("routeArn".to_owned(), arn.into());
            event.insert("identitySource".to_owned(), json!(["Bearer abc"]));
            let unwanted = ["version", "body", "isBase64Encoded"];
            event.extend(request.into_iter().filter(|(name, _)| !unwanted.contains(&name.as_str())));
            event["headers"]["authorization"] = "Bearer abc".into();
            event.into()
        }
        (Some("REQUEST"), _) => {
            let Value::Object(request) = rest_api(origin) else { return Value::Null };
            let mut event = Map::new();
            event.insert("type".to_owned(), "REQUEST".into());
            event.insert("methodArn".to_owned(), arn.into());
            let unwanted = ["body", "isBase64Encoded"];
            event.extend(request.into_iter().filter(|(name, _)| !unwanted.contains(&name.as_str())));
            event["headers"]["Authorization"] = "Bearer abc".into();
            event.into()
        }
        _ => json!({ "type": "TOKEN", "methodArn": arn, "authorizationToken": "Bearer abc" }),
    }
}

pub(super) fn graphql(origin: &Origin<'_>) -> Value {
    let parent = origin.text("parentTypeName").unwrap_or("Query");
    let field = origin.text("fieldName").unwrap_or("note");
    json!({
        "arguments": { "id": "123" },
        "identity": null,
        "source": null,
        "request": {
            "headers": { "host": "abcdefghijklmnopqrstuvwxyz.appsync-api.amazonaws.com", "user-agent": AGENT, "x-api-key": "da2-example" },
            "domainName": null,
        },
        "prev": null,
        "info": {
            "selectionSetList": ["id", "text"],
            "selectionSetGraphQL": "{\n  id\n  text\n}",
            "parentTypeName": parent,
            "fieldName": field,
            "variables": {},
        },
        "stash": {},
    })
}
