//! The only crate that touches the guest's kernel.
