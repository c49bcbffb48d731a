//! `omnisight send`: gives a command to one camera or to all, and tells how it went.
//!
//! Each reply is a line of JSON on standard output. Exit code 0: done (by all that answered); 1: failed or
//! rejected; 64: nothing that can be sent; 69: nobody answered in time, or there is no broker.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};

use super::observer::{self, Observer, ObserverArguments};
use super::{Error, log, runtime, say};
use crate::control::{Reply, ReplyState, Topics};
use crate::model::{CameraId, Envelope, MessageClass, Qos};

/// How long one camera may take.
const ONE_WITHIN: Duration = Duration::from_secs(10);
/// How long all of them are listened to.
const ALL_WITHIN: Duration = Duration::from_secs(3);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The command: pause, resume, stop, restart, status, metrics, health, `toggle_crop`,
    /// `stabilization_stats`, snapshot, reload or set.
    command: String,
    /// Its parameters, such as `tracker.iou_min=0.25`; a value is JSON, or a text when it is none.
    #[arg(value_name = "KEY=VALUE")]
    parameters: Vec<String>,
    /// Which camera; without it, all of them.
    #[arg(long, value_name = "ID")]
    camera: Option<String>,
    /// How long to wait for replies (10s for one camera, 3s for all).
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    within: Option<Duration>,
    #[command(flatten)]
    observer: ObserverArguments,
}

pub(super) fn run(arguments: &Arguments, log: &log::Arguments) -> Result<(), Error> {
    log.start("warn");
    let camera = arguments.camera.as_deref().map(CameraId::parse).transpose();
    let camera = camera.map_err(|error| Error::Usage(format!("--camera: a camera id {error}")))?;
    let parameters = parameters(&arguments.parameters)?;
    let runtime = runtime()?;
    let done = runtime.block_on(send(arguments, camera, parameters));
    runtime.shutdown_background();
    done
}

fn parameters(texts: &[String]) -> Result<Map<String, Value>, Error> {
    let pair = |text: &String| {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| Error::Usage(format!("{text:?} is no parameter; use KEY=VALUE")))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        Ok((key.to_owned(), value))
    };
    texts.iter().map(pair).collect()
}

async fn send(
    arguments: &Arguments,
    camera: Option<CameraId>,
    parameters: Map<String, Value>,
) -> Result<(), Error> {
    let prefix = &arguments.observer.prefix;
    // Of an unknown camera only the shared topics are used.
    let (commands, replies) = match &camera {
        Some(camera) => {
            let topics = Topics::new(prefix.as_str(), camera.clone());
            (topics.own_commands(), topics.replies())
        }
        None => (format!("{prefix}/control/commands"), format!("{prefix}/+/control/replies")),
    };
    let mut observer = Observer::start(&arguments.observer, "send", &[(replies, Qos::AtLeastOnce)])?;
    let id = observer::unique();
    let mut command = Map::from_iter([
        ("command".to_owned(), Value::from(arguments.command.as_str())),
        ("id".to_owned(), Value::from(id.as_str())),
    ]);
    if !parameters.is_empty() {
        command.insert("parameters".to_owned(), Value::Object(parameters));
    }
    // The subscription is asked for before anything is sent, on the same connection.
    let payload = Value::Object(command).to_string();
    observer.send(Envelope::new(MessageClass::Reply, commands, payload));
    let usual = if camera.is_some() { ONE_WITHIN } else { ALL_WITHIN };
    let deadline = Instant::now() + arguments.within.unwrap_or(usual);
    let (mut answered, mut worst) = (false, None);
    while let Ok(Some(delivery)) = timeout_at(deadline, observer.next()).await {
        let Some(reply) =
            Reply::from_json(&delivery.payload).filter(|reply| reply.id.as_deref() == Some(&id))
        else {
            continue;
        };
        say(&String::from_utf8_lossy(&delivery.payload))?;
        if !reply.state.is_last() {
            continue;
        }
        answered = true;
        if reply.state != ReplyState::Done {
            worst = Some(reply);
        }
        if camera.is_some() {
            break;
        }
    }
    let outcome = match (answered, worst) {
        (true, None) => Ok(()),
        (true, Some(reply)) => Err(Error::NotDone(reply.detail.or(reply.error).unwrap_or_default())),
        (false, _) => Err(observer.nobody()),
    };
    observer.close().await;
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json_or_else_text() {
        let texts = ["a.b=0.25", "c=on", "d=true", "e=\"1\"", "f=x=y"].map(str::to_owned);
        let read = serde_json::to_string(&parameters(&texts).unwrap()).unwrap();
        assert_eq!(read, r#"{"a.b":0.25,"c":"on","d":true,"e":"1","f":"x=y"}"#);
        assert!(parameters(&["novalue".to_owned()]).is_err());
    }
}
