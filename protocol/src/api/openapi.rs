//! The `OpenAPI` document (3.1), written from the table of routes.

use super::table::{OWN_ALIASES, PROJECT_ROUTES, ROUTES};
use super::{Access, Route};
use crate::problem::Code;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// What any request may meet: our own faults.
const FAULTS: [Code; 3] = [Code::Internal, Code::StorageUnavailable, Code::Misconfigured];

/// The document, as a value.
pub fn document(version: &str) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        describe(&mut paths, route.path.to_string(), route, route.access, false);
    }
    for route in PROJECT_ROUTES {
        if route.access != Access::Operator {
            describe(&mut paths, format!("/v1/project{}", route.path), route, route.access, false);
        }
        describe(
            &mut paths,
            format!("/v1/projects/{{project}}{}", route.path),
            route,
            Access::Operator,
            true,
        );
        for (alias, path) in OWN_ALIASES {
            if *path == route.path {
                describe(&mut paths, alias.to_string(), route, route.access, false);
            }
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Stepseal",
            "version": version,
            "description": "Records what AI agents do in web pages, and proves it. Errors are problem documents (RFC 9457) with a stable `code`.",
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "paths": paths,
        "components": { "securitySchemes": security_schemes(), "schemas": schemas() },
    })
}

fn describe(paths: &mut Map<String, Value>, path: String, route: &Route, access: Access, named: bool) {
    let operation = json!({
        "operationId": operation_id(&path, route, named),
        "summary": route.about,
        "security": security(access),
        "x-access": access_word(access),
        "parameters": parameters(&path, route),
        "responses": responses(route, access),
    });
    let item = paths.entry(path).or_insert_with(|| json!({}));
    item[route.method.to_lowercase()] = operation;
    if let Some(body) = route.body {
        let schema: Value = match body.schema {
            "" => json!({ "type": "string", "format": "binary" }),
            name => json!({ "$ref": format!("#/components/schemas/{name}") }),
        };
        let mut content = Map::new();
        content.insert(body.media.to_string(), json!({ "schema": schema }));
        item[route.method.to_lowercase()]["requestBody"] =
            json!({ "required": body.required, "content": content });
    }
}

/// Unique in the document: the operator's routes and the short paths have names of their own.
fn operation_id(path: &str, route: &Route, named: bool) -> String {
    let name = route.operation.as_str();
    if named && route.access != Access::Operator {
        format!("{name}OfProject")
    } else if OWN_ALIASES.iter().any(|(alias, _)| *alias == path) {
        format!("{name}Short")
    } else {
        name.to_string()
    }
}

fn parameters(path: &str, route: &Route) -> Vec<Value> {
    let named = path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let in_path = named
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let in_query = route.query.iter().map(|parameter| {
        let schema: Value = serde_json::from_str(parameter.schema).unwrap_or_default();
        json!({ "name": parameter.name, "in": "query", "required": false, "description": parameter.about, "schema": schema })
    });
    in_path.chain(in_query).collect()
}

fn access_word(access: Access) -> &'static str {
    match access {
        Access::Anyone => "anyone",
        Access::Signature => "signature",
        Access::Reader => "reader",
        Access::Writer => "writer",
        Access::Admin => "admin",
        Access::Operator => "operator",
        Access::AdminOrOperator => "admin or operator",
    }
}

fn security(access: Access) -> Value {
    match access {
        Access::Anyone | Access::Signature => json!([]),
        Access::Operator => json!([{ "operatorKey": [] }]),
        Access::AdminOrOperator => json!([{ "apiKey": [] }, { "signInCookie": [] }, { "operatorKey": [] }]),
        Access::Reader | Access::Writer | Access::Admin => json!([{ "apiKey": [] }, { "signInCookie": [] }]),
    }
}

fn security_schemes() -> Value {
    json!({
        "apiKey": { "type": "http", "scheme": "bearer", "description": "`stepseal_viewer_…` or `stepseal_admin_…`; `stepseal_ingest_…` where writers may." },
        "operatorKey": { "type": "http", "scheme": "bearer", "description": "`stepseal_operator_…`; of no use in a page." },
        "signInCookie": {
            "type": "apiKey", "in": "cookie", "name": "__Host-stepseal",
            "description": "The dashboard's; its writes also carry the header `stepseal-csrf`.",
        },
    })
}

