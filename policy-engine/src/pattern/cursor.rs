//! Reads a pattern character by character.

use std::str::Chars;

/// The unread rest of a pattern.
#[derive(Debug)]
pub(super) struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    pub(super) fn new(pattern: &'a str) -> Self {
        Self(pattern)
    }

    pub(super) fn rest(&self) -> &'a str {
        self.0
    }

    pub(super) fn set(&mut self, rest: &'a str) {
        self.0 = rest;
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let mut characters: Chars<'a> = self.0.chars();
        let next = characters.next();
        self.0 = characters.as_str();
        next
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.0.chars().next()
    }

    /// The letter of an escape that starts here.
    pub(super) fn peek_escape(&self) -> Option<char> {
        self.0.strip_prefix('\\').and_then(|rest| rest.chars().next())
    }

    pub(super) fn skip(&mut self, characters: usize) {
        for _ in 0..characters {
            self.next();
        }
    }

    pub(super) fn eat(&mut self, text: &str) -> bool {
        let rest = self.0.strip_prefix(text);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// A character inside brackets.
    pub(super) fn class_character(&mut self) -> Option<char> {
        match self.next()? {
            '\\' => self.escape(),
            character => Some(character),
        }
    }

    /// What an escape stands for; the cursor stands after the backslash.
    pub(super) fn escape(&mut self) -> Option<char> {
        let letter = self.next()?;
        match letter {
            'a' => Some('\x07'),
            'f' => Some('\x0c'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\x0b'),
            'x' => self.hexadecimal(),
            '0' => self.octal(0, 2),
            // A single digit would be a back reference, which RE2 does not have.
            '1'..='7' => {
                self.peek().filter(|next| ('0'..='7').contains(next))?;
                self.octal(letter.to_digit(8)?, 2)
            }
            // Any ASCII sign stands for itself; letters and digits without a meaning are refused.
            _ if letter.is_ascii() && !letter.is_ascii_alphanumeric() => Some(letter),
            _ => None,
        }
    }

    fn octal(&mut self, mut value: u32, digits: usize) -> Option<char> {
        for _ in 0..digits {
            let Some(digit) = self.peek().and_then(|next| next.to_digit(8)) else { break };
            self.skip(1);
            value = value.checked_mul(8)?.checked_add(digit)?;
        }
        char::from_u32(value)
    }

    fn hexadecimal(&mut self) -> Option<char> {
        let digits = if self.eat("{") {
            let (digits, rest) = self.0.split_once('}')?;
            self.0 = rest;
            digits
        } else {
            let (digits, rest) = self.0.split_at_checked(2)?;
            self.0 = rest;
            digits
        };
        let plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        plain.then(|| u32::from_str_radix(digits, 16).ok()).flatten().and_then(char::from_u32)
    }
}
