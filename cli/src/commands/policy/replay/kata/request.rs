//! A request as Kata policies read it: with every field of its message.
//!
//! Test cases leave fields out. A policy would find them undefined where the agent gives it a default, and decide
//! otherwise.

use policy_engine::kata::Kind;
use proto::kata::messages::{Field, MESSAGES, Message, Shape, Value};
use serde_json::{Map, Value as Json, json};

/// Why a request is not one of its message. Fields that the message does not have are left out silently.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RequestError {
    /// The contract has no such message.
    #[error("there is no message {0}")]
    UnknownMessage(String),
    /// A message that is no object.
    #[error("{0} is not an object")]
    NotAnObject(&'static str),
    /// A value of another type or out of its range.
    #[error("{message}.{field} is not of its type")]
    Field {
        /// The message.
        message: &'static str,
        /// The field.
        field: &'static str,
    },
}

/// `request` with every field.
///
/// # Errors
/// When a field has a value of another type.
pub(super) fn complete(kind: Kind, request: &Json) -> Result<Json, RequestError> {
    if kind == Kind::CopyFileRequest {
        return message(&COPY_FILE, request);
    }
    message(find(&format!("grpc.{kind}"))?, request)
}

/// What policies see of a `grpc.CopyFileRequest`: the type of the file is taken from its mode, and the target of
/// a symlink from the data, which they do not see.
const COPY_FILE: Message = Message {
    name: "CopyFileRequest",
    fields: &[
        single("path", Value::String),
        single(FILE_TYPE, Value::String),
        Field { name: "symlink_target", shape: Shape::Optional, value: Value::String },
        single("file_size", Value::Int64),
        single("file_mode", Value::Uint32),
        single("dir_mode", Value::Uint32),
        single("uid", Value::Int32),
        single("gid", Value::Int32),
        single("offset", Value::Int64),
    ],
};

/// The field that is an enumeration by name, and its names. The first is the default.
const FILE_TYPE: &str = "file_type";
const FILE_TYPES: [&str; 4] = ["Unknown", "Regular", "Directory", "Symlink"];

const fn single(name: &'static str, value: Value) -> Field {
    Field { name, shape: Shape::Single, value }
}

fn find(name: &str) -> Result<&'static Message, RequestError> {
    let message = MESSAGES.iter().find(|message| message.name == name);
    message.ok_or_else(|| RequestError::UnknownMessage(name.to_owned()))
}

/// The name that the agent's message has for a field: `type` is a keyword there.
fn name(field: &Field) -> &'static str {
    match field.shape {
        Shape::OneOf(choice) => choice,
        _ if field.name == "type" => "type_",
        _ => field.name,
    }
}

fn message(message: &Message, given: &Json) -> Result<Json, RequestError> {
    let given = given.as_object().ok_or(RequestError::NotAnObject(message.name))?;
    let mut complete = Map::new();
    for field in message.fields {
        let name = name(field);
        let value = match given.get(name) {
            Some(value) => present(field, value)?
                .ok_or(RequestError::Field { message: message.name, field: field.name })?,
            None => absent(field),
        };
        // Of several fields of one choice, the one that is given stays.
        if !matches!(complete.get(name), Some(chosen) if !chosen.is_null()) {
            complete.insert(name.to_owned(), value);
        }
    }
    Ok(Json::Object(complete))
}

/// The default of a field.
fn absent(field: &Field) -> Json {
    match (field.shape, field.value) {
        (Shape::Optional | Shape::OneOf(_), _) | (Shape::Single, Value::Message(_)) => Json::Null,
        (Shape::Repeated, _) | (Shape::Single, Value::Bytes) => json!([]),
        (Shape::Map, _) => json!({}),
        (Shape::Single, Value::Bool) => json!(false),
        (Shape::Single, Value::String) if field.name == FILE_TYPE => json!(FILE_TYPES[0]),
        (Shape::Single, Value::String) => json!(""),
        (Shape::Single, Value::Int32 | Value::Int64 | Value::Uint32 | Value::Uint64) => json!(0),
    }
}

/// A field that is given; `None` when it is not of its type.
fn present(field: &Field, given: &Json) -> Result<Option<Json>, RequestError> {
    match (field.shape, given) {
        (Shape::Single, Json::Null) if matches!(field.value, Value::Message(_)) => Ok(Some(Json::Null)),
        (Shape::Optional | Shape::OneOf(_), Json::Null) => Ok(Some(Json::Null)),
        (Shape::Single, given) if field.name == FILE_TYPE => {
            Ok(FILE_TYPES.iter().any(|name| given == name).then(|| given.clone()))
        }
        (Shape::Single | Shape::Optional, given) => value(field.value, given),
        (Shape::Repeated, Json::Array(given)) => {
            given.iter().map(|given| value(field.value, given)).collect()
        }
        (Shape::Map, Json::Object(given)) => given
            .iter()
            .map(|(key, given)| Ok(value(field.value, given)?.map(|value| (key.clone(), value))))
            .collect::<Result<Option<Map<String, Json>>, RequestError>>()
            .map(|map| map.map(Json::Object)),
        (Shape::OneOf(_), Json::Object(given)) => {
            let variant = capitalized(field.name);
            let Some(given) = given.get(&variant) else { return Ok(None) };
            Ok(value(field.value, given)?.map(|value| json!({ variant: value })))
        }
        (Shape::Repeated | Shape::Map | Shape::OneOf(_), _) => Ok(None),
    }
}

/// One value, complete; `None` when it is not of its type.
fn value(kind: Value, given: &Json) -> Result<Option<Json>, RequestError> {
    let fits = match kind {
        Value::Message(name) => return message(find(name)?, given).map(Some),
        Value::Bool => given.is_boolean(),
        Value::String => given.is_string(),
        Value::Int32 => given.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        Value::Int64 => given.is_i64(),
        Value::Uint32 => given.as_u64().is_some_and(|number| u32::try_from(number).is_ok()),
        Value::Uint64 => given.is_u64(),
        Value::Bytes => given.as_array().is_some_and(|bytes| {
            bytes.iter().all(|byte| byte.as_u64().is_some_and(|byte| u8::try_from(byte).is_ok()))
        }),
    };
    Ok(fits.then(|| given.clone()))
}

/// The name of a choice's variant.
fn capitalized(name: &str) -> String {
    let mut characters = name.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

#[cfg(test)]
mod tests;
