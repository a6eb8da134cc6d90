//! Finds rules that may refer to themselves, over all modules of an engine.
//!
//! Rego has no recursion: OPA refuses it when it compiles. The interpreter notices a rule that refers to itself
//! only when it is asked, and a function that calls itself overflows its stack, which ends the process. The
//! search works on tokens and errs on the safe side: a rule that is only *mentioned* counts as evaluated.

use std::collections::{BTreeMap, BTreeSet};

use super::limits::RULE_DEPTH_MAX;
use super::tokens::{CONTINUING, Token, Tokens, starts_rule};

/// Modules that no fragment can name: `data[x]` with a computed name reaches the others.
const OWN: [&str; 2] = ["api", "framework"];

/// Rules that refer to each other without an end, or further than an evaluation goes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecursionError {
    /// Rules that may refer to each other in a circle.
    #[error("rule `data.{package}.{rule}` may refer to itself")]
    Circle {
        /// The package of one of them.
        package: String,
        /// Its name.
        rule: String,
    },
    /// A rule that refers to a rule that refers to a rule, and so on.
    #[error("rule `data.{package}.{rule}` refers to others over more than {RULE_DEPTH_MAX} steps")]
    Depth {
        /// The package of the first.
        package: String,
        /// Its name.
        rule: String,
    },
}

/// What a rule mentions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Mention {
    /// `data.package.rule`.
    Rule { package: String, rule: String },
    /// `data[x].rule`, with a computed package.
    InAnyPackage { rule: String },
    /// `data.package`, or `data.package[x]`.
    Package { package: String },
    /// `data`, or `data[x]`.
    Everything,
}

/// The rules of one module and what each mentions.
#[derive(Debug, Clone)]
pub(crate) struct References {
    package: String,
    rules: BTreeMap<String, BTreeSet<Mention>>,
}

impl References {
    /// Reads a module of `package`.
    pub(crate) fn read(package: &str, text: &str) -> Self {
        let mut reader = Reader { package, ..Reader::default() };
        let mut previous = Token::Sign(' ');
        for token in Tokens::new(text) {
            if reader.brackets.is_empty() && starts_rule(previous, token) {
                reader.end_rule();
            }
            reader.read(previous, token);
            previous = token;
        }
        reader.end_rule();
        Self { package: package.to_owned(), rules: reader.rules }
    }
}

/// Refuses modules whose rules may refer to themselves, or to others over too many steps: each step takes a
/// part of the interpreter's stack.
pub(crate) fn check<'a>(modules: impl Iterator<Item = &'a References> + Clone) -> Result<(), RecursionError> {
    let mut rules: BTreeMap<Rule<'a>, Vec<&'a BTreeSet<Mention>>> = BTreeMap::new();
    for module in modules {
        for (rule, mentions) in &module.rules {
            rules.entry((module.package.as_str(), rule.as_str())).or_default().push(mentions);
        }
    }
    // Rules that were looked at, with the most steps that lead on from each.
    let mut done: BTreeMap<Rule<'_>, usize> = BTreeMap::new();
    for start in rules.keys() {
        // A rule and the rules it mentions that are still to be looked at, from `start` down.
        let mut path: Vec<(Rule<'_>, Vec<Rule<'_>>, usize)> = Vec::new();
        let mut on_path: BTreeSet<Rule<'_>> = BTreeSet::new();
        let mut next = Some(*start);
        loop {
            if let Some(rule) = next.take() {
                if on_path.contains(&rule) {
                    return Err(RecursionError::Circle {
                        package: rule.0.to_owned(),
                        rule: rule.1.to_owned(),
                    });
                }
                if let Some(steps) = done.get(&rule) {
                    deepen(&mut path, *steps);
                } else {
                    on_path.insert(rule);
                    path.push((rule, mentioned(&rules, rule), 0));
                }
            }
            let Some((_, open, _)) = path.last_mut() else { break };
            next = open.pop();
            if next.is_none()
                && let Some((rule, _, steps)) = path.pop()
            {
                if steps > RULE_DEPTH_MAX {
                    return Err(RecursionError::Depth {
                        package: rule.0.to_owned(),
                        rule: rule.1.to_owned(),
                    });
                }
                on_path.remove(&rule);
                done.insert(rule, steps);
                deepen(&mut path, steps);
            }
        }
    }
    Ok(())
}

/// Notes for the rule at the end of `path` that a rule it mentions leads on over `steps`.
fn deepen(path: &mut [(Rule<'_>, Vec<Rule<'_>>, usize)], steps: usize) {
    if let Some((_, _, most)) = path.last_mut() {
        *most = (*most).max(steps.saturating_add(1));
    }
}

/// A package and a name in it.
type Rule<'a> = (&'a str, &'a str);

