//! Triggers that answer somebody at once: APIs, function URLs, load balancers, GraphQL, and authorizers.

use serde_json::{Map, Value};

use super::{Finder, Resource};
use crate::project::manifest::Trigger;

/// Paths longer than this are no paths but circles.
const DEEPEST: usize = 50;

/// Where a document of OpenAPI says what answers.
const INTEGRATION: &str = "x-amazon-apigateway-integration";

impl Finder {
    pub(super) fn http(&mut self, resource: &Resource<'_>) {
        match super::type_of(resource.body) {
            "AWS::ApiGateway::Method" => self.method(resource),
            "AWS::ApiGateway::RestApi" => self.described(resource, "apigw"),
            "AWS::ApiGatewayV2::Api" => self.described(resource, "apigw2"),
            "AWS::ApiGatewayV2::Route" => self.route(resource),
            "AWS::ApiGateway::Authorizer" | "AWS::ApiGatewayV2::Authorizer" => self.authorizer(resource),
            "AWS::Lambda::Url" => {
                let trigger =
                    resource.trigger("url", "function URL").with("authType", resource.text("AuthType"));
                self.add(resource, resource.property("TargetFunctionArn"), &trigger);
            }
            "AWS::ElasticLoadBalancingV2::TargetGroup" => self.target_group(resource),
            "AWS::AppSync::DataSource" => self.data_source(resource),
            _ => {}
        }
    }

    fn method(&mut self, resource: &Resource<'_>) {
        let method = resource.text("HttpMethod").unwrap_or_else(|| "ANY".to_owned());
        let path = match resource.property("ResourceId").and_then(|id| path(resource, id, 0)) {
            Some(path) if path.is_empty() => "/".to_owned(),
            Some(path) => path,
            None => return,
        };
        let api = resource.property("RestApiId").and_then(|api| resource.behind(api));
        let trigger = route_of(api.as_ref().unwrap_or(resource), "apigw", &method, &path);
        let uri = resource.property("Integration").and_then(|integration| integration.get("Uri"));
        self.add(resource, uri, &trigger);
    }

    /// The routes of an API that is a document of OpenAPI.
    fn described(&mut self, api: &Resource<'_>, kind: &str) {
        let paths = api.property("Body").and_then(|body| body.get("paths")).and_then(Value::as_object);
        for (path, methods) in paths.into_iter().flatten() {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                let method = match method.as_str() {
                    "x-amazon-apigateway-any-method" => "ANY".to_owned(),
                    other => other.to_uppercase(),
                };
                let trigger = route_of(api, kind, &method, path);
                let uri = operation.get(INTEGRATION).and_then(|integration| integration.get("uri"));
                self.add(api, uri, &trigger);
            }
        }
    }

    fn route(&mut self, resource: &Resource<'_>) {
        let Some(key) = resource.text("RouteKey") else { return };
        let target = resource.property("Target");
        let Some(integration) =
            target.and_then(|target| resource.named_in(target, "AWS::ApiGatewayV2::Integration"))
        else {
            return;
        };
        let api = resource.property("ApiId").and_then(|api| resource.behind(api));
        let api = api.as_ref().unwrap_or(resource);
        let trigger = if api.text("ProtocolType").as_deref() == Some("WEBSOCKET") {
            api.trigger("websocket", key.as_str()).with("routeKey", Some(key)).with("stage", stage_of(api))
        } else {
            let (method, path) = key.split_once(' ').unwrap_or(("ANY", "/"));
            Trigger { text: key.clone(), ..route_of(api, "apigw2", method, path) }
                .with("routeKey", Some(key.clone()))
                .with("payload", integration.text("PayloadFormatVersion"))
        };
        self.add(&integration, integration.property("IntegrationUri"), &trigger);
    }

    fn authorizer(&mut self, resource: &Resource<'_>) {
        let api = ["RestApiId", "ApiId"].into_iter().find_map(|name| resource.property(name));
        let api = api.and_then(|api| resource.behind(api));
        let trigger = api
            .as_ref()
            .unwrap_or(resource)
            .trigger("authorizer", format!("authorizer {}", resource.label()))
            .with("type", resource.text("Type").or_else(|| resource.text("AuthorizerType")))
            .with("payload", resource.text("AuthorizerPayloadFormatVersion"));
        self.add(resource, resource.property("AuthorizerUri"), &trigger);
    }

    fn target_group(&mut self, resource: &Resource<'_>) {
        let attributes = resource.property("TargetGroupAttributes").and_then(Value::as_array);
        let has_many_values = attributes.into_iter().flatten().any(|attribute| {
            attribute["Key"] == "lambda.multi_value_headers.enabled" && attribute["Value"] == "true"
        });
        let path = paths_of(resource).into_iter().next();
        let text = match &path {
            Some(path) => format!("load balancer {path}"),
            None => format!("load balancer {}", resource.label()),
        };
        let trigger = Trigger { path, ..resource.named_trigger("alb", text, "Name") }
            .with("multiValue", has_many_values.then_some(true));
        for target in resource.property("Targets").and_then(Value::as_array).into_iter().flatten() {
            self.add(resource, target.get("Id"), &trigger);
        }
    }

    fn data_source(&mut self, resource: &Resource<'_>) {
        let function = resource.property("LambdaConfig").and_then(|config| config.get("LambdaFunctionArn"));
        let fields: Vec<(String, String)> = resource
            .referring("AWS::AppSync::Resolver", "DataSourceName")
            .filter_map(|resolver| Some((resolver.text("TypeName")?, resolver.text("FieldName")?)))
            .collect();
        if fields.is_empty() {
            let trigger = resource.trigger("appsync", format!("GraphQL {}", resource.label()));
            self.add(resource, function, &trigger);
        }
        for (parent, field) in fields {
            let trigger = resource
                .trigger("appsync", format!("GraphQL {parent}.{field}"))
                .with("parentTypeName", Some(parent))
                .with("fieldName", Some(field));
            self.add(resource, function, &trigger);
        }
    }
}

