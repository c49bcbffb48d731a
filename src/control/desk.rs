//! Where every command is judged and answered, whatever surface it came through.
//!
//! In this order: rate limit of its door, what it says, expiry, whether it was seen before, permission,
//! whether there is room. The first reason against it is its answer. What passes is handed to whoever does
//! it under a ticket; the outcome comes back under the same ticket and becomes the last reply. Each command
//! leaves one [`Audit`] line when it is over.
//!
//! Bounds: [`RUNNING_MAX`] commands at once, the memory of `repeats`, one limit a door. Nothing here knows
//! MQTT: a surface makes the [`Asker`] and turns the replies for it into messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::rate::RateLimit;
use super::repeats::{Repeats, Seen};
use super::reply::{Outcome, Reply, ReplyState};
use super::request::{Request, Unread};
use super::{Command, Door, Permissions, Rejection, Word};
use crate::base::Time;

/// Most commands that are being done at once.
pub const RUNNING_MAX: usize = 32;

/// Who may, and how often.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Which commands are done from which door.
    pub allow: Permissions,
    /// Commands a second through one door, 1 to 1,000.
    pub rate_per_s: u32,
    /// Pictures may leave this camera.
    pub frames_allowed: bool,
}

impl Default for Options {
    /// Everything from everywhere, 20 a second, no pictures.
    fn default() -> Self {
        Self { allow: Permissions::default(), rate_per_s: 20, frames_allowed: false }
    }
}

/// Who asks, as far as MQTT tells, and where the answer goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// Where the command came in.
    pub door: Door,
    /// The broker link that brought it.
    pub link: Arc<str>,
    /// Where the sender wants its answer.
    pub response_topic: Option<String>,
    /// What the answer must carry.
    pub correlation_data: Option<Bytes>,
}

/// Names a command while it is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// One line of the audit.
#[derive(Debug, Clone, PartialEq)]
pub struct Audit {
    /// Who asked.
    pub asker: Asker,
    /// The answer, which says what and how it ended.
    pub reply: Reply,
}

/// What the desk asks for, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Tell the asker.
    Reply(Asker, Reply),
    /// The memory of ids changed in a way that must survive a restart.
    Save,
    /// Do it, and report under the ticket.
    Execute(Ticket, Command),
    /// A command is over.
    Audit(Audit),
}

/// What was counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Commands that were handed on to be done.
    pub executed: u64,
    /// Commands that were answered with a rejection.
    pub rejected: u64,
    /// Commands that were seen before.
    pub repeated: u64,
    /// Commands over the rate limit.
    pub rate_limited: u64,
    /// Messages with more bytes than are read.
    pub too_large: u64,
    /// Commands for other cameras.
    pub for_another: u64,
}

#[derive(Debug)]
struct Running {
    asker: Asker,
    id: Option<String>,
    word: Word,
}

/// The desk.
#[derive(Debug)]
pub struct Desk {
    options: Options,
    limits: BTreeMap<Door, RateLimit>,
    repeats: Repeats,
    running: BTreeMap<Ticket, Running>,
    /// The last one through each door that was limited: the answer goes to it.
    limited: BTreeMap<Door, Asker>,
    next_ticket: u64,
    stopping: bool,
    counters: Counters,
}

impl Desk {
    /// A desk that remembers these ids.
    pub fn new(options: Options, repeats: Repeats) -> Self {
        let limits = Door::ALL.map(|door| (door, RateLimit::new(f64::from(options.rate_per_s.max(1)))));
        Self {
            options,
            limits: limits.into(),
            repeats,
            running: BTreeMap::new(),
            limited: BTreeMap::new(),
            next_ticket: 0,
            stopping: false,
            counters: Counters::default(),
        }
    }

    /// Other limits from now on.
    pub fn set_options(&mut self, options: Options) {
        if options.rate_per_s != self.options.rate_per_s {
            let per_s = f64::from(options.rate_per_s.max(1));
            self.limits = Door::ALL.map(|door| (door, RateLimit::new(per_s))).into();
        }
        self.options = options;
    }

    /// Whether one more message may be read through this door; the answer to a row of those that may not
    /// is given by the desk.
    pub fn admit(&mut self, asker: &Asker, now: Time, actions: &mut Vec<Action>) -> bool {
        let admitted = self.limits.get_mut(&asker.door).is_none_or(|limit| limit.take(now));
        if !admitted {
            self.counters.rate_limited += 1;
            self.limited.insert(asker.door, asker.clone());
            self.tell_limits(now, actions);
        }
        admitted
    }

    /// A command, or what came instead of one.
    pub fn submit(
        &mut self,
        read: Result<Request, Unread>,
        asker: Asker,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        let request = match read {
            Ok(request) => request,
            Err(Unread::TooLarge) => {
                self.counters.too_large += 1;
                return;
            }
            Err(Unread::ForAnother) => {
                self.counters.for_another += 1;
                return;
            }
            Err(Unread::Rejected { id, word, rejection }) => {
                return self.reject(id, word, &rejection, asker, actions);
            }
        };
        match self.judge(&request, asker.door, now) {
            Ok(None) => self.execute(request, asker, now, actions),
            Ok(Some(before)) => {
                self.counters.repeated += 1;
                actions.push(Action::Reply(asker, *before));
            }
            Err(rejection) => {
                let word = request.command.word().as_str().to_owned();
                self.reject(request.id, Some(word), &rejection, asker, actions);
            }
        }
    }

