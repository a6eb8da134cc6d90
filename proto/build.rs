//! Generates messages, clients, service traits and the method table from `protos/`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use protobuf::descriptor::field_descriptor_proto::{Label, Type};
use protobuf::descriptor::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto};
use ttrpc_codegen::{Codegen, Customize, ProtobufCustomize};

/// Where the contracts lie, seen from the crate's root.
const PROTOS: &str = "protos";
/// The contracts of Kata's agent, and the generated modules with what they hold.
const FILES: [&str; 5] = ["agent", "csi", "health", "oci", "types"];
/// The frame around each request. ttrpc has its own messages for it; only its shape is needed here.
const ENVELOPE: &str = "ttrpc.proto";
const MODULES: [(&str, &str); 7] = [
    ("agent", "Messages of `grpc.AgentService`."),
    ("agent_ttrpc", "Client, service trait and registration of `grpc.AgentService`."),
    ("csi", "Messages about the use of volumes."),
    ("health", "Messages of `grpc.Health`."),
    ("health_ttrpc", "Client, service trait and registration of `grpc.Health`."),
    ("oci", "The OCI runtime specification as messages."),
    ("types", "Network and volume types used by the messages of `grpc.AgentService`."),
];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed={PROTOS}");
    println!("cargo::rerun-if-changed=build.rs");
    let out_dir = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?);
    let inputs: Vec<PathBuf> =
        FILES.iter().map(|file| Path::new(PROTOS).join(format!("{file}.proto"))).collect();

    Codegen::new()
        .out_dir(&out_dir)
        .inputs(&inputs)
        .include(PROTOS)
        .rust_protobuf()
        .rust_protobuf_customize(
            // No descriptors at run time: the agent never prints or reflects on a message, and is smaller for it.
            ProtobufCustomize::default().lite_runtime(true).btreemaps(true).gen_mod_rs(false),
        )
        .customize(Customize { async_all: true, ..Customize::default() })
        .run()?;
    // `mod` items of an included file are looked up beside that file, so the generated files need no copying.
    let modules: String =
        MODULES.iter().map(|(name, holds)| format!("#[doc = {holds:?}]\npub mod {name};\n")).collect();
    fs::write(out_dir.join("mod.rs"), modules)?;
    let contract = parse(&inputs)?;
    fs::write(out_dir.join("methods.rs"), method_table(&contract).map_err(io::Error::other)?)?;
    fs::write(out_dir.join("messages.rs"), message_table(&contract)?)?;
    let mut files = contract;
    files.extend(parse(&[Path::new(PROTOS).join(ENVELOPE)])?);
    fs::write(out_dir.join("schema.rs"), schema(&files)?)
}

fn parse(inputs: &[PathBuf]) -> io::Result<Vec<FileDescriptorProto>> {
    protobuf_parse::Parser::new()
        .pure()
        .include(PROTOS)
        .inputs(inputs)
        .parse_and_typecheck()
        .map(|parsed| parsed.file_descriptors)
        .map_err(|error| io::Error::other(format!("{error:#}")))
}

/// The source of `METHODS`, in the order of the contracts.
fn method_table(files: &[FileDescriptorProto]) -> Result<String, std::fmt::Error> {
    let mut table = String::from("&[\n");
    for file in files {
        for service in &file.service {
            for method in &service.method {
                writeln!(
                    table,
                    "Method {{ service: {:?}, name: {:?}, request_type: {:?}, response_type: {:?} }},",
                    format!("{}.{}", file.package(), service.name()),
                    method.name(),
                    method.input_type().trim_start_matches('.'),
                    method.output_type().trim_start_matches('.'),
                )?;
            }
        }
    }
    table.push_str("]\n");
    Ok(table)
}

