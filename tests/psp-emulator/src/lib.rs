//! An emulated AMD secure processor that signs SNP reports with its own keys.
