//! `omnisight evaluate ...`: batch runs over recorded data, for whoever scores them.
//!
//! Virtual time and seeded faults: the same input and the same seed give the same output, on any machine.

mod courier;
mod fusion;
mod site_picture;

use clap::Subcommand;

use super::{Error, log};

#[derive(Debug, Subcommand)]
pub(super) enum Evaluation {
    /// Several cameras' detections through trackers, messages and the fused table: frame,id,x,y.
    Fusion(fusion::Arguments),
}

pub(super) fn run(of: &Evaluation, log: &log::Arguments) -> Result<(), Error> {
    log.start("warn");
    match of {
        Evaluation::Fusion(arguments) => fusion::run(arguments),
    }
}
