//! Reads Rego texts that only name literals and point at the framework.
//!
//! What is read here is a small part of Rego: `package`, imports of keywords, and lines `name := value`, where
//! the value is JSON (with Rego's comments and trailing commas), `data.framework.<name>`, or the one object
//! that policies give their reasons with. A text outside of that, or one whose meaning could be argued about
//! (a key twice, a number with a fraction, a raw string), is not read at all: the interpreter has it then.
//! Every text that is read here means the same to the interpreter.

use std::collections::HashSet;

use serde_json::{Map, Value as Json};

use crate::evaluator::limits::{NESTING_MAX, POLICY_LINES_MAX};

/// The most columns between two places where a long line may be broken. The interpreter's limit leaves room
/// for what may stand before them on the same line.
const COLUMNS_MAX: usize = 62_000;

/// The keywords that a text may import.
const KEYWORDS: [&str; 4] = ["contains", "every", "if", "in"];

/// A text in this form.
#[derive(Debug)]
pub(crate) struct Document<'t> {
    /// Its package.
    pub(crate) package: &'t str,
    /// Its definitions, each name once.
    pub(crate) definitions: Vec<(&'t str, Definition<'t>)>,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Definition<'t> {
    /// A value.
    Literal(Literal<'t>),
    /// `data.framework.<name>`
    Framework(&'t str),
    /// `{"errors": data.framework.errors}`
    FrameworkErrors,
}

/// The text of a value that was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Literal<'t>(&'t str);

impl<'t> Literal<'t> {
    /// The value.
    pub(crate) fn value(self) -> Option<Json> {
        Parser::new(self.0).value(0)
    }

    /// Gives the elements of a list to `visit`, one after the other, until it refuses one. `None` for anything
    /// but a list. A policy of megabytes is never in memory as JSON.
    pub(crate) fn elements(self, visit: impl FnMut(Json) -> Option<()>) -> Option<()> {
        Parser::new(self.0).list(0, visit)
    }
}

/// Reads `text`; `None` if it is not of this form.
pub(crate) fn parse(text: &str) -> Option<Document<'_>> {
    // The interpreter takes a NUL for the end, wherever it stands.
    if text.contains('\0') || text.len().checked_div(64)?.checked_add(lines(text))? > POLICY_LINES_MAX {
        return None;
    }
    let mut parser = Parser::new(text);
    parser.blank()?;
    parser.keyword("package")?;
    let package = parser.word()?;
    parser.end_of_line()?;
    parser.imports()?;
    let mut definitions = Vec::new();
    let mut names = HashSet::new();
    while !parser.rest.is_empty() {
        let name = parser.word()?;
        if !names.insert(name) {
            return None;
        }
        parser.spaces()?;
        parser.eat(":=").then_some(())?;
        parser.blank()?;
        definitions.push((name, parser.definition()?));
        parser.end_of_line()?;
    }
    Some(Document { package, definitions })
}

fn lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