fn mentioned<'a>(rules: &BTreeMap<Rule<'a>, Vec<&'a BTreeSet<Mention>>>, rule: Rule<'a>) -> Vec<Rule<'a>> {
    let mut found = BTreeSet::new();
    for mention in rules.get(&rule).into_iter().flatten().copied().flatten() {
        match mention {
            Mention::Rule { package, rule } => {
                found.extend(rules.get_key_value(&(package.as_str(), rule.as_str())))
            }
            Mention::InAnyPackage { rule: name } => {
                found.extend(
                    rules.iter().filter(|((package, rule), _)| rule == name && !OWN.contains(package)),
                );
            }
            Mention::Package { package: name } => {
                found.extend(rules.iter().filter(|((package, _), _)| package == name));
            }
            Mention::Everything => found.extend(rules.iter()),
        }
    }
    found.into_iter().map(|(rule, _)| *rule).collect()
}

/// A step of a reference: `.name`, `["name"]`, or `[x]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step<'a> {
    Name(&'a str),
    Computed,
}

/// The first steps of a reference: more say nothing about which rule it is.
type Path<'a> = [Option<Step<'a>>; 4];

/// A reference that is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reference<'a> {
    path: Path<'a>,
    steps: usize,
}

impl<'a> Reference<'a> {
    fn new(root: &'a str) -> Self {
        Self { path: [Some(Step::Name(root)), None, None, None], steps: 1 }
    }

    fn step(&mut self, step: Step<'a>) {
        if let Some(place) = self.path.get_mut(self.steps) {
            *place = Some(step);
        }
        self.steps = self.steps.saturating_add(1);
    }
}

/// An open bracket.
#[derive(Debug, Clone, Copy)]
struct Bracket<'a> {
    /// The reference whose index is read in it.
    indexed: Option<Reference<'a>>,
    /// Its content, while it is one text only.
    content: Option<Option<&'a str>>,
    /// It holds the parameters of a function.
    parameters: bool,
}

#[derive(Debug, Default)]
struct Reader<'a> {
    package: &'a str,
    rules: BTreeMap<String, BTreeSet<Mention>>,
    /// What imports stand for, by the name they give it.
    imports: BTreeMap<&'a str, Path<'a>>,
    brackets: Vec<Bracket<'a>>,
    reference: Option<Reference<'a>>,
    /// The rule that is being read.
    clause: Option<Clause<'a>>,
}

#[derive(Debug)]
enum Clause<'a> {
    Import { path: Option<Path<'a>>, alias: Option<&'a str> },
    Rule(RuleClause<'a>),
}

#[derive(Debug, Default)]
struct RuleClause<'a> {
    name: Option<&'a str>,
    /// Names of variables, which stand for themselves.
    locals: BTreeSet<&'a str>,
    mentions: BTreeSet<Path<'a>>,
    /// What is called, or put in the place of a function. A variable of the same name does not hide it.
    calls: BTreeSet<Path<'a>>,
    /// A name with a colon after it.
    before_colon: Option<&'a str>,
    /// Between `some` or `every` and the end of the names that it declares.
    declaring: bool,
}

impl<'a> Reader<'a> {
    fn read(&mut self, previous: Token<'a>, token: Token<'a>) {
        if let Some(bracket) = self.brackets.last_mut()
            && token != Token::Close
        {
            bracket.content = match (bracket.content, token) {
                (Some(None), Token::Text(text)) => Some(Some(text)),
                _ => None,
            };
        }
        match token {
            Token::Word("import") if self.brackets.is_empty() => {
                self.clause = Some(Clause::Import { path: None, alias: None });
            }
            Token::Word("package" | "default") => {}
            Token::Word("as") if matches!(self.clause, Some(Clause::Import { .. })) => self.end_reference(),
            Token::Word(word) => self.word(previous, word),
            Token::Dot => {}
            Token::Open(sign) => self.open(sign == '[', false),
            Token::Call => self.open(false, true),
            Token::Close => self.close(),
            Token::Sign(sign) => self.sign(previous, sign),
            _ => self.end_reference(),
        }
    }