    /// What speaks against a command; nothing and a reply when it was done before.
    fn judge(&mut self, request: &Request, door: Door, now: Time) -> Result<Option<Box<Reply>>, Rejection> {
        let word = request.command.word();
        match request.expires_ms {
            Some(expires_ms) if expires_ms <= now.epoch_ms => {
                return Err(Rejection::Expired { expires_ms, now_ms: now.epoch_ms });
            }
            _ => {}
        }
        match self.repeats.seen(request, now) {
            Seen::Before(reply) => return Ok(Some(reply)),
            Seen::Otherwise => return Err(Rejection::IdReused),
            Seen::New => {}
        }
        self.options.allow.check(door, word)?;
        if word == Word::Snapshot && !self.options.frames_allowed {
            return Err(Rejection::FramesNotAllowed);
        }
        if self.stopping && !word.only_asks() {
            return Err(Rejection::Stopping);
        }
        if self.running.len() >= RUNNING_MAX {
            return Err(Rejection::Busy(self.running.len()));
        }
        Ok(None)
    }

    fn execute(&mut self, request: Request, asker: Asker, now: Time, actions: &mut Vec<Action>) {
        self.counters.executed += 1;
        self.repeats.begin(&request, now);
        let word = request.command.word();
        if request.id.is_some() && !word.only_asks() {
            actions.push(Action::Save);
        }
        if word.is_long() {
            let accepted = Reply::running(request.id.clone(), word.as_str(), ReplyState::Accepted, 0);
            actions.push(Action::Reply(asker.clone(), accepted));
        }
        self.stopping |= word.ends_the_process();
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.running.insert(ticket, Running { asker, id: request.id, word });
        actions.push(Action::Execute(ticket, request.command));
    }

    fn reject(
        &mut self,
        id: Option<String>,
        word: Option<String>,
        rejection: &Rejection,
        asker: Asker,
        actions: &mut Vec<Action>,
    ) {
        self.counters.rejected += 1;
        let reply = Reply::rejected(id, word, rejection);
        actions.push(Action::Reply(asker.clone(), reply.clone()));
        actions.push(Action::Audit(Audit { asker, reply }));
    }

    /// A command is under way; ignored when it is over.
    pub fn progress(&mut self, ticket: Ticket, per_cent: u8, actions: &mut Vec<Action>) {
        let Some(running) = self.running.get(&ticket) else { return };
        let reply = Reply::running(running.id.clone(), running.word.as_str(), ReplyState::Running, per_cent);
        self.repeats.note(&reply);
        actions.push(Action::Reply(running.asker.clone(), reply));
    }

    /// A command is over; ignored when it was so before.
    pub fn finish(&mut self, ticket: Ticket, outcome: Outcome, actions: &mut Vec<Action>) {
        let Some(Running { asker, id, word }) = self.running.remove(&ticket) else { return };
        let is_kept = id.is_some() && !word.only_asks();
        let reply = Reply::last(id, word.as_str(), outcome);
        if reply.state != ReplyState::Done && word.ends_the_process() {
            self.stopping = false;
        }
        self.repeats.note(&reply);
        if is_kept {
            actions.push(Action::Save);
        }
        actions.push(Action::Reply(asker.clone(), reply.clone()));
        actions.push(Action::Audit(Audit { asker, reply }));
    }

    /// The process ends now: what asked for that was done, what else is being done was not.
    pub fn finish_all(&mut self, actions: &mut Vec<Action>) {
        self.stopping = true;
        let tickets: Vec<(Ticket, Word)> =
            self.running.iter().map(|(t, running)| (*t, running.word)).collect();
        for (ticket, word) in tickets {
            let outcome = if word.ends_the_process() {
                Outcome::OK
            } else {
                Outcome::failed("interrupted", "the camera stops")
            };
            self.finish(ticket, outcome, actions);
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.tell_limits(now, actions);
    }

    fn tell_limits(&mut self, now: Time, actions: &mut Vec<Action>) {
        for (door, limit) in &mut self.limits {
            let Some(asker) = self.limited.get(door) else { continue };
            let Some(count) = limit.to_tell(now) else { continue };
            let rejection = Rejection::RateLimited { count, per_s: self.options.rate_per_s };
            let reply = Reply::rejected(None, None, &rejection);
            actions.push(Action::Reply(asker.clone(), reply.clone()));
            actions.push(Action::Audit(Audit { asker: asker.clone(), reply }));
        }
    }

    /// The ids that are remembered.
    pub fn repeats(&self) -> &Repeats {
        &self.repeats
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}
