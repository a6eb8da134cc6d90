//! `cargo xtask bench`: figures, measured on this machine.

mod boot;
mod footprint;
mod launch;
mod policy;
mod read;
mod runtimes;

use serde::Serialize;

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to measure; everything when left out
    #[arg(value_enum)]
    name: Option<Name>,
    /// Print one JSON object a benchmark
    #[arg(long)]
    json: bool,
}

/// The benchmarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    /// Time until the guest opens its door, beside a guest of busybox
    Boot,
    /// Size of the agent, and its memory in a guest after boot
    Footprint,
    /// Time of policy decisions
    Policy,
    /// Time to create, start and wait for a container
    Launch,
    /// Speed at which a container reads a layer, beside veritysetup's device
    Read,
}

/// What a benchmark found.
#[derive(Debug, Serialize)]
struct Figures {
    bench: &'static str,
    figures: Vec<Figure>,
    /// What could not be measured, and what is special about a figure.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remarks: Vec<String>,
}

/// One number.
#[derive(Debug, Serialize)]
struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    /// The same of somebody else's program, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<Peer>,
    /// What it is meant to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Target>,
}

/// A number of a peer's, for comparison.
#[derive(Debug, Serialize)]
struct Peer {
    name: &'static str,
    value: f64,
}

/// What a figure is meant to be. It depends on the machine: missing it fails nothing.
#[derive(Debug, Serialize)]
struct Target {
    #[serde(flatten)]
    bound: Bound,
    met: bool,
}

/// On which side of a number a figure is meant to be.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Figure {
    fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, peer: None, target: None }
    }

    fn beside(self, name: &'static str, value: f64) -> Self {
        Self { peer: Some(Peer { name, value }), ..self }
    }

    fn at_most(self, at_most: f64) -> Self {
        Self { target: Some(Target { bound: Bound::AtMost(at_most), met: self.value <= at_most }), ..self }
    }

    fn at_least(self, at_least: f64) -> Self {
        Self { target: Some(Target { bound: Bound::AtLeast(at_least), met: self.value >= at_least }), ..self }
    }
}

/// Measures and prints.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let all = vec![Name::Footprint, Name::Policy, Name::Launch, Name::Read, Name::Boot];
    let names = args.name.map_or(all, |name| vec![name]);
    for name in names {
        let found = match name {
            Name::Boot => boot::measure()?,
            Name::Footprint => footprint::measure()?,
            Name::Policy => policy::measure()?,
            Name::Launch => launch::measure()?,
            Name::Read => read::measure()?,
        };
        if args.json {
            println!("{}", serde_json::to_string(&found)?);
        } else {
            print(&found);
        }
    }
    Ok(())
}

fn print(found: &Figures) {
    println!("{}", found.bench);
    for figure in &found.figures {
        let target = figure.target.as_ref().map(|Target { bound, met }| {
            let met = if *met { "met" } else { "missed" };
            match bound {
                Bound::AtMost(number) => format!("  at most {number}: {met}"),
                Bound::AtLeast(number) => format!("  at least {number}: {met}"),
            }
        });
        let peer = figure.peer.as_ref().map(|peer| format!("  ({}: {})", peer.name, peer.value));
        let remarks = [target, peer].into_iter().flatten().collect::<String>();
        println!("  {:<48} {:>12.2} {:<2}{remarks}", figure.name, figure.value, figure.unit);
    }
    for remark in &found.remarks {
        println!("  {remark}");
    }
}

/// The middle of `times`.
fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}
