//! The kernel command line: measured at launch, so it is part of what a tenant trusts.

use std::fmt;

/// What an image is for. The two differ in one visible word of the measured command line, and in the agent binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// Reports come from the secure processor, and from nothing else.
    Production,
    /// Reports may come from an emulated secure processor that listens on the host, at this vsock port.
    Development {
        /// vsock port of the emulated secure processor on the host (CID 2).
        psp_port: u32,
    },
}

impl Flavour {
    /// The word on the command line, and the name of the output folder.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Development { .. } => "development",
        }
    }
}

/// What every image has, each with the reason.
const ALWAYS: &[&str] = &[
    // The kernel's messages are all that a machine which does not come up can say.
    "console=ttyS0",
    "loglevel=5",
    // A guest that panics stops: nobody can look into it, and its launcher sees the end.
    "panic=-1",
    "oops=panic",
    // Objects of different kinds share no page, so that one freed too early is not another kind's next. And nothing is kept
    // of an allocator whose name was merged: each device of dm-verity has one, and the host makes as many as it likes.
    "slab_nomerge",
    // The seed that the boot loader hands over is chosen by the host: mixed in, never counted as entropy.
    "random.trust_bootloader=off",
    // The host's console input is no key to the kernel, nor is there a keyboard: some of its keys print registers, memory
    // and tasks to the console, whatever `sysrq` says.
    "sysctl.kernel.sysrq=0",
    "i8042.nokbd",
    "i8042.noaux",
    // No tracefs: empty, as it is in a kernel that is locked down, 6.12 corrupts memory when a container unmounts it. The
    // others are those that would put files there.
    "initcall_blacklist=tracefs_init,tracer_init_tracefs,init_trace_printk_function_export,init_graph_tracefs,\
     stack_trace_init,init_dynamic_event,trace_events_synth_init,init_kprobe_trace,init_uprobe_trace",
    // One cgroup hierarchy: version 2.
    "cgroup_no_v1=all",
];

/// A kernel command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine(String);

impl CommandLine {
    /// The command line of an image of this flavour.
    #[must_use]
    pub fn new(flavour: Flavour) -> Self {
        let mut words: Vec<String> = ALWAYS.iter().map(|&word| word.to_owned()).collect();
        words.push(format!("cce.image={}", flavour.name()));
        if let Flavour::Development { psp_port } = flavour {
            words.push(format!("cce.psp=vsock://2:{psp_port}"));
        }
        Self(words.join(" "))
    }

    /// The exact text that is handed to the kernel and measured.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn production_names_no_emulated_secure_processor() {
        let line = CommandLine::new(Flavour::Production);
        assert!(line.as_str().contains(" cce.image=production"), "{line}");
        assert!(!line.as_str().contains("cce.psp"), "{line}");
    }

    #[test]
    fn development_is_visible_and_names_the_port() {
        let line = CommandLine::new(Flavour::Development { psp_port: 4050 });
        assert!(line.as_str().ends_with(" cce.image=development cce.psp=vsock://2:4050"), "{line}");
    }

    #[test]
    fn nothing_else_differs() {
        let [production, development] =
            [Flavour::Production, Flavour::Development { psp_port: 7 }].map(CommandLine::new);
        let same = production.as_str().strip_suffix("production").unwrap();
        assert_eq!(development.as_str().strip_prefix(same), Some("development cce.psp=vsock://2:7"));
    }

    #[test]
    fn both_close_what_the_host_would_reach() {
        for flavour in [Flavour::Production, Flavour::Development { psp_port: 1 }] {
            let line = CommandLine::new(flavour);
            for word in ["oops=panic", "random.trust_bootloader=off", "i8042.nokbd"] {
                assert!(line.as_str().split(' ').any(|found| found == word), "{line} lacks {word}");
            }
            assert!(line.as_str().contains(" initcall_blacklist=tracefs_init,"), "{line}");
        }
    }
}
