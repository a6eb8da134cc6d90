//! Names of signals.

use anyhow::Context as _;
use policy_engine::request::Signal;

/// Number of the first real-time signal that programs get.
const REALTIME_MIN: u32 = 34;
const REALTIME_MAX: u32 = 64;

/// Reads a signal as `kill(1)` does: a number, or a name with or without `SIG`.
pub(crate) fn parse(text: &str) -> anyhow::Result<Signal> {
    let number = text.parse().ok().or_else(|| named(&text.to_ascii_uppercase()));
    number.and_then(Signal::new).with_context(|| format!("unknown signal {text:?}"))
}

fn named(text: &str) -> Option<u32> {
    let name = text.strip_prefix("SIG").unwrap_or(text);
    if let Some(offset) = name.strip_prefix("RTMIN") {
        let offset = if offset.is_empty() { 0 } else { offset.strip_prefix('+')?.parse().ok()? };
        return REALTIME_MIN.checked_add(offset);
    }
    if let Some(offset) = name.strip_prefix("RTMAX") {
        let offset = if offset.is_empty() { 0 } else { offset.strip_prefix('-')?.parse().ok()? };
        return REALTIME_MAX.checked_sub(offset).filter(|number| *number >= REALTIME_MIN);
    }
    let signal: nix::sys::signal::Signal = format!("SIG{name}").parse().ok()?;
    u32::try_from(signal as i32).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in
            [("TERM", 15), ("SIGKILL", 9), ("usr1", 10), ("64", 64), ("RTMIN+3", 37), ("SIGRTMAX-1", 63)]
        {
            assert_eq!(parse(text).unwrap().number(), number, "{text}");
        }
        for bad in ["", "0", "65", "SIG", "RTMIN+x", "RTMAX-99", "-9"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
