//! Wire contracts: Kata's ttrpc services.
