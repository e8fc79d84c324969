//! The OpenAPI document, made of the types that the handlers take and answer.

use std::future::Future;

use axum::extract::{Extension, State};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::web::api::answer::Answer;
use crate::web::auth::Identity;
use crate::web::problem::{self, Problem};

/// What may be refused of a question.
const REFUSALS: [u16; 7] = [400, 401, 403, 404, 409, 500, 503];
/// What may be refused of a body besides.
const OF_BODIES: [u16; 2] = [413, 415];

/// A part of a request, as the document tells of it.
pub(super) trait Input {
    /// Adds itself; what a client does not write adds nothing.
    fn describe(_: &mut Operation<'_>) {}
}

impl<S> Input for State<S> {}
impl<S> Input for Extension<S> {}
impl Input for Identity {}

/// What a handler answers.
pub(super) trait Output {
    /// How the body of an answer with status 200 is written.
    const CONTENT: &'static str = "application/json";

    /// The body of an answer with status 200.
    fn schema(generator: &mut SchemaGenerator) -> Schema;
}

impl<T: JsonSchema> Output for Result<Answer<T>, Problem> {
    fn schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<T>()
    }
}

/// A handler whose types tell what it takes and answers.
pub(super) trait Described<I> {
    fn inputs(operation: &mut Operation<'_>);
    fn output(generator: &mut SchemaGenerator) -> Schema;
    fn content() -> &'static str;
}

macro_rules! described {
    ($($input:ident)+) => {
        impl<F, R, $($input),+> Described<($($input,)+)> for F
        where
            F: Fn($($input),+) -> R,
            R: Future<Output: Output>,
            $($input: Input),+
        {
            fn inputs(operation: &mut Operation<'_>) {
                $($input::describe(operation);)+
            }

            fn output(generator: &mut SchemaGenerator) -> Schema {
                R::Output::schema(generator)
            }

            fn content() -> &'static str {
                R::Output::CONTENT
            }
        }
    };
}

described!(A);
described!(A B);
described!(A B C);
described!(A B C D);

/// One method of one address, while its inputs are collected.
pub(super) struct Operation<'a> {
    asked: &'a mut SchemaGenerator,
    parameters: Vec<Value>,
    body: Option<Value>,
}

impl Operation<'_> {
    /// A part of the address.
    pub(super) fn in_path(&mut self, name: &str, description: &str) {
        let schema = self.asked.subschema_for::<String>();
        let parameter =
            json!({ "name": name, "in": "path", "required": true, "description": description, "schema": schema });
        self.parameters.push(parameter);
    }

    /// Each field of `Q` after the `?`.
    pub(super) fn in_query<Q: JsonSchema>(&mut self) {
        let schema = self.asked.subschema_for::<Q>().to_value();
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (name, mut field) in schema["properties"].as_object().cloned().unwrap_or_default() {
            never_null(&mut field);
            let description = field.as_object_mut().and_then(|field| field.remove("description"));
            self.parameters.push(json!({
                "name": name, "in": "query", "required": required.contains(&json!(name)), "description": description,
                // Several words are one value, with commas between them.
                "style": "form", "explode": false, "schema": field,
            }));
        }
    }

    /// These fields cannot be asked for here.
    pub(super) fn without(&mut self, names: &[&str]) {
        self.parameters.retain(|parameter| !names.iter().any(|name| parameter["name"] == *name));
    }

    /// A JSON body.
    pub(super) fn in_body<B: JsonSchema>(&mut self) {
        let schema = self.asked.subschema_for::<B>();
        self.body = Some(json!({ "required": true, "content": { "application/json": { "schema": schema } } }));
    }
}

/// What is absent from an address is absent, and not null.
fn never_null(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    let is_null = |value: &Value| *value == json!("null") || *value == json!({ "type": "null" }) || value.is_null();
    for key in ["type", "enum", "anyOf"] {
        if let Some(Value::Array(all)) = fields.get_mut(key) {
            all.retain(|value| !is_null(value));
        }
    }
    fields.retain(|name, value| name != "default" || !value.is_null());
    let only = |all: &mut Value| all.as_array_mut().filter(|all| all.len() == 1).and_then(Vec::pop);
    if let Some(kind) = fields.get_mut("type").and_then(only) {
        fields.insert("type".to_owned(), kind);
    }
    if let Some(Value::Object(one)) = fields.get_mut("anyOf").and_then(only) {
        fields.remove("anyOf");
        for (name, value) in one {
            fields.entry(name).or_insert(value);
        }
    }
}

/// The document, while it grows.
pub(super) struct Document {
    /// What is answered: named, since the same rows stand in many answers.
    answers: SchemaGenerator,
    /// What is asked: each where it stands.
    asked: SchemaGenerator,
    paths: Map<String, Value>,
}

impl Document {
    pub(super) fn new() -> Self {
        let settings = |change: fn(&mut SchemaSettings)| {
            SchemaSettings::draft2020_12().with(|settings| settings.meta_schema = None).with(change)
        };
        let answers = settings(|settings| settings.definitions_path = "/components/schemas".into());
        let asked = settings(|settings| settings.inline_subschemas = true);
        Self {
            answers: answers.for_serialize().into_generator(),
            asked: asked.for_deserialize().into_generator(),
            paths: Map::new(),
        }
    }

    /// Adds what `H` does at an address.
    pub(super) fn add<H: Described<I>, I>(&mut self, method: &str, path: &str, id: &str, summary: &str) {
        let mut operation = Operation { asked: &mut self.asked, parameters: Vec::new(), body: None };
        H::inputs(&mut operation);
        let Operation { parameters, body, .. } = operation;
        let answer = H::output(&mut self.answers);
        let mut responses = Map::new();
        responses.insert(
            "200".to_owned(),
            json!({ "description": "As asked", "content": { H::content(): { "schema": answer } } }),
        );
        for status in REFUSALS.iter().chain(OF_BODIES.iter().filter(|_| body.is_some())) {
            responses.insert(status.to_string(), json!({ "$ref": "#/components/responses/Problem" }));
        }
        let mut described =
            json!({ "operationId": id, "summary": summary, "parameters": parameters, "responses": responses });
        if let Some(body) = body {
            described["requestBody"] = body;
        }
        let methods = self.paths.entry(path).or_insert_with(|| json!({}));
        methods[method] = described;
    }

    pub(super) fn finish(mut self) -> Value {
        let problem = self.answers.subschema_for::<problem::Body>();
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": "discuno",
                "version": env!("CARGO_PKG_VERSION"),
                "description": "What operators see and do. Amounts are in the currency's minor unit, times in milliseconds since 1970.",
            },
            "servers": [{ "url": "/" }],
            "security": [{ "bearer": [] }],
            "paths": self.paths,
            "components": {
                "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
                "schemas": self.answers.take_definitions(true),
                "responses": {
                    "Problem": {
                        "description": "Refused, or failed; the code says why",
                        "content": { "application/problem+json": { "schema": problem } },
                    },
                },
            },
        })
    }
}
