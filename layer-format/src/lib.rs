//! Container layers on disk: deterministic ext4 and dm-verity trees.
