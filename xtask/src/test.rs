//! `cargo xtask test`: builds what tests need, runs every test, and says what was left out.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use guest_image::Flavour;

use crate::{
    artifacts,
    command::{Run, repository_root},
    packages, tool,
};

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out the tests that boot a virtual machine
    #[arg(long)]
    no_vm: bool,
    /// Run only tests whose name contains this
    filter: Option<String>,
}

/// Runs the tests.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    packages::ensure(packages::FOR_TESTS)?;
    if std::env::var_os("CI").is_some() {
        packages::ensure(packages::FOR_ENGINES)?;
    }
    if args.no_vm {
        artifacts::psp_emulator()?;
    } else {
        packages::ensure(packages::FOR_VM_TESTS)?;
        artifacts::for_vm()?;
        artifacts::image(Flavour::Production, None, artifacts::MEMORY_MIB)?;
    }
    let agent = programs()?;
    Run::new(tool::CARGO_NEXTEST.ready()?).args(nextest_arguments(args)).env(AGENT_VARIABLE, agent).run()?;
    if args.filter.is_none() {
        Run::cargo().args(["test", "--quiet", "--doc", "--workspace"]).run()?;
    }
    let machine = Machine {
        is_root: Run::new("id").arg("-u").stdout()?.trim() == "0",
        has_engines: packages::missing(packages::FOR_ENGINES).is_empty(),
        has_recorded_data: repository_root().join(RECORDED_DATA).is_dir(),
    };
    for (kind, why) in left_out(args, &machine) {
        println!("left out: {kind}: {why}");
    }
    Ok(())
}

/// Puts the programs that tests start into one folder, and returns the agent's path. It is the program that goes
/// into a development image, so that what is tested is what runs in a guest.
fn programs() -> anyhow::Result<PathBuf> {
    Run::cargo().args(["build", "--quiet", "--package", "cli"]).run()?;
    let agent = artifacts::agent(Flavour::Development { psp_port: vm::PSP_PORT })?;
    let target = repository_root().join("target");
    let folder = target.join("programs");
    fs::create_dir_all(&folder).context("cannot create the folder of the programs")?;
    for program in [&agent, &target.join("debug/psp-emulator"), &target.join("debug/cce")] {
        let name = program.file_name().context("a program has a name")?;
        // A program that still runs cannot be written to, but replaced.
        let copy = folder.join(name);
        drop(fs::remove_file(&copy));
        fs::copy(program, &copy).with_context(|| format!("cannot copy {}", program.display()))?;
    }
    Ok(folder.join("cce-agent"))
}

/// Where tests look for the agent.
const AGENT_VARIABLE: &str = "CCE_AGENT_BIN";

/// What this machine offers to tests.
struct Machine {
    is_root: bool,
    has_engines: bool,
    has_recorded_data: bool,
}

/// Evidence and decisions that others recorded lie beside the repository, not in it.
const RECORDED_DATA: &str = "../shared/vectors";

fn nextest_arguments(args: &Args) -> Vec<&str> {
    let mut arguments = vec!["nextest", "run", "--workspace"];
    if args.no_vm {
        arguments.extend(["--exclude", "vm"]);
    }
    if let Some(filter) = &args.filter {
        arguments.push(filter);
    }
    arguments
}

/// What this run does not show, and why.
fn left_out(args: &Args, machine: &Machine) -> Vec<(&'static str, &'static str)> {
    let mut kinds = Vec::new();
    if args.no_vm {
        kinds.push(("virtual machines", "--no-vm was given"));
    }
    if args.filter.is_some() {
        kinds.push(("examples in the documentation", "a filter was given"));
    }
    if !machine.is_root {
        kinds.push(("agents, containers and device mappings", "namespaces and mounts need root"));
    }
    if !machine.has_engines {
        kinds.push(("container engines", "podman or containerd is missing"));
    }
    if !machine.has_recorded_data {
        kinds.push(("recorded evidence and decisions", "the data beside the repository is missing"));
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(no_vm: bool, filter: Option<&str>) -> Args {
        Args { no_vm, filter: filter.map(ToOwned::to_owned) }
    }

    fn machine(offers_all: bool) -> Machine {
        Machine { is_root: offers_all, has_engines: offers_all, has_recorded_data: offers_all }
    }

    #[test]
    fn a_full_run_leaves_nothing_out() {
        assert_eq!(nextest_arguments(&args(false, None)), ["nextest", "run", "--workspace"]);
        assert_eq!(left_out(&args(false, None), &machine(true)), []);
    }

    #[test]
    fn what_is_left_out_is_named() {
        let args = args(true, Some("layer"));
        let arguments = nextest_arguments(&args);
        assert_eq!(arguments, ["nextest", "run", "--workspace", "--exclude", "vm", "layer"]);
        assert_eq!(left_out(&args, &machine(false)).len(), 5);
    }
}
