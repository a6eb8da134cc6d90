//! What one Rust file holds in unsafe code.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::{
    AttrStyle, Attribute, ExprUnsafe, File, ItemImpl, Stmt,
    spanned::Spanned as _,
    visit::{self, Visit},
};

/// The facts that the gate judges.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The line of the first `unsafe` token, inside macros too.
    pub(super) first_unsafe: Option<usize>,
    /// Carries `#![expect(unsafe_code, ..)]` or the same as `allow` or `warn`, here or on an item.
    pub(super) opts_in: bool,
    /// Carries `#![forbid(unsafe_code)]` or `#![deny(unsafe_code)]`.
    pub(super) closed: bool,
    /// Its documentation holds `UNSAFETY:`.
    pub(super) justified: bool,
    /// Lines of unsafe blocks and implementations without `SAFETY:` above them.
    pub(super) unexplained: Vec<usize>,
}

pub(super) fn facts(text: &str) -> Result<Facts, syn::Error> {
    let file = syn::parse_file(text)?;
    let mut visitor = Visitor { lines: text.lines().collect(), statement: None, facts: Facts::default() };
    visitor.visit_file(&file);
    let mut facts = visitor.facts;
    facts.first_unsafe = first_unsafe(file.to_token_stream());
    facts.closed = inner(&file).any(|attribute| lints_unsafe(attribute, &["forbid", "deny"]));
    facts.justified = inner(&file).any(|attribute| documentation(attribute).contains("UNSAFETY:"));
    Ok(facts)
}

fn inner(file: &File) -> impl Iterator<Item = &Attribute> {
    file.attrs.iter().filter(|attribute| matches!(attribute.style, AttrStyle::Inner(_)))
}

fn documentation(attribute: &Attribute) -> String {
    if attribute.path().is_ident("doc") {
        attribute.meta.to_token_stream().to_string()
    } else {
        String::new()
    }
}

/// Whether the attribute sets the lint `unsafe_code` to one of the levels.
fn lints_unsafe(attribute: &Attribute, levels: &[&str]) -> bool {
    let tokens = |attribute: &Attribute| attribute.meta.to_token_stream();
    levels.iter().any(|level| attribute.path().is_ident(level))
        && names(tokens(attribute), "unsafe_code").is_some()
}

fn first_unsafe(tokens: TokenStream) -> Option<usize> {
    names(tokens, "unsafe")
}

/// The line of the first identifier of this name.
fn names(tokens: TokenStream, wanted: &str) -> Option<usize> {
    tokens.into_iter().find_map(|token| match token {
        TokenTree::Ident(ident) => (ident == wanted).then(|| ident.span().start().line),
        TokenTree::Group(group) => names(group.stream(), wanted),
        TokenTree::Punct(_) | TokenTree::Literal(_) => None,
    })
}

struct Visitor<'a> {
    lines: Vec<&'a str>,
    /// The first line of the innermost statement around.
    statement: Option<usize>,
    facts: Facts,
}

impl Visitor<'_> {
    /// The reason stands directly above the block, or above the statement that holds it.
    fn require_reason(&mut self, line: usize) {
        let explained =
            [Some(line), self.statement].into_iter().flatten().any(|line| self.explained_above(line));
        if !explained {
            self.facts.unexplained.push(line);
        }
    }

    fn explained_above(&self, line: usize) -> bool {
        let above = self.lines.iter().take(line.saturating_sub(1)).rev().map(|line| line.trim_start());
        above
            .take_while(|line| line.starts_with("//") || line.starts_with("#["))
            .any(|line| line.contains("SAFETY:"))
    }
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        self.facts.opts_in |= lints_unsafe(attribute, &["expect", "allow", "warn"]);
    }

    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        let outer = self.statement.replace(statement.span().start().line);
        visit::visit_stmt(self, statement);
        self.statement = outer;
    }

    fn visit_expr_unsafe(&mut self, block: &'ast ExprUnsafe) {
        self.require_reason(block.unsafe_token.span.start().line);
        visit::visit_expr_unsafe(self, block);
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        if let Some(token) = &item.unsafety {
            self.require_reason(token.span.start().line);
        }
        visit::visit_item_impl(self, item);
    }
}