fn route_of(api: &Resource<'_>, kind: &str, method: &str, path: &str) -> Trigger {
    Trigger {
        method: Some(method.to_owned()),
        path: Some(path.to_owned()),
        ..api.named_trigger(kind, format!("{method} {path}"), "Name")
    }
    .with("stage", stage_of(api))
}

/// The name of a stage of an API.
fn stage_of(api: &Resource<'_>) -> Option<String> {
    let stages = [
        ("AWS::ApiGateway::Stage", "RestApiId", "StageName"),
        ("AWS::ApiGateway::Deployment", "RestApiId", "StageName"),
        ("AWS::ApiGatewayV2::Stage", "ApiId", "StageName"),
    ];
    stages
        .into_iter()
        .find_map(|(kind, api_id, name)| api.referring(kind, api_id).find_map(|stage| stage.text(name)))
}

/// The path of a resource of a REST API; empty for its root.
fn path(at: &Resource<'_>, id: &Value, depth: usize) -> Option<String> {
    let resource = at.behind(id)?;
    if !resource.is("AWS::ApiGateway::Resource") {
        return Some(String::new());
    }
    if depth > DEEPEST {
        return None;
    }
    let parent = resource.property("ParentId").and_then(|parent| path(&resource, parent, depth + 1));
    Some(format!("{}/{}", parent.unwrap_or_default(), resource.text("PathPart")?))
}

/// The paths that a load balancer sends to a target group.
fn paths_of(group: &Resource<'_>) -> Vec<String> {
    let none = Map::new();
    let resources = group.assembly.templates[group.place.0].body.get("Resources").and_then(Value::as_object);
    let rules = resources.unwrap_or(&none).values().filter(|rule| {
        super::type_of(rule) == "AWS::ElasticLoadBalancingV2::ListenerRule" && {
            let mut is_named = false;
            super::names_in(&rule["Properties"]["Actions"], &mut |name| is_named |= name == group.place.1);
            is_named
        }
    });
    let conditions = rules.filter_map(|rule| rule["Properties"]["Conditions"].as_array()).flatten();
    let patterns =
        conditions.filter(|condition| condition["Field"] == "path-pattern").flat_map(|condition| {
            let values = [&condition["PathPatternConfig"]["Values"], &condition["Values"]];
            values.into_iter().filter_map(Value::as_array).flatten()
        });
    patterns.filter_map(|pattern| group.text_of(pattern)).collect()
}
