//! The topics of the control and data plane.

use crate::model::CameraId;

use super::Door;

/// The first level when nothing else is set.
pub const PREFIX: &str = "inference";
/// Longest topic that a reply is sent to, bytes.
const RESPONSE_TOPIC_BYTES_MAX: usize = 512;

/// The topics of one camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    prefix: String,
    camera: CameraId,
}

impl Topics {
    /// Under this prefix, which is a topic without wildcards and slashes at its ends.
    pub fn new(prefix: impl Into<String>, camera: CameraId) -> Self {
        Self { prefix: prefix.into(), camera }
    }

    /// Whose they are.
    pub fn camera(&self) -> &CameraId {
        &self.camera
    }

    /// The client id of the control connection.
    pub fn client_id(&self) -> String {
        format!("{}-control", self.camera)
    }

    /// The client id of the connection for the shared status.
    pub fn shared_client_id(&self) -> String {
        format!("{}-shared", self.camera)
    }

    /// Commands for all cameras.
    pub fn shared_commands(&self) -> String {
        format!("{}/control/commands", self.prefix)
    }

    /// Commands for this camera.
    pub fn own_commands(&self) -> String {
        format!("{}/{}/control/commands", self.prefix, self.camera)
    }

    /// The status that belongs to whoever wrote last.
    pub fn shared_status(&self) -> String {
        format!("{}/control/status", self.prefix)
    }

    /// The status of this camera.
    pub fn own_status(&self) -> String {
        format!("{}/{}/control/status", self.prefix, self.camera)
    }

    /// Replies of this camera.
    pub fn replies(&self) -> String {
        format!("{}/{}/control/replies", self.prefix, self.camera)
    }

    /// Audit lines of this camera.
    pub fn audit(&self) -> String {
        format!("{}/{}/control/audit", self.prefix, self.camera)
    }

    /// A data topic of all cameras.
    pub fn shared_data(&self, name: &str) -> String {
        format!("{}/data/{name}", self.prefix)
    }

    /// A data topic of this camera.
    pub fn own_data(&self, name: &str) -> String {
        format!("{}/{}/data/{name}", self.prefix, self.camera)
    }

    /// Which door a command on this topic comes through.
    pub fn door(&self, topic: &str) -> Option<Door> {
        if topic == self.own_commands() {
            Some(Door::Own)
        } else if topic == self.shared_commands() {
            Some(Door::Shared)
        } else {
            None
        }
    }

    /// Whether a reply may be sent where the sender asks for it.
    ///
    /// Not to a topic that cameras or servers read or keep (`in_use` are their prefixes): somebody who may
    /// only send commands here could otherwise make this camera say there what they may not say. Below
    /// `{prefix}/replies/` anything is free.
    pub fn may_respond(&self, topic: &str, in_use: &[String]) -> bool {
        let under = |prefix: &str| topic.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
        let is_topic = (1..=RESPONSE_TOPIC_BYTES_MAX).contains(&topic.len())
            && !topic.contains(['+', '#', '\0'])
            && !topic.starts_with('$');
        let free = under(&format!("{}/replies", self.prefix));
        is_topic && (free || !(under(&self.prefix) || in_use.iter().any(|prefix| under(prefix))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_goes_nowhere_where_it_would_be_taken_for_something_else() {
        let topics = Topics::new(PREFIX, CameraId::parse("gate").unwrap());
        let in_use = ["omnisight/swarm".to_owned(), "lprserver".to_owned()];
        for topic in ["me/answers", "inference/replies/me", "lprserver2/x", "inference2"] {
            assert!(topics.may_respond(topic, &in_use), "{topic}");
        }
        let long = "x".repeat(600);
        for topic in [
            "",
            "a/+",
            "#",
            "$SYS/x",
            "inference/control/commands",
            "inference/yard/control/status",
            "lprserver/cameras/yard/control",
            "omnisight/swarm/events/a/1",
            &long,
        ] {
            assert!(!topics.may_respond(topic, &in_use), "{topic}");
        }
    }
}
