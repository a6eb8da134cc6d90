//! Recipe of the measured guest image.
