//! AMD SEV-SNP reports: layout, sources, verification.