    fn word(&mut self, previous: Token<'a>, word: &'a str) {
        if previous == Token::Dot
            && let Some(reference) = &mut self.reference
        {
            reference.step(Step::Name(word));
            return;
        }
        self.end_reference();
        match &mut self.clause {
            Some(Clause::Import { path: Some(_), alias }) => *alias = Some(word),
            Some(Clause::Rule(clause)) if previous == Token::Word("as") => {
                clause.calls.insert(Reference::new(word).path);
            }
            Some(Clause::Rule(clause)) => {
                let separated = !matches!(previous, Token::Word(before) if !CONTINUING.contains(&before));
                clause.declaring &= separated && previous != Token::Close;
                match word {
                    "some" | "every" => clause.declaring = true,
                    "in" => clause.declaring = false,
                    _ if clause.declaring || self.brackets.iter().any(|bracket| bracket.parameters) => {
                        clause.locals.insert(word);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        if !CONTINUING.contains(&word) {
            self.reference = Some(Reference::new(word));
        }
    }

    fn open(&mut self, indexes: bool, calls: bool) {
        let head = match &self.clause {
            Some(Clause::Rule(clause)) => clause.name.is_none(),
            Some(Clause::Import { .. }) => false,
            None => true,
        };
        let indexed = if indexes { self.reference.take() } else { None };
        if indexed.is_none() {
            if calls
                && !head
                && let (Some(Clause::Rule(clause)), Some(reference)) = (&mut self.clause, self.reference)
            {
                clause.calls.insert(reference.path);
            }
            self.end_reference();
        }
        let parameters = calls && head && self.brackets.is_empty();
        self.brackets.push(Bracket { indexed, content: Some(None), parameters });
    }

    fn close(&mut self) {
        self.end_reference();
        let Some(bracket) = self.brackets.pop() else { return };
        if let Some(mut reference) = bracket.indexed {
            reference.step(match bracket.content {
                Some(Some(name)) => Step::Name(name),
                _ => Step::Computed,
            });
            self.reference = Some(reference);
        }
    }

    fn sign(&mut self, previous: Token<'a>, sign: char) {
        self.end_reference();
        let Some(Clause::Rule(clause)) = &mut self.clause else { return };
        // `name := ...` declares a variable, except in a rule's head.
        let declared = clause.before_colon.take();
        match (previous, sign) {
            (Token::Word(name), ':') if !self.brackets.is_empty() => clause.before_colon = Some(name),
            (Token::Sign(':'), '=') => clause.locals.extend(declared),
            _ => {}
        }
    }

    fn end_reference(&mut self) {
        let Some(reference) = self.reference.take() else { return };
        let clause = self.clause.get_or_insert_with(|| Clause::Rule(RuleClause::default()));
        match clause {
            Clause::Import { path, .. } if path.is_none() => *path = Some(reference.path),
            Clause::Import { .. } => {}
            Clause::Rule(clause) => match (clause.name, reference.path) {
                (None, [Some(Step::Name(name)), ..]) if self.brackets.is_empty() => clause.name = Some(name),
                _ => drop(clause.mentions.insert(reference.path)),
            },
        }
    }

    fn end_rule(&mut self) {
        self.end_reference();
        match self.clause.take() {
            Some(Clause::Import { path: Some(path), alias }) => {
                let last = path.iter().rev().find_map(|step| match step {
                    Some(Step::Name(name)) => Some(*name),
                    _ => None,
                });
                if let Some(name) = alias.or(last) {
                    self.imports.insert(name, path);
                }
            }
            Some(Clause::Rule(RuleClause { name: Some(name), locals, mentions, calls, .. })) => {
                let mentions = mentions.iter().filter_map(|path| self.resolve(path, &locals));
                let calls = calls.iter().filter_map(|path| self.resolve(path, &BTreeSet::new()));
                let found: Vec<Mention> = mentions.chain(calls).collect();
                self.rules.entry(name.to_owned()).or_default().extend(found);
            }
            _ => {}
        }
    }

    /// What a reference may mean; `None` for the input and for local names.
    fn resolve(&self, path: &Path<'a>, locals: &BTreeSet<&'a str>) -> Option<Mention> {
        let Some(Step::Name(root)) = path[0] else { return None };
        if locals.contains(root) {
            return None;
        }
        let Some(import) = self.imports.get(root) else {
            return match root {
                "data" => Some(mention(path)),
                "input" => None,
                rule => Some(Mention::Rule { package: self.package.to_owned(), rule: rule.to_owned() }),
            };
        };
        if import[0] != Some(Step::Name("data")) {
            return None;
        }
        let steps = import.iter().flatten().chain(path.iter().skip(1).flatten());
        let mut whole: Path<'a> = [None; 4];
        for (place, step) in whole.iter_mut().zip(steps) {
            *place = Some(*step);
        }
        Some(mention(&whole))
    }
}

/// What a path from `data` means.
fn mention(path: &Path<'_>) -> Mention {
    match (path[1], path[2]) {
        (Some(Step::Name(package)), Some(Step::Name(rule))) => {
            Mention::Rule { package: package.to_owned(), rule: rule.to_owned() }
        }
        (Some(Step::Name(package)), _) => Mention::Package { package: package.to_owned() },
        (Some(Step::Computed), Some(Step::Name(rule))) => Mention::InAnyPackage { rule: rule.to_owned() },
        _ => Mention::Everything,
    }
}

#[cfg(test)]
mod tests;
