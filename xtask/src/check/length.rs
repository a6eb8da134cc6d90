//! Lines of a file and of a function: what outgrows one screen after another is not read any more.

use syn::{
    Block, ImplItemFn, ItemFn, Signature, TraitItemFn,
    spanned::Spanned as _,
    visit::{self, Visit},
};

use super::{
    Finding, Findings, Sources,
    tree::{SourceFile, Tree},
};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 100;

pub(super) fn gate(sources: &Sources) -> Findings {
    Ok(judge(&sources.tree))
}

fn judge(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust_files() {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            let message = format!("{lines} lines, {FILE_LINES_MAX} at most: split it by concern");
            findings.push(Finding::file(&file.path, message));
        }
        findings.extend(long_functions(file));
    }
    findings
}

fn long_functions(file: &SourceFile) -> Vec<Finding> {
    let syntax = match syn::parse_file(&file.text) {
        Ok(syntax) => syntax,
        Err(error) => {
            return vec![Finding::line(
                &file.path,
                error.span().start().line,
                format!("does not parse: {error}"),
            )];
        }
    };
    let mut functions = Functions { path: &file.path, findings: Vec::new() };
    functions.visit_file(&syntax);
    functions.findings
}

/// Visits every function with a body, nested ones too.
struct Functions<'a> {
    path: &'a str,
    findings: Vec<Finding>,
}

impl Functions<'_> {
    /// Counts from the signature to the closing brace: documentation is not length.
    fn measure(&mut self, signature: &Signature, body: &Block) {
        let first = signature.span().start().line;
        let last = body.span().end().line;
        let lines = last.saturating_sub(first).saturating_add(1);
        if lines > FUNCTION_LINES_MAX {
            let message =
                format!("function `{}` has {lines} lines, {FUNCTION_LINES_MAX} at most", signature.ident);
            self.findings.push(Finding::line(self.path, first, message));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.measure(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.measure(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let Some(body) = &item.default {
            self.measure(&item.sig, body);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<Finding> {
        judge(&Tree::of_files([("a.rs", text)]))
    }

    /// A function of the given number of lines, its signature and closing brace among them.
    fn function_of(lines: usize) -> String {
        format!("fn long() {{\n{}}}\n", "    work();\n".repeat(lines.saturating_sub(2)))
    }

    #[test]
    fn a_file_of_500_lines_passes_and_one_of_501_fails() {
        assert_eq!(findings(&"// a\n".repeat(500)), []);
        let found = findings(&"// a\n".repeat(501));
        assert_eq!(found, [Finding::file("a.rs", "501 lines, 500 at most: split it by concern")]);
    }

    #[test]
    fn a_function_of_100_lines_passes_and_one_of_101_fails() {
        assert_eq!(findings(&function_of(100)), []);
        let found = findings(&function_of(101));
        assert_eq!(found, [Finding::line("a.rs", 1, "function `long` has 101 lines, 100 at most")]);
    }

    #[test]
    fn methods_and_nested_functions_are_measured() {
        let long = function_of(101);
        for text in [
            format!("impl A {{\n{long}}}\n"),
            format!("trait A {{\n{long}}}\n"),
            format!("mod a {{\n{long}}}\n"),
        ] {
            assert_eq!(findings(&text).len(), 1, "{text}");
        }
        assert_eq!(findings(&format!("fn outer() {{\n{long}}}\n")).len(), 2);
    }

    #[test]
    fn documentation_is_not_length() {
        assert_eq!(findings(&format!("{}{}", "/// why\n".repeat(50), function_of(100))), []);
    }

    #[test]
    fn only_rust_is_measured_and_broken_rust_is_found() {
        assert_eq!(judge(&Tree::of_files([("a.md", "text\n".repeat(501).as_str())])), []);
        assert_eq!(findings("fn (").len(), 1);
    }
}
