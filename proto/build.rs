//! Generates messages, clients, service traits and the method table from `protos/`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use ttrpc_codegen::{Codegen, Customize, ProtobufCustomize};

/// Where the contracts lie, seen from the crate's root.
const PROTOS: &str = "protos";
/// The contracts of Kata's agent, and the generated modules with what they hold.
const FILES: [&str; 5] = ["agent", "csi", "health", "oci", "types"];
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
    fs::write(out_dir.join("methods.rs"), method_table(&inputs)?)
}

/// Writes the source of `METHODS`, in the order of the contracts.
fn method_table(inputs: &[PathBuf]) -> io::Result<String> {
    let parsed = protobuf_parse::Parser::new()
        .pure()
        .include(PROTOS)
        .inputs(inputs)
        .parse_and_typecheck()
        .map_err(|error| io::Error::other(format!("{error:#}")))?;
    let mut table = String::from("&[\n");
    for file in &parsed.file_descriptors {
        for service in &file.service {
            for method in &service.method {
                writeln!(
                    table,
                    "Method {{ service: {:?}, name: {:?}, request_type: {:?}, response_type: {:?} }},",
                    format!("{}.{}", file.package(), service.name()),
                    method.name(),
                    method.input_type().trim_start_matches('.'),
                    method.output_type().trim_start_matches('.'),
                )
                .map_err(io::Error::other)?;
            }
        }
    }
    table.push_str("]\n");
    Ok(table)
}
