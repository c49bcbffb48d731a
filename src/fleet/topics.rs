//! The topics of the fleet server, on the camera's side.

use crate::model::Qos;

/// The first level when nothing else is set.
pub const PREFIX: &str = "lprserver";

/// Where a message comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inlet {
    Ack,
    HealthRequest,
    /// The camera's own retained configuration, which others may write to as well.
    Config,
    ConfigUpdate,
    ConfigRequest,
    Control,
    SystemControl,
    Watchlist,
}

/// The topics of one camera.
#[derive(Debug, Clone)]
pub(super) struct Topics {
    prefix: String,
    camera: String,
    checkpoint: String,
}

impl Topics {
    pub(super) fn new(prefix: &str, camera: &str, checkpoint: &str) -> Self {
        Self { prefix: prefix.to_owned(), camera: camera.to_owned(), checkpoint: checkpoint.to_owned() }
    }

    fn own(&self, name: &str) -> String {
        format!("{}/cameras/{}/{name}", self.prefix, self.camera)
    }

    fn common(&self, name: &str) -> String {
        format!("{}/{name}", self.prefix)
    }

    pub(super) fn detection(&self) -> String {
        self.own("detection")
    }

    pub(super) fn health(&self) -> String {
        self.own("health")
    }

    pub(super) fn config(&self) -> String {
        self.own("config")
    }

    pub(super) fn response(&self) -> String {
        self.own("control/response")
    }

    pub(super) fn alerts(&self) -> String {
        self.common("system/alerts")
    }

    pub(super) fn watchlist_request(&self) -> String {
        self.common("blacklist/request")
    }

    pub(super) fn watchlist_notifications(&self) -> String {
        self.common("blacklist/notifications")
    }

    pub(super) fn checkpoint(&self, name: &str) -> String {
        format!("{}/checkpoints/{}/{name}", self.prefix, self.checkpoint)
    }

    fn inlets(&self) -> [(String, Qos, Inlet); 8] {
        use Qos::{AtLeastOnce, ExactlyOnce};
        [
            (self.own("detection/ack"), AtLeastOnce, Inlet::Ack),
            (self.own("health/request"), AtLeastOnce, Inlet::HealthRequest),
            (self.config(), ExactlyOnce, Inlet::Config),
            (self.own("config/update"), ExactlyOnce, Inlet::ConfigUpdate),
            (self.own("config/request"), AtLeastOnce, Inlet::ConfigRequest),
            (self.own("control"), ExactlyOnce, Inlet::Control),
            (self.common("system/control"), ExactlyOnce, Inlet::SystemControl),
            (self.common("blacklist/updates"), AtLeastOnce, Inlet::Watchlist),
        ]
    }

    /// What the connection asks for.
    pub(super) fn subscriptions(&self) -> Vec<(String, Qos)> {
        self.inlets().map(|(topic, qos, _)| (topic, qos)).into()
    }

    /// Where a message on this topic comes in.
    pub(super) fn inlet(&self, topic: &str) -> Option<Inlet> {
        self.inlets().into_iter().find(|(own, ..)| own == topic).map(|(.., inlet)| inlet)
    }
}
