//! The `omnisight` program.
fn main() {}
