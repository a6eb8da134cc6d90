//! `cce policy create`: a policy for one container of an image.

mod document;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::Args;
use layer_format::layer::hash_layer;
use policy_engine::request::linux::SeccompProfile;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::image::Image;
use crate::output::Answer;
use document::{Container, EnvironmentRule, ExecProcess, User};

/// Arguments of `cce policy create`.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// OCI image layout directory.
    #[arg(long)]
    image: PathBuf,
    /// The policy to write.
    #[arg(long)]
    output: PathBuf,
    /// Name of the container in the policy; the name of the layout directory if not given.
    #[arg(long)]
    name: Option<String>,
    /// The only command line that may be run, as a JSON array of strings; that of the image if not given.
    #[arg(long, value_name = "JSON_ARRAY", value_parser = parse_command)]
    command: Option<CommandLine>,
    /// A command line that may be run in the container later on, as a JSON array of strings.
    #[arg(long, value_name = "JSON_ARRAY", value_parser = parse_command)]
    allow_exec: Vec<CommandLine>,
    /// An environment variable that the container may get, beside those of the image.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_variable)]
    env: Vec<String>,
    /// The seccomp profile that the container has to have, as `linux.seccomp` of the OCI runtime specification; none if
    /// not given. Kata's wire does not carry `defaultErrnoRet`, `listenerPath` and `listenerMetadata`.
    #[arg(long, value_name = "FILE")]
    seccomp_profile: Option<PathBuf>,
}

/// A program and its arguments.
#[derive(Debug, Clone)]
struct CommandLine(Vec<String>);

fn parse_command(text: &str) -> anyhow::Result<CommandLine> {
    let words: Vec<String> = serde_json::from_str(text).context("not a JSON array of strings")?;
    ensure!(!words.is_empty(), "a command line has at least the program");
    Ok(CommandLine(words))
}

fn parse_variable(text: &str) -> anyhow::Result<String> {
    let name = text.split_once('=').map(|(name, _)| name);
    ensure!(name.is_some_and(|name| !name.is_empty()), "not of the form NAME=VALUE");
    Ok(text.to_owned())
}

#[derive(Debug, Serialize)]
struct CreatedPolicy {
    file: String,
    sha256: String,
    size_bytes: usize,
    layers: Vec<String>,
}

impl fmt::Display for CreatedPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.sha256, self.file)
    }
}

/// Writes the policy and answers with its digest, the value for HOST_DATA.
///
/// # Errors
/// When the image is broken or names no command, or when the policy cannot be written.
pub(super) fn run(args: &CreateArgs) -> anyhow::Result<Answer> {
    let image = Image::open(&args.image)?;
    let layers = image
        .layers()
        .iter()
        .map(|layer| Ok(layer.read(|archive| Ok(hash_layer(archive)?))?.root_hash.to_string()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let container = container(args, &image, layers.clone())?;
    let text = document::policy(&[container])?;
    fs::write(&args.output, &text).with_context(|| format!("cannot write {}", args.output.display()))?;
    Answer::yes(&CreatedPolicy {
        file: args.output.display().to_string(),
        sha256: hex::encode(Sha256::digest(&text)),
        size_bytes: text.len(),
        layers,
    })
}

/// The digest by which a policy names the profile in a file.
fn seccomp_digest(file: &Path) -> anyhow::Result<String> {
    let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let profile: SeccompProfile = serde_json::from_slice(&text).with_context(|| {
        format!("{} is not a seccomp profile of the OCI runtime specification", file.display())
    })?;
    Ok(profile.digest())
}

fn container(args: &CreateArgs, image: &Image, layers: Vec<String>) -> anyhow::Result<Container> {
    let config = image.config();
    let command = match &args.command {
        Some(CommandLine(words)) => words.clone(),
        None => [config.entrypoint(), config.cmd()].into_iter().flatten().flatten().cloned().collect(),
    };
    ensure!(!command.is_empty(), "the image names no command; give one with --command");
    let mut variables = [config.env().clone().unwrap_or_default(), args.env.clone()].concat();
    variables.sort();
    variables.dedup();
    let profile = args.seccomp_profile.as_deref().map(seccomp_digest).transpose()?;
    let folder = args.image.canonicalize().ok();
    let folder = folder.as_deref().and_then(|path| path.file_name()).map(|name| name.to_string_lossy());
    Ok(Container {
        command,
        env_rules: variables.into_iter().map(EnvironmentRule::exactly).collect(),
        exec_processes: args.allow_exec.iter().map(|command| ExecProcess::new(command.0.clone())).collect(),
        id: image.digest().to_owned(),
        layers,
        seccomp_profile_sha256: profile.unwrap_or_default(),
        name: args.name.clone().unwrap_or_else(|| folder.unwrap_or_default().into_owned()),
        user: User::of_image(config.user().as_deref().unwrap_or_default()),
        working_dir: config
            .working_dir()
            .clone()
            .filter(|path| !path.is_empty())
            .unwrap_or_else(|| "/".into()),
        ..Container::unprivileged()
    })
}
