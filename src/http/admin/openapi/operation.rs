//! One endpoint of the description, put together from its types.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

/// Schemas of what is read and of what is answered: they differ in what must be there.
pub(super) struct Types {
    read: SchemaGenerator,
    answered: SchemaGenerator,
}

/// One method of one path.
pub(super) struct Operation {
    pub(super) path: &'static str,
    pub(super) method: &'static str,
    id: &'static str,
    summary: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    /// Of the answer that is not a problem.
    content: Value,
    links: Map<String, Value>,
    refuses: Vec<u16>,
    open: bool,
}

impl Types {
    pub(super) fn new() -> Self {
        let mut settings = SchemaSettings::draft2020_12();
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
        Self {
            read: settings.clone().for_deserialize().into_generator(),
            answered: settings.for_serialize().into_generator(),
        }
    }

    pub(super) fn into_definitions(mut self) -> Map<String, Value> {
        let mut all = self.read.take_definitions(true);
        all.extend(self.answered.take_definitions(true));
        all
    }
}

impl Operation {
    pub(super) fn get(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self {
            path,
            method: "get",
            id,
            summary,
            parameters: Vec::new(),
            body: None,
            content: Value::Null,
            links: Map::new(),
            refuses: vec![401, 403, 406, 429, 503],
            open: false,
        }
    }

    pub(super) fn post(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self {
            method: "post",
            ..Self::get(path, id, summary)
        }
    }

    /// It needs no token, and is text.
    pub(super) fn open(mut self, kind: &str) -> Self {
        self.open = true;
        self.refuses.clear();
        self.answers_text(kind)
    }

    pub(super) fn query<T: JsonSchema>(mut self, types: &mut Types) -> Self {
        let schema = T::json_schema(&mut types.read);
        let properties = schema.get("properties").and_then(Value::as_object);
        for (name, schema) in properties.into_iter().flatten() {
            let mut schema = never_null(schema.clone());
            let description = schema
                .as_object_mut()
                .and_then(|it| it.remove("description"));
            self.parameters.push(json!({
                "name": name,
                "in": "query",
                "description": description,
                "schema": schema,
            }));
        }
        self.refuses.push(400);
        self
    }

    /// `{id}` in its path.
    pub(super) fn id<T: JsonSchema>(self, types: &mut Types) -> Self {
        let schema = types.read.subschema_for::<T>();
        self.in_path("id", &schema)
    }

    /// `{name}` in its path: that of a destination.
    pub(super) fn name(self) -> Self {
        let schema = schemars::json_schema!({ "type": "string", "pattern": "^[a-z0-9_-]{1,64}$" });
        self.in_path("name", &schema)
    }

    fn in_path(mut self, name: &str, schema: &Schema) -> Self {
        self.parameters
            .push(json!({ "name": name, "in": "path", "required": true, "schema": schema }));
        self.refuses.push(404);
        self
    }

    /// A body of JSON, which may be left out.
    pub(super) fn body<T: JsonSchema>(mut self, types: &mut Types) -> Self {
        let schema = types.read.subschema_for::<T>();
        self.body = Some(json!({ "content": { "application/json": { "schema": schema } } }));
        self.refuses.extend([400, 408, 413, 415]);
        self
    }

    /// A body of JSON that must be there.
    pub(super) fn needs_body<T: JsonSchema>(self, types: &mut Types) -> Self {
        let mut needs = self.body::<T>(types);
        if let Some(body) = &mut needs.body {
            body["required"] = true.into();
        }
        needs
    }

    pub(super) fn answers<T: JsonSchema>(mut self, types: &mut Types) -> Self {
        let schema = types.answered.subschema_for::<T>();
        self.content = json!({ "application/json": { "schema": schema } });
        self
    }

    pub(super) fn answers_text(mut self, kind: &str) -> Self {
        self.content = json!({ kind: { "schema": { "type": "string" } } });
        self
    }

    pub(super) fn answers_json(mut self) -> Self {
        self.content = json!({ "application/json": { "schema": { "type": "object" } } });
        self
    }

    /// A value of its answer is a parameter of another operation.
    pub(super) fn links(mut self, id: &str, (parameter, pointer): (&str, &str)) -> Self {
        let value = format!("$response.body#{pointer}");
        let link = json!({ "operationId": id, "parameters": { parameter: value } });
        self.links.insert(id.to_owned(), link);
        self
    }

    /// Further statuses of problems.
    pub(super) fn refuses(mut self, statuses: &[u16]) -> Self {
        self.refuses.extend(statuses);
        self
    }

    pub(super) fn into_json(mut self) -> Value {
        let mut good = json!({ "description": "Done", "content": self.content });
        if !self.links.is_empty() {
            good["links"] = self.links.into();
        }
        let mut answers = json!({ "200": good });
        self.refuses.sort_unstable();
        for status in self.refuses {
            answers[status.to_string()] = refusal(status);
        }
        let mut operation = json!({
            "operationId": self.id,
            "summary": self.summary,
            "parameters": self.parameters,
            "responses": answers,
        });
        if let Some(body) = self.body {
            operation["requestBody"] = body;
        }
        if self.open {
            operation["security"] = json!([]);
        }
        operation
    }
}

fn refusal(status: u16) -> Value {
    let words = match status {
        400 => "A parameter or the body is not what it should be",
        401 => "The token is missing or wrong",
        403 => {
            "No token is asked for here, and this came from another page or by another host's name"
        }
        404 => "There is nothing by that name",
        406 => "`accept` leaves out what this is answered as",
        408 => "The body did not arrive in time",
        409 => "It cannot be done to this one as it stands",
        413 => "The body is too large",
        415 => "The body is said to be something else than JSON",
        422 => "The configuration has errors, and nothing has changed",
        429 => "Too many wrong tokens came from this address",
        503 => "A fault of the relay's own: try again later",
        _ => "Not done",
    };
    let mut refusal = json!({
        "description": words,
        "content": { "application/problem+json": {
            "schema": { "$ref": "#/components/schemas/Problem" },
        } },
    });
    if matches!(status, 429 | 503) {
        let seconds = json!({ "type": "integer", "minimum": 0 });
        refusal["headers"] = json!({ "retry-after": { "schema": seconds } });
    }
    refusal
}

/// A parameter that may be left out is never null: the schema of what is there.
fn never_null(mut schema: Value) -> Value {
    if let Some(kinds) = schema.get_mut("type").and_then(Value::as_array_mut) {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            schema["type"] = only.clone();
        }
    }
    let others = schema.get_mut("anyOf").and_then(Value::as_array_mut);
    if let Some(others) = others {
        others.retain(|other| other["type"] != "null");
    }
    if let Some(map) = schema.as_object_mut() {
        map.remove("default");
    }
    schema
}