/// What the access itself may be refused for.
fn access_refusals(access: Access) -> &'static [Code] {
    match access {
        Access::Anyone | Access::Signature => &[],
        Access::Reader | Access::Writer | Access::Admin | Access::Operator | Access::AdminOrOperator => &[
            Code::Unauthenticated,
            Code::CredentialInvalid,
            Code::RoleInsufficient,
            Code::OriginNotAllowed,
            Code::CrossSiteRequest,
            Code::RateLimited,
        ],
    }
}

fn responses(route: &Route, access: Access) -> Value {
    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    let project_missing: &[Code] = if access == Access::Operator { &[Code::ProjectNotFound] } else { &[] };
    for code in [access_refusals(access), route.refusals, project_missing, &FAULTS].into_iter().flatten() {
        let codes = by_status.entry(code.status()).or_default();
        if !codes.contains(&code.as_str()) {
            codes.push(code.as_str());
        }
    }
    let mut responses = Map::new();
    let media = route.answers.split(';').next().unwrap_or_default();
    let schema = match (media, route.reply) {
        ("application/json", "") => json!({ "type": "object" }),
        ("application/json", name) => json!({ "$ref": format!("#/components/schemas/{name}") }),
        _ => json!({ "type": "string" }),
    };
    let mut content = Map::new();
    content.insert(media.to_string(), json!({ "schema": schema }));
    if route.query.iter().any(|parameter| parameter.name == "recipient") {
        content.insert("text/plain".into(), json!({ "schema": { "type": "string" } }));
    }
    responses.insert(route.success.to_string(), json!({ "description": "Done.", "content": content }));
    for (status, codes) in by_status {
        responses.insert(
            status.to_string(),
            json!({
                "description": format!("`{}`", codes.join("`, `")),
                "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
            }),
        );
    }
    Value::Object(responses)
}

fn schemas() -> Value {
    let mut schemas: Value = serde_json::from_str(include_str!("schemas.json")).unwrap_or_default();
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    schemas["Problem"] = json!({
        "type": "object",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": { "type": "string" }, "title": { "type": "string" }, "status": { "type": "integer" },
            "detail": { "type": "string" }, "code": { "enum": codes }, "line": { "type": "integer" },
            "field": { "type": "string" }, "retry_after_s": { "type": "integer" },
            "stop_until": { "type": "integer" }, "server_time": { "type": "integer" },
        },
    });
    schemas
}

#[cfg(test)]
mod tests {
    use super::document;
    use crate::api::find;
    use crate::api::table::{PROJECT_ROUTES, ROUTES};
    use serde_json::Value;
    use std::collections::BTreeSet;
    use std::string::ToString;

    #[test]
    fn every_schema_the_table_names_is_there() {
        let document = document("0");
        for route in ROUTES.iter().chain(PROJECT_ROUTES) {
            for parameter in route.query {
                assert!(serde_json::from_str::<Value>(parameter.schema).is_ok(), "{}", parameter.schema);
            }
            let named = route.body.iter().map(|body| body.schema).filter(|name| !name.is_empty());
            for name in named.chain((!route.reply.is_empty()).then_some(route.reply)) {
                assert_eq!(document["components"]["schemas"][name]["type"], "object", "{name}");
            }
        }
        let limits = &document["components"]["schemas"]["Limits"]["properties"];
        assert_eq!(limits["bytes_burst"]["minimum"], crate::limits::REQUEST_MAX);
        assert_eq!(limits["steps_burst"]["minimum"], crate::limits::EVENTS_MAX);
    }

    #[test]
    fn every_documented_operation_is_found_and_named_once() {
        let document = document("0");
        let mut names = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                assert!(find(&method.to_uppercase(), path).is_ok(), "{method} {path}");
                assert!(names.insert(operation["operationId"].to_string()), "{method} {path}");
            }
        }
        let documented = names.len();
        assert!(documented >= ROUTES.len() + PROJECT_ROUTES.len(), "{documented}");
    }
}
