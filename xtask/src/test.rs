//! `cargo xtask test`: builds what tests need, runs every test, and says what was left out.

use crate::{
    command::{Run, repository_root},
    tool,
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
    Run::new(tool::CARGO_NEXTEST.ready()?).args(nextest_arguments(args)).run()?;
    if args.filter.is_none() {
        Run::cargo().args(["test", "--quiet", "--doc", "--workspace"]).run()?;
    }
    for (kind, why) in left_out(args, repository_root().join(RECORDED_DATA).is_dir()) {
        println!("left out: {kind}: {why}");
    }
    Ok(())
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
fn left_out(args: &Args, recorded_data_is_there: bool) -> Vec<(&'static str, &'static str)> {
    let mut kinds = Vec::new();
    if args.no_vm {
        kinds.push(("virtual machines", "--no-vm was given"));
    }
    if args.filter.is_some() {
        kinds.push(("examples in the documentation", "a filter was given"));
    }
    if !recorded_data_is_there {
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

    #[test]
    fn a_full_run_leaves_nothing_out() {
        assert_eq!(nextest_arguments(&args(false, None)), ["nextest", "run", "--workspace"]);
        assert_eq!(left_out(&args(false, None), true), []);
    }

    #[test]
    fn what_is_left_out_is_named() {
        let args = args(true, Some("layer"));
        let arguments = nextest_arguments(&args);
        assert_eq!(arguments, ["nextest", "run", "--workspace", "--exclude", "vm", "layer"]);
        assert_eq!(left_out(&args, false).len(), 3);
    }
}
