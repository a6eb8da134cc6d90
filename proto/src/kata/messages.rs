//! Which messages the contract has, with the names of their fields.
//!
//! For tools that write messages as text. The agent uses none of it, and nothing of it is linked into the agent.

/// A message of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Full name, such as `grpc.CreateContainerRequest`.
    pub name: &'static str,
    /// Its fields, in the order of the contract.
    pub fields: &'static [Field],
}

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// As the contract spells it.
    pub name: &'static str,
    /// How often it is there.
    pub shape: Shape,
    /// What it holds; of a map, the values.
    pub value: Value,
}

/// How often a field is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Once. A number, text or truth value that is not sent has its default.
    Single,
    /// Once or not at all, and the two are told apart.
    Optional,
    /// A list.
    Repeated,
    /// Values by text.
    Map,
    /// At most one of those of this name.
    OneOf(&'static str),
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A truth value.
    Bool,
    /// Bytes.
    Bytes,
    /// A number or an enumeration's.
    Int32,
    /// A number.
    Int64,
    /// The message of this full name.
    Message(&'static str),
    /// Text.
    String,
    /// A number.
    Uint32,
    /// A number.
    Uint64,
}

/// Every message of the contract.
pub const MESSAGES: &[Message] = include!(concat!(env!("OUT_DIR"), "/messages.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(name: &str) -> &'static [Field] {
        MESSAGES.iter().find(|message| message.name == name).unwrap().fields
    }

    #[test]
    fn each_shape_is_told_from_the_others() {
        let field = |message, name| *fields(message).iter().find(|field| field.name == name).unwrap();
        let expect = |name, shape, value| Field { name, shape, value };
        assert_eq!(field("grpc.Storage", "options"), expect("options", Shape::Repeated, Value::String));
        assert_eq!(field("grpc.Spec", "Annotations"), expect("Annotations", Shape::Map, Value::String));
        assert_eq!(
            field("grpc.CreateContainerRequest", "OCI"),
            expect("OCI", Shape::Single, Value::Message("grpc.Spec"))
        );
        assert_eq!(
            field("grpc.LinuxSyscall", "errnoret"),
            expect("errnoret", Shape::OneOf("ErrnoRet"), Value::Uint32)
        );
        assert_eq!(field("grpc.MemAgentMemcgConfig", "swap"), expect("swap", Shape::Optional, Value::Bool));
        assert_eq!(field("grpc.CopyFileRequest", "data"), expect("data", Shape::Single, Value::Bytes));
    }

    #[test]
    fn every_message_in_a_field_is_listed() {
        for field in MESSAGES.iter().flat_map(|message| message.fields) {
            if let Value::Message(name) = field.value {
                fields(name);
            }
        }
    }
}
