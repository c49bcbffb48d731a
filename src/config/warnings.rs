//! What is allowed and may not work: told by `check`, beside the effective configuration.

use super::Loaded;

impl Loaded {
    /// One sentence for each thing that may not work.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        // In the camera's own broker a dot is a character like any other.
        if self.config.links.is_empty() || self.config.broker.is_some() {
            return warnings;
        }
        let prefix = |key: &str, prefix: &str| (format!("{key} = {prefix:?}"), prefix.contains('.'));
        let id = self.config.camera.id.as_str();
        let named = [
            prefix("camera.id", id),
            prefix("swarm.prefix", &self.raw.swarm.prefix),
            prefix("control.prefix", &self.raw.control.prefix),
            prefix("fleet.prefix", &self.raw.fleet.prefix),
        ];
        for (key, _) in named.iter().filter(|(_, dotted)| *dotted) {
            warnings.push(format!(
                "{key} has a dot: RabbitMQ takes a dot in a topic for a level separator, so the messages do not \
                 arrive, and NATS closes the connection; use - or _ there"
            ));
        }
        warnings
    }
}
