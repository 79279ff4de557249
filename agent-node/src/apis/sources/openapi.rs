//! OpenAPI 3.0 and 3.1 documents, in JSON or YAML: one API an operation.
//!
//! What GET and HEAD do is [`Effect::Read`]; anything else is irreversible unless the operation says otherwise with
//! `x-synod-effect`: `read`, `irreversible`, or `{"inverse": NAME, "arguments": {parameter: pointer}}`.

mod schema;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Reading, Skipped, SourceError, names};
use crate::apis::{Api, Binding, Effect, HttpBinding, HttpMethod, Notation, Place};
use schema::Resolver;

const METHODS: [(&str, HttpMethod); 6] = [
    ("get", HttpMethod::Get),
    ("head", HttpMethod::Head),
    ("post", HttpMethod::Post),
    ("put", HttpMethod::Put),
    ("patch", HttpMethod::Patch),
    ("delete", HttpMethod::Delete),
];
/// Set by HTTP itself, or by credentials: the specification has them ignored.
const IGNORED_HEADERS: [&str; 3] = ["accept", "content-type", "authorization"];
const JSON: &str = "application/json";

/// Whether a document says it is one.
pub(super) fn is_document(document: &Value) -> bool {
    document.get("openapi").and_then(Value::as_str).is_some_and(|version| version.starts_with("3."))
}

/// All operations. `location` is where the document is from: servers that are relative are there.
pub(super) fn read(document: &Value, location: &str) -> Result<Reading, SourceError> {
    let invalid = |reason: &str| SourceError::Invalid { location: location.to_owned(), reason: reason.to_owned() };
    if !is_document(document) {
        return Err(invalid("it is not OpenAPI 3.0 or 3.1 (version 2, Swagger, is another format)"));
    }
    let paths = document.get("paths").and_then(Value::as_object).ok_or_else(|| invalid("it has no `paths`"))?;
    let mut reading = Reading::default();
    for (path, item) in paths {
        let item = Resolver::new(document).reference(item).unwrap_or(item);
        for (method_name, method) in METHODS {
            let Some(operation) = item.get(method_name) else { continue };
            let operation = Operation { document, location, path, item, operation, method_name, method };
            match operation.api() {
                Ok(api) => reading.apis.push(api),
                Err(reason) => {
                    let place = format!("{location}: {} {path}", method_name.to_uppercase());
                    reading.skipped.push(Skipped { place, reason });
                }
            }
        }
    }
    let candidates: Vec<_> = reading.apis.iter().map(|api| vec![api.name.clone()]).collect();
    names::distinct(candidates, |index, name| reading.apis[index].name = name);
    Ok(reading)
}

struct Operation<'a> {
    document: &'a Value,
    location: &'a str,
    path: &'a str,
    item: &'a Value,
    operation: &'a Value,
    method_name: &'a str,
    method: HttpMethod,
}

/// What a request is made of, while it is read.
#[derive(Default)]
struct Arguments {
    properties: Map<String, Value>,
    required: Vec<String>,
    places: BTreeMap<String, Place>,
}

impl Arguments {
    /// False if the name is taken.
    fn add(&mut self, name: &str, schema: Value, required: bool, place: Place) -> bool {
        if self.places.contains_key(name) {
            return false;
        }
        self.properties.insert(name.to_owned(), schema);
        self.places.insert(name.to_owned(), place);
        if required {
            self.required.push(name.to_owned());
        }
        true
    }
}

