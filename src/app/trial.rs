//! A configuration with other links is in force on trial: until the link by which commands come is up.
//!
//! Whoever sends a camera a configuration that cuts it off from its broker could never send it another one. So
//! what was in force before is kept for a while; when the new link has not connected by then, it is in force
//! again, links and all. The file is its writer's and stays as it is: the next reload tries again.
//!
//! Pure but for what it is told: links as they show themselves, and `now`.

use std::time::{Duration, Instant};

use crate::config::Loaded;
use crate::link;
use crate::state::NamedStatus;

/// A link that leaves still shows itself for a moment.
const SETTLING: Duration = Duration::from_secs(3);

/// What came of it so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nobody can say yet.
    Open,
    /// The new link is up.
    Passed,
    /// It did not come up in time.
    Failed,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Trial {
    before: Box<Loaded>,
    began: Instant,
    lasts: Duration,
}

impl Trial {
    /// Begins now; `before` was in force.
    pub(super) fn begin(before: Loaded, lasts: Duration, now: Instant) -> Self {
        Self { before: Box::new(before), began: now, lasts }
    }

    /// A further change while it lasts: what was in force before the first one is what is known to work.
    pub(super) fn prolong(&mut self, now: Instant) {
        self.began = now;
    }

    /// What the link `by` shows of itself.
    pub(super) fn judge(&self, by: &str, links: &[NamedStatus], now: Instant) -> Verdict {
        let lasted = now.duration_since(self.began);
        let up = links.iter().any(|(name, link)| **name == *by && link.state == link::State::Connected);
        if lasted < SETTLING {
            Verdict::Open
        } else if up {
            Verdict::Passed
        } else if lasted >= self.lasts {
            Verdict::Failed
        } else {
            Verdict::Open
        }
    }

    /// What was in force before.
    pub(super) fn into_before(self) -> Loaded {
        *self.before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{Client, LinkHandle, Options, spawn};

    #[tokio::test]
    async fn a_link_that_does_not_come_up_fails_the_trial_when_it_is_over_and_not_before() {
        // Nobody listens on port 1.
        let options = Options { host: "127.0.0.1".to_owned(), port: 1, ..Options::default() };
        let client = Client { id: "a".to_owned(), ..Client::default() };
        let clock = std::sync::Arc::new(crate::base::SystemClock::new());
        let (link, _deliveries): (LinkHandle, _) = spawn(&options, client, clock).unwrap();
        let mut status = link.status().borrow().clone();
        let links = |status: &link::Status| vec![("main".into(), status.clone())];
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[camera]\nid = 'a'\n[capture]\nkind = 'synthetic'\n").unwrap();
        let loaded = crate::config::load(Some(file.path()), std::iter::empty()).unwrap();
        let began = Instant::now();
        let trial = Trial::begin(loaded, Duration::from_secs(30), began);
        let at = |s: u64| began + Duration::from_secs(s);
        assert_eq!(trial.judge("main", &links(&status), at(29)), Verdict::Open);
        assert_eq!(trial.judge("main", &links(&status), at(30)), Verdict::Failed);
        status.state = link::State::Connected;
        // It may be the former link that still shows itself.
        assert_eq!(trial.judge("main", &links(&status), at(2)), Verdict::Open);
        assert_eq!(trial.judge("main", &links(&status), at(3)), Verdict::Passed);
        assert_eq!(trial.judge("other", &links(&status), at(3)), Verdict::Open);
    }
}
