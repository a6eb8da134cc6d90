//! cce: write, hash and check policies; verify reports; play the host.

fn main() {}