struct Parser<'t> {
    rest: &'t str,
    /// Columns since the last place where the line could be broken.
    columns: usize,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str) -> Self {
        Self { rest: text, columns: 0 }
    }

    /// Takes the next `bytes` bytes, none of them a line break.
    fn take(&mut self, bytes: usize) -> Option<&'t str> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        self.columns = self.columns.checked_add(bytes)?;
        (self.columns <= COLUMNS_MAX).then_some(taken)
    }

    fn take_while(&mut self, keep: impl Fn(u8) -> bool) -> Option<&'t str> {
        let bytes = self.rest.bytes().take_while(|byte| keep(*byte)).count();
        self.take(bytes)
    }

    fn eat(&mut self, sign: &str) -> bool {
        self.rest.starts_with(sign) && self.take(sign.len()).is_some()
    }

    fn peek(&self) -> Option<u8> {
        self.rest.bytes().next()
    }

    /// Spaces and tabs.
    fn spaces(&mut self) -> Option<()> {
        let blank = self.take_while(|byte| matches!(byte, b' ' | b'\t'))?;
        // The interpreter counts a tab as four columns.
        let tabs = blank.bytes().filter(|byte| *byte == b'\t').count();
        self.columns = self.columns.checked_add(tabs.checked_mul(3)?)?;
        (self.columns <= COLUMNS_MAX).then_some(())
    }

    /// Spaces, line breaks and comments; whether there was a line break or the end of the text.
    fn blank(&mut self) -> Option<bool> {
        let mut broken = false;
        loop {
            self.spaces()?;
            if self.peek() == Some(b'#') {
                self.take_while(|byte| byte != b'\n')?;
            }
            if self.rest.is_empty() {
                return Some(true);
            }
            let Some(rest) = self.rest.strip_prefix('\n').or_else(|| self.rest.strip_prefix("\r\n")) else {
                return Some(broken);
            };
            (self.rest, self.columns, broken) = (rest, 0, true);
        }
    }

    fn end_of_line(&mut self) -> Option<()> {
        self.blank()?.then_some(())
    }

    fn word(&mut self) -> Option<&'t str> {
        let first = self.peek()?;
        (first.is_ascii_alphabetic() || first == b'_').then_some(())?;
        self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    }

    /// `keyword` and the spaces after it.
    fn keyword(&mut self, keyword: &str) -> Option<()> {
        (self.word()? == keyword && matches!(self.peek(), Some(b' ' | b'\t'))).then_some(())?;
        self.spaces()
    }

    /// Imports of keywords; they mean nothing to literals.
    fn imports(&mut self) -> Option<()> {
        let mut imported = HashSet::new();
        while self.rest.starts_with("import ") || self.rest.starts_with("import\t") {
            self.keyword("import")?;
            let path = self.take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))?;
            let known = match path.strip_prefix("future.keywords.") {
                Some(keyword) => KEYWORDS.contains(&keyword),
                None => path == "rego.v1" || path == "future.keywords",
            };
            // What imports all keywords may not stand beside another import of one.
            let alone = path.starts_with("future.keywords.") || imported.is_empty();
            let others = imported.contains("rego.v1") || imported.contains("future.keywords");
            (known && alone && !others && imported.insert(path)).then_some(())?;
            self.end_of_line()?;
        }
        Some(())
    }

    fn definition(&mut self) -> Option<Definition<'t>> {
        if let Some(name) = self.framework_name() {
            return Some(Definition::Framework(name));
        }
        let (start, columns) = (self.rest, self.columns);
        if self.framework_errors().is_some() {
            return Some(Definition::FrameworkErrors);
        }
        (self.rest, self.columns) = (start, columns);
        if self.peek() == Some(b'[') {
            self.list(0, |_| Some(()))?;
        } else {
            self.value(0)?;
        }
        let length = start.len().checked_sub(self.rest.len())?;
        start.get(..length).map(|text| Definition::Literal(Literal(text)))
    }

    /// `data.framework.<name>`, in one piece.
    fn framework_name(&mut self) -> Option<&'t str> {
        self.eat("data.framework.").then_some(())?;
        self.word()
    }

    fn framework_errors(&mut self) -> Option<()> {
        self.eat("{").then_some(())?;
        self.blank()?;
        self.eat("\"errors\"").then_some(())?;
        self.blank()?;
        self.eat(":").then_some(())?;
        self.blank()?;
        (self.framework_name()? == "errors").then_some(())?;
        self.blank()?;
        if self.eat(",") {
            self.blank()?;
        }
        self.eat("}").then_some(())
    }

    /// A value within `depth` brackets.
    fn value(&mut self, depth: usize) -> Option<Json> {
        match self.peek()? {
            b'[' => {
                let mut elements = Vec::new();
                self.list(depth, |element| {
                    elements.push(element);
                    Some(())
                })?;
                Some(Json::Array(elements))
            }
            b'{' => self.object(depth),
            b'"' => self.string().map(Json::String),
            b'-' | b'0'..=b'9' => self.integer().map(Json::from),
            _ => match self.word()? {
                "true" => Some(Json::Bool(true)),
                "false" => Some(Json::Bool(false)),
                "null" => Some(Json::Null),
                _ => None,
            },
        }
    }

    fn list(&mut self, depth: usize, mut visit: impl FnMut(Json) -> Option<()>) -> Option<()> {
        let inner = deeper(depth)?;
        self.eat("[").then_some(())?;
        self.blank()?;
        while !self.eat("]") {
            visit(self.value(inner)?)?;
            self.separator("]")?;
        }
        Some(())
    }

    fn object(&mut self, depth: usize) -> Option<Json> {
        let inner = deeper(depth)?;
        self.eat("{").then_some(())?;
        self.blank()?;
        let mut fields = Map::new();
        while !self.eat("}") {
            let key = self.string()?;
            self.blank()?;
            self.eat(":").then_some(())?;
            self.blank()?;
            let value = self.value(inner)?;
            // The last of two would count: a reader may have meant the first.
            fields.insert(key, value).is_none().then_some(())?;
            self.separator("}")?;
        }
        Some(Json::Object(fields))
    }

    /// A comma, where the line may be broken, or the closing bracket `end`, which stays.
    fn separator(&mut self, end: &str) -> Option<()> {
        self.blank()?;
        if self.eat(",") {
            self.columns = 0;
            self.blank()?;
            return Some(());
        }
        self.rest.starts_with(end).then_some(())
    }

    fn string(&mut self) -> Option<String> {
        let mut escaped = false;
        let inside = self.rest.strip_prefix('"')?.bytes().take_while(|byte| {
            let ends = !escaped && *byte == b'"';
            escaped = !escaped && *byte == b'\\';
            !ends
        });
        let length = inside.count().checked_add(2)?;
        // The interpreter reads the same text with the same function.
        serde_json::from_str(self.take(length)?).ok()
    }

    fn integer(&mut self) -> Option<i64> {
        let text = self
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.' | b'_'))?;
        let digits = text.strip_prefix('-').unwrap_or(text);
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        (plain || text == "0").then(|| text.parse().ok()).flatten()
    }
}

fn deeper(depth: usize) -> Option<usize> {
    depth.checked_add(1).filter(|depth| *depth <= NESTING_MAX)
}

#[cfg(test)]
mod tests;
