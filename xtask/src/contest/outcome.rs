//! What the suite says about tests, read from what it prints.

use std::fmt;

/// What a runtime made of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    /// With the first line of the reason.
    Failed(String),
    /// The suite found this machine, or this runtime, unfit for the test.
    Skipped(String),
    /// The suite ended, or was ended, before it said anything.
    Unanswered,
}

impl Outcome {
    /// What the suite said beside the verdict.
    pub(super) fn reason(&self) -> Option<&str> {
        match self {
            Self::Failed(reason) | Self::Skipped(reason) => Some(reason),
            Self::Passed | Self::Unanswered => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "passes",
            Self::Failed(_) => "fails",
            Self::Skipped(_) => "skipped",
            Self::Unanswered => "no answer",
        })
    }
}

/// The tests of one group, in the order in which the suite names them. Containers write between the lines.
pub(super) fn parse(output: &str) -> Vec<(String, Outcome)> {
    let mut outcomes: Vec<(String, Outcome)> = Vec::new();
    for line in output.lines() {
        if let Some(test) = verdict(line) {
            outcomes.push(test);
        } else if let Some((_, Outcome::Failed(reason) | Outcome::Skipped(reason))) = outcomes.last_mut()
            && reason.is_empty()
        {
            line.trim().clone_into(reason);
        }
    }
    outcomes
}

/// A line such as `2 / 5 : name of the test : not ok`.
fn verdict(line: &str) -> Option<(String, Outcome)> {
    let (position, rest) = line.split_once(" : ")?;
    let (number, count) = position.split_once(" / ")?;
    if number.parse::<usize>().is_err() || count.parse::<usize>().is_err() {
        return None;
    }
    let (name, word) = rest.rsplit_once(" : ")?;
    let outcome = match word {
        "ok" => Outcome::Passed,
        "not ok" => Outcome::Failed(String::new()),
        "skipped" => Outcome::Skipped(String::new()),
        _ => return None,
    };
    Some((name.to_owned(), outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_read_with_its_reasons() {
        let output = "container stdout was not empty, found : hello\n# Start group paths\n\
                      1 / 3 : read : ok\n2 / 3 : a : b : not ok\n\tno such file\n\tcaused by: x\n\
                      3 / 3 : skip : skipped\n\tnot here\n# End group paths\n\n";
        let found = parse(output);
        let failed = Outcome::Failed("no such file".to_owned());
        let skipped = Outcome::Skipped("not here".to_owned());
        assert_eq!(
            found,
            [
                ("read".to_owned(), Outcome::Passed),
                ("a : b".to_owned(), failed),
                ("skip".to_owned(), skipped)
            ]
        );
    }

    #[test]
    fn what_containers_print_is_no_verdict() {
        assert_eq!(parse("one / 2 : test : ok\n1 / 2 : test : fine\n1 : ok\n"), []);
    }
}
