//! Who may connect, and do what: users of the configuration, a password file, an access list.
//!
//! Passwords of the configuration are compared in constant time. There is no lockout after wrong ones:
//! cameras share addresses and user names, and one with a stale password would shut its neighbours out.

use std::future::{Future, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};

use mqtt5::broker::{AuthProvider, AuthResult};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;

use super::Options;
use super::acl::{Acl, Client};
use super::passwords::{Passwords, same};
use crate::base::Secret;

/// See the module. What it goes by can be replaced while clients are connected: it counts for the next
/// CONNECT, SUBSCRIBE and PUBLISH.
pub(super) struct Access {
    rules: RwLock<Arc<Rules>>,
}

struct Rules {
    users: Vec<(String, Secret)>,
    passwords: Passwords,
    acl: Option<Acl>,
    allow_anonymous: bool,
}

impl Rules {
    fn of(options: &Options) -> Arc<Self> {
        Arc::new(Self {
            users: options.users.clone(),
            passwords: options.passwords.clone(),
            acl: options.acl.clone(),
            allow_anonymous: options.allow_anonymous,
        })
    }
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Access {
    pub(super) fn new(options: &Options) -> Self {
        Self { rules: RwLock::new(Rules::of(options)) }
    }

    pub(super) fn replace(&self, options: &Options) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Rules::of(options);
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Rules {
    async fn admit(self: Arc<Self>, connect: &ConnectPacket) -> AuthResult {
        let Some(username) = &connect.username else {
            return if self.allow_anonymous {
                AuthResult::success()
            } else {
                AuthResult::fail_with_reason(ReasonCode::NotAuthorized, "anonymous clients are not allowed")
            };
        };
        let password = connect.password.as_deref().unwrap_or_default();
        let known = |(name, secret): &(String, Secret)| {
            name == username && same(secret.reveal().as_bytes(), password)
        };
        if self.users.iter().any(known) || self.hashed(username, password).await {
            AuthResult::success_with_user(username.clone())
        } else {
            AuthResult::fail(ReasonCode::BadUsernameOrPassword)
        }
    }

    async fn hashed(self: &Arc<Self>, username: &str, password: &[u8]) -> bool {
        if !self.passwords.knows(username) {
            return false;
        }
        // Hashing is work that would hold up other connections.
        let rules = Arc::clone(self);
        let (username, password) = (username.to_owned(), password.to_vec());
        let admitted = tokio::task::spawn_blocking(move || rules.passwords.admit(&username, &password)).await;
        admitted.unwrap_or(false)
    }
}

impl AuthProvider for Access {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        _client_addr: SocketAddr,
    ) -> Answer<'a, mqtt5::Result<AuthResult>> {
        Box::pin(async move { Ok(self.rules().admit(connect).await) })
    }

    fn authorize_publish<'a>(&'a self, id: &str, user: Option<&'a str>, topic: &'a str) -> Answer<'a, bool> {
        let may = self.rules().acl.as_ref().is_none_or(|acl| acl.may_publish(Client { user, id }, topic));
        Box::pin(ready(may))
    }

    fn authorize_subscribe<'a>(
        &'a self,
        id: &str,
        user: Option<&'a str>,
        filter: &'a str,
    ) -> Answer<'a, bool> {
        let may = self.rules().acl.as_ref().is_none_or(|acl| acl.may_subscribe(Client { user, id }, filter));
        Box::pin(ready(may))
    }
}
