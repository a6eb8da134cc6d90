//! A permit that is forged, used twice, exchanged or missing does not compile.

#[test]
fn permits_cannot_be_forged_copied_exchanged_or_left_out() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*.rs");
}
