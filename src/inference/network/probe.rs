//! Library and model tried in a child process, which may crash or hang without harm.
//!
//! The child is this program with a hidden subcommand. It loads the library and the model, runs the model a few times on a
//! gray picture, and prints one line of JSON: the time of a run, or what is wrong.

use std::io::Read;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::cpu::Stopwatch;
use super::{Error, Fault, Network, Options, Tensor, load};

/// The hidden subcommand: model, then the library if one is named.
const SUBCOMMAND: &str = "probe-network";
/// The child loads and runs within this, or is killed.
const WITHIN: Duration = Duration::from_secs(10);
/// How often the child is looked at.
const EVERY: Duration = Duration::from_millis(10);
/// Runs that are timed; the first ones are slower.
const RUNS: usize = 3;
/// A model that takes longer for one picture is not used.
const RUN_MAX: Duration = Duration::from_secs(1);
/// More than any answer of the child, bytes.
const ANSWER_MAX: u64 = 64 * 1024;

/// Loads the network and runs it on a gray picture: the time of the fastest run. What the child does.
pub fn try_out(options: &Options) -> Result<Duration, Error> {
    run_on_gray(&mut load(options)?)
}

/// The time of the fastest run on a gray picture.
pub(super) fn run_on_gray(network: &mut Network) -> Result<Duration, Error> {
    let shape = network.description().input_shape();
    let input = Tensor { shape: shape.to_vec(), data: vec![0.0; shape.iter().product()] };
    let mut fastest = Duration::MAX;
    for _ in 0..RUNS {
        let stopwatch = Stopwatch::start();
        network.detect(&input, &mut Vec::new())?;
        fastest = fastest.min(stopwatch.used());
        if fastest > RUN_MAX {
            let reason =
                format!("model takes {:.1} s for one picture; use a smaller one", fastest.as_secs_f64());
            return Err(Error::new(Fault::TooSlow, reason));
        }
    }
    Ok(fastest)
}

/// Tries library and model in a child process.
pub fn probe(options: &Options) -> Result<Duration, Error> {
    let mut command = Command::new("/proc/self/exe");
    command.arg(SUBCOMMAND).arg(&options.model);
    if let Some(library) = &options.library {
        command.arg("--library").arg(library);
    }
    wait(command, WITHIN)
}

/// Runs the child and reads its answer.
pub(super) fn wait(mut command: Command, within: Duration) -> Result<Duration, Error> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| {
        Error::new(Fault::RunFailed, format!("the test run of the network did not start: {error}"))
    })?;
    let began = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if began.elapsed() < within => std::thread::sleep(EVERY),
            Ok(None) | Err(_) => {
                end(&mut child);
                let reason = format!(
                    "ONNX Runtime or the model did not finish a test run within {} s; use a smaller model or another library",
                    within.as_secs()
                );
                return Err(Error::new(Fault::TooSlow, reason));
            }
        }
    };
    let mut answer = String::new();
    if let Some(out) = child.stdout.take() {
        // What can't be read is no answer.
        let _ = out.take(ANSWER_MAX).read_to_string(&mut answer);
    }
    let answer = answer.lines().last().unwrap_or_default();
    if let Ok(answer) = serde_json::from_str::<Result<f64, Error>>(answer) {
        return answer.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default());
    }
    let how = status.signal().map_or_else(|| status.to_string(), |signal| format!("signal {signal}"));
    let reason = format!(
        "ONNX Runtime or the model crashed in a test run ({how}); use a library that was built for this processor"
    );
    Err(Error::new(Fault::Crashed, reason))
}

fn end(child: &mut Child) {
    // It may have ended by itself in the meantime.
    let _ = child.kill();
    let _ = child.wait();
}