impl Operation<'_> {
    fn api(&self) -> Result<Api, String> {
        let mut resolver = Resolver::new(self.document);
        let mut arguments = Arguments::default();
        self.parameters(&mut resolver, &mut arguments)?;
        if let Some(body) = self.operation.get("requestBody") {
            self.body(&mut resolver, body, &mut arguments)?;
        }
        let Arguments { properties, required, places } = arguments;
        let text = |key: &str| self.operation.get(key).and_then(Value::as_str).unwrap_or_default().trim();
        let name = match text("operationId") {
            "" => format!("{}_{}", self.method_name, words(self.path)),
            id => id.to_owned(),
        };
        let (summary, details) = (text("summary"), text("description"));
        let description =
            if details.starts_with(summary) { details.to_owned() } else { format!("{summary}. {details}") };
        let tag = self.operation.pointer("/tags/0").and_then(Value::as_str);
        Ok(Api {
            name: names::clean(&name),
            description: description.trim_matches([' ', '.']).to_owned(),
            domain: tag.unwrap_or_default().to_owned(),
            parameters: json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false}),
            notation: Notation::Json,
            effect: self.effect()?,
            binding: Some(Binding::Http(HttpBinding {
                method: self.method,
                server: self.server()?,
                path: self.path.to_owned(),
                places,
                credential: self.credential(),
            })),
            details: Map::from_iter([(
                "request".to_owned(),
                format!("{} {}", self.method_name.to_uppercase(), self.path).into(),
            )]),
        })
    }

    /// The path's and the operation's own, which replace those of the same name and place.
    fn parameters(&self, resolver: &mut Resolver<'_>, arguments: &mut Arguments) -> Result<(), String> {
        let list = |of: &Value| of.get("parameters").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut parameters = BTreeMap::new();
        for (index, parameter) in list(self.item).into_iter().chain(list(self.operation)).enumerate() {
            let parameter = resolver.reference(&parameter)?.clone();
            let field = |key: &str| parameter.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            parameters.insert((field("name"), field("in")), (index, parameter));
        }
        let mut parameters: Vec<_> = parameters.into_iter().collect();
        parameters.sort_by_key(|(_, (index, _))| *index);
        for ((name, place), (_, parameter)) in parameters {
            let required = place == "path" || parameter.get("required") == Some(&Value::Bool(true));
            let place = match place.as_str() {
                "path" => Place::Path,
                "query" => Place::Query,
                "header" if IGNORED_HEADERS.contains(&name.to_lowercase().as_str()) => continue,
                "header" => Place::Header,
                _ if !required => continue,
                other => return Err(format!("`{name}` is needed in `{other}`, where nothing can be put")),
            };
            let schema = parameter.get("schema").or_else(|| parameter.pointer("/content/application~1json/schema"));
            let mut schema = resolver.schema(schema.unwrap_or(&json!({})))?;
            if let (Some(fields), Some(text)) = (schema.as_object_mut(), parameter.get("description")) {
                fields.insert("description".to_owned(), text.clone());
            }
            if name.is_empty() || !arguments.add(&name, schema, required, place) {
                return Err(format!("two parameters are called `{name}`"));
            }
        }
        match braces(self.path).find(|name| arguments.places.get(*name) != Some(&Place::Path)) {
            Some(name) => Err(format!("its path has `{{{name}}}`, which is no parameter")),
            None => Ok(()),
        }
    }

    /// The members of an object are arguments of their own, unless their names are taken: then, as with anything that is no
    /// object, the argument `body` is all of it.
    fn body(&self, resolver: &mut Resolver<'_>, body: &Value, arguments: &mut Arguments) -> Result<(), String> {
        let body = resolver.reference(body)?.clone();
        let required = body.get("required") == Some(&Value::Bool(true));
        let content = body.get("content").and_then(Value::as_object);
        let is_json = |kind: &str| kind.split(';').next().is_some_and(|kind| kind == JSON || kind.ends_with("+json"));
        let media = content.and_then(|content| content.iter().find(|(kind, _)| is_json(kind)));
        let Some((_, media)) = media else {
            return if required { Err("its body is not JSON".to_owned()) } else { Ok(()) };
        };
        let schema = resolver.schema(media.get("schema").unwrap_or(&json!({})))?;
        let members = schema.get("properties").and_then(Value::as_object).filter(|members| {
            !members.is_empty()
                && !["anyOf", "oneOf", "allOf"].iter().any(|key| schema.get(*key).is_some())
                && members.keys().all(|name| !arguments.places.contains_key(name))
        });
        let needed = schema.get("required").and_then(Value::as_array);
        match members {
            Some(members) if required || needed.is_none_or(Vec::is_empty) => {
                for (name, member) in members {
                    let member_required = needed.is_some_and(|needed| needed.iter().any(|one| one == name));
                    arguments.add(name, member.clone(), member_required, Place::Body);
                }
            }
            _ if arguments.add("body", schema.clone(), required, Place::WholeBody) => {}
            _ => return Err("a parameter is called `body`, and there is a body".to_owned()),
        }
        Ok(())
    }

    fn effect(&self) -> Result<Effect, String> {
        match self.operation.get("x-synod-effect") {
            None if matches!(self.method, HttpMethod::Get | HttpMethod::Head) => Ok(Effect::Read),
            None => Ok(Effect::Irreversible),
            Some(Value::String(class)) if class == "read" => Ok(Effect::Read),
            Some(Value::String(class)) if class == "irreversible" => Ok(Effect::Irreversible),
            Some(effect) => {
                let inverse = effect.get("inverse").and_then(Value::as_str);
                let arguments = effect
                    .get("arguments")
                    .map_or(Ok(BTreeMap::new()), |arguments| serde_json::from_value(arguments.clone()));
                match (inverse, arguments) {
                    (Some(inverse), Ok(arguments)) => Ok(Effect::Reversible { inverse: inverse.to_owned(), arguments }),
                    _ => {
                        Err("`x-synod-effect` is not `read`, `irreversible` or {\"inverse\": NAME, \"arguments\": {…}}"
                            .to_owned())
                    }
                }
            }
        }
    }

    /// Absolute; the first of the operation's, the path's or the document's servers.
    fn server(&self) -> Result<String, String> {
        let server = [self.operation, self.item, self.document].iter().find_map(|of| of.pointer("/servers/0"));
        let mut url = server.and_then(|server| server.get("url")).and_then(Value::as_str).unwrap_or("/").to_owned();
        let variables = server.and_then(|server| server.get("variables")).and_then(Value::as_object);
        for (name, variable) in variables.into_iter().flatten() {
            let default = variable.get("default").and_then(Value::as_str).unwrap_or_default();
            url = url.replace(&format!("{{{name}}}"), default);
        }
        if !url.contains("://") {
            let base = reqwest::Url::parse(self.location).ok().filter(|base| base.scheme().starts_with("http"));
            let base = base.ok_or("the document names no server with a host (`servers: [{url: https://…}]`)")?;
            url = base.join(&url).map_err(|error| format!("its server `{url}` is no URL: {error}"))?.into();
        }
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(format!("its server `{url}` is not http:// or https://"));
        }
        Ok(url.trim_end_matches('/').to_owned())
    }

    /// The name of the first scheme that would do.
    fn credential(&self) -> Option<String> {
        let security = self.operation.get("security").or_else(|| self.document.get("security"))?;
        security.as_array()?.first()?.as_object()?.keys().next().cloned()
    }
}

/// The names in a path's braces.
fn braces(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}

/// `/pets/{id}/toys` → `pets_id_toys`
fn words(path: &str) -> String {
    path.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests;
