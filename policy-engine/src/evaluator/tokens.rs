//! The tokens of a Rego text, as far as the checks before parsing need them.

/// A piece of a Rego text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// A name or keyword.
    Word(&'a str),
    /// A string's content, escapes untouched.
    Text(&'a str),
    /// A number.
    Number,
    /// An opening bracket: `[` or `{`.
    Open(char),
    /// An opening parenthesis.
    Call,
    /// A closing bracket or parenthesis.
    Close,
    /// A comma.
    Comma,
    /// A dot.
    Dot,
    /// Any other sign.
    Sign(char),
    /// A string without an end.
    Unterminated,
}

/// Words after which a name does not start a rule.
pub(super) const CONTINUING: [&str; 12] =
    ["as", "contains", "default", "else", "every", "if", "import", "in", "not", "package", "some", "with"];

/// Whether `token` starts a rule, outside brackets and with `previous` before it: a name directly after the
/// end of an expression does, which goes on only with a sign or a keyword.
pub(super) fn starts_rule(previous: Token<'_>, token: Token<'_>) -> bool {
    let ended = match previous {
        Token::Word(word) => !CONTINUING.contains(&word),
        Token::Text(_) | Token::Number | Token::Close => true,
        _ => false,
    };
    match token {
        Token::Word("default" | "import") => true,
        Token::Word(word) => ended && !CONTINUING.contains(&word),
        _ => false,
    }
}

/// Iterates over the tokens of a text.
#[derive(Debug, Clone)]
pub(crate) struct Tokens<'a> {
    rest: &'a str,
    text: &'a str,
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: text, text }
    }

    /// The end of the token that was read last, in bytes from the start.
    pub(crate) fn position(&self) -> usize {
        self.text.len().saturating_sub(self.rest.len())
    }

    /// The line of the token that was read last, from 1.
    pub(crate) fn line(&self) -> usize {
        let newlines = self.text.bytes().take(self.position()).filter(|byte| *byte == b'\n').count();
        newlines.saturating_add(1)
    }

    fn skip_blank(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            let Some(comment) = self.rest.strip_prefix('#') else { return };
            self.rest = comment.split_once('\n').map_or("", |(_, rest)| rest);
        }
    }

    /// Splits off the longest start of `from` whose characters satisfy `keep`.
    fn take_while(&mut self, from: &'a str, keep: impl Fn(char) -> bool) -> &'a str {
        let end = from.find(|character| !keep(character)).unwrap_or(from.len());
        let (taken, rest) = from.split_at(end);
        self.rest = rest;
        taken
    }

    /// A string in double quotes; `from` starts after the opening one.
    fn quoted(&mut self, from: &'a str) -> Token<'a> {
        let mut escaped = false;
        for (index, byte) in from.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    let (content, rest) = from.split_at(index);
                    self.rest = rest.strip_prefix('"').unwrap_or(rest);
                    return Token::Text(content);
                }
                b'\n' => break,
                _ => {}
            }
        }
        self.rest = "";
        Token::Unterminated
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blank();
        let first = self.rest.chars().next()?;
        let after = self.rest.strip_prefix(first).unwrap_or_default();
        if first.is_alphabetic() || first == '_' {
            let from = self.rest;
            let word = self.take_while(from, |character| character.is_alphanumeric() || character == '_');
            return Some(Token::Word(word));
        }
        if first.is_ascii_digit() {
            let from = self.rest;
            self.take_while(from, |character| character.is_ascii_alphanumeric() || character == '.');
            return Some(Token::Number);
        }
        self.rest = after;
        Some(match first {
            '"' => self.quoted(after),
            '`' => match after.split_once('`') {
                Some((content, rest)) => {
                    self.rest = rest;
                    Token::Text(content)
                }
                None => {
                    self.rest = "";
                    Token::Unterminated
                }
            },
            '[' | '{' => Token::Open(first),
            '(' => Token::Call,
            ']' | '}' | ')' => Token::Close,
            ',' => Token::Comma,
            '.' => Token::Dot,
            _ => Token::Sign(first),
        })
    }
}