/// The source of `MESSAGES`, in the order of the contracts.
fn message_table(files: &[FileDescriptorProto]) -> io::Result<String> {
    let mut messages = Vec::new();
    for file in files {
        for message in &file.message_type {
            collect(&format!(".{}", file.package()), message, &mut messages);
        }
    }
    let entry = |name: &str| {
        let entry =
            messages.iter().find(|(message, declared)| message == name && declared.options.map_entry());
        entry.and_then(|(_, declared)| declared.field.iter().find(|field| field.number() == 2))
    };
    let mut source = String::from("&[\n");
    for (name, message) in messages.iter().filter(|(_, message)| !message.options.map_entry()) {
        let mut fields = String::new();
        for field in &message.field {
            let (shape, value) = match entry(field.type_name()) {
                Some(value) => ("Map".to_owned(), value),
                None => (shape(message, field), field),
            };
            let kind = match value.type_() {
                Type::TYPE_BOOL => "Bool".to_owned(),
                Type::TYPE_BYTES => "Bytes".to_owned(),
                Type::TYPE_ENUM | Type::TYPE_INT32 => "Int32".to_owned(),
                Type::TYPE_INT64 => "Int64".to_owned(),
                Type::TYPE_MESSAGE => format!("Message({:?})", value.type_name().trim_start_matches('.')),
                Type::TYPE_STRING => "String".to_owned(),
                Type::TYPE_UINT32 => "Uint32".to_owned(),
                Type::TYPE_UINT64 => "Uint64".to_owned(),
                other => return Err(io::Error::other(format!("{name} has a field of type {other:?}"))),
            };
            write!(
                fields,
                "Field {{ name: {:?}, shape: Shape::{shape}, value: Value::{kind} }}, ",
                field.name()
            )
            .map_err(io::Error::other)?;
        }
        writeln!(source, "Message {{ name: {:?}, fields: &[{fields}] }},", name.trim_start_matches('.'))
            .map_err(io::Error::other)?;
    }
    source.push_str("]\n");
    Ok(source)
}

/// How often a field that is no map is there.
fn shape(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    if field.label() == Label::LABEL_REPEATED {
        return "Repeated".to_owned();
    }
    if field.proto3_optional() {
        return "Optional".to_owned();
    }
    let choice = field.oneof_index.and_then(|index| message.oneof_decl.get(usize::try_from(index).ok()?));
    match choice {
        Some(choice) => format!("OneOf({:?})", choice.name()),
        None => "Single".to_owned(),
    }
}

/// The source of `SCHEMA`: every message with its fields' numbers and kinds. A field that is a message names it by
/// its place in the list.
fn schema(files: &[FileDescriptorProto]) -> io::Result<String> {
    let mut messages = Vec::new();
    for file in files {
        for message in &file.message_type {
            collect(&format!(".{}", file.package()), message, &mut messages);
        }
    }
    let place = |name: &str| {
        let place = messages.iter().position(|(message, _)| message == name);
        place.ok_or_else(|| io::Error::other(format!("no message {name}")))
    };
    let mut source = String::from("&[\n");
    for (name, message) in &messages {
        let mut fields = String::new();
        for field in &message.field {
            let kind = match field.type_() {
                Type::TYPE_MESSAGE => format!("Kind::Message({})", place(field.type_name())?),
                Type::TYPE_STRING | Type::TYPE_BYTES => "Kind::Bytes".to_owned(),
                Type::TYPE_BOOL
                | Type::TYPE_ENUM
                | Type::TYPE_INT32
                | Type::TYPE_INT64
                | Type::TYPE_UINT32
                | Type::TYPE_UINT64 => "Kind::Varint".to_owned(),
                other => return Err(io::Error::other(format!("{name} has a field of type {other:?}"))),
            };
            write!(fields, "({}, {kind}), ", field.number()).map_err(io::Error::other)?;
        }
        writeln!(source, "Shape {{ name: {:?}, fields: &[{fields}] }},", name.trim_start_matches('.'))
            .map_err(io::Error::other)?;
    }
    source.push_str("]\n");
    Ok(source)
}

/// Lists a message and those declared inside it, the entries of maps among them, by full name.
fn collect<'a>(scope: &str, message: &'a DescriptorProto, messages: &mut Vec<(String, &'a DescriptorProto)>) {
    let name = format!("{scope}.{}", message.name());
    for nested in &message.nested_type {
        collect(&name, nested, messages);
    }
    messages.push((name, message));
}
