//! Who said a message: Ed25519 signatures (RFC 8032) that travel beside it.
//!
//! The signature is an MQTT 5 user property, so the payload stays what reference readers expect and costs
//! them nothing. Signed are the topic, the time and the payload, behind a word that keeps a signature of ours
//! from meaning anything elsewhere. Topic and time are part of it so that a message can't be sent again
//! elsewhere or later.
//!
//! `ring` makes and checks them, and not `ed25519-dalek`: it is in the program already for TLS, it is one
//! implementation to keep up to date, and it cross-builds. Signing is deterministic, so this is still pure;
//! only making a key needs randomness, and that happens elsewhere.
//!
//! ```text
//! property   omnisight-signature: 1 MILLISECONDS BASE64(64 bytes)
//! key        ed25519:BASE64(32 bytes)
//! rotated    ed25519:NEW ed25519:OLD BASE64(signature of the new key by the old one)
//! ```

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::base::ErrorKind;
use crate::model::CameraId;

/// The name of the user property.
pub const PROPERTY: &str = "omnisight-signature";
/// What every signed text begins with: of a message, and of a key by its predecessor.
const MESSAGE: &[u8] = b"omnisight swarm message 1\0";
const ROTATION: &[u8] = b"omnisight swarm key 1\0";

/// A camera's public key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// A signature and the time it was made, milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// When the message was signed.
    pub at_ms: u64,
    bytes: [u8; 64],
}

/// A key as a camera announces it, with the word of the key before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcement {
    /// The key that signs.
    pub key: PublicKey,
    previous: Option<(PublicKey, [u8; 64])>,
}

/// A key that can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not PKCS#8 of an Ed25519 key.
    #[error("is no Ed25519 key in PKCS#8")]
    NotAKey,
}

impl KeyError {
    /// Always what lies in the state folder.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::BadInput
    }
}

/// This camera's key.
#[derive(Clone)]
pub struct Signer {
    pair: Arc<Ed25519KeyPair>,
    announcement: Announcement,
}

impl Signer {
    /// Takes this camera's key, and the one before it if it was changed (both PKCS#8).
    pub fn new(camera: &CameraId, key: &[u8], previous: Option<&[u8]>) -> Result<Self, KeyError> {
        let read = |pkcs8| Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| KeyError::NotAKey);
        let pair = read(key)?;
        let public = public(&pair)?;
        let previous = match previous {
            Some(previous) => {
                let previous = read(previous)?;
                let word =
                    bytes(previous.sign(&rotation(camera, public)).as_ref()).ok_or(KeyError::NotAKey)?;
                Some((self::public(&previous)?, word))
            }
            None => None,
        };
        Ok(Self { pair: Arc::new(pair), announcement: Announcement { key: public, previous } })
    }

    /// The key as the presence message tells it.
    pub fn announcement(&self) -> String {
        self.announcement.to_string()
    }

    /// The value of the user property of a message that is signed now.
    pub fn sign(&self, topic: &str, at_ms: u64, payload: &[u8]) -> String {
        let signature = self.pair.sign(&signed_text(topic, at_ms, payload));
        format!("1 {at_ms} {}", STANDARD_NO_PAD.encode(signature))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.announcement.key)
    }
}

impl PublicKey {
    /// Reads `ed25519:BASE64`.
    pub fn parse(text: &str) -> Option<Self> {
        decoded(text.strip_prefix("ed25519:")?).map(Self)
    }

    /// Whether the owner of this key signed the message.
    pub fn verifies(&self, signature: &Signature, topic: &str, payload: &[u8]) -> bool {
        self.has_signed(&signed_text(topic, signature.at_ms, payload), &signature.bytes)
    }

    fn has_signed(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(text, signature).is_ok()
    }
}

impl Signature {
    /// Reads the value of the user property.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let (version, at_ms, bytes) = (parts.next()?, parts.next()?, parts.next()?);
        if version != "1" || parts.next().is_some() {
            return None;
        }
        Some(Self { at_ms: at_ms.parse().ok()?, bytes: decoded(bytes)? })
    }
}

impl Announcement {
    /// Reads what a presence message tells.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let key = PublicKey::parse(parts.next()?)?;
        let previous = match (parts.next(), parts.next(), parts.next()) {
            (None, ..) => None,
            (Some(previous), Some(word), None) => Some((PublicKey::parse(previous)?, decoded(word)?)),
            _ => return None,
        };
        Some(Self { key, previous })
    }

    /// Whether the owner of this older key has handed over to the announced one.
    pub fn is_handed_over_by(&self, camera: &CameraId, older: PublicKey) -> bool {
        self.previous
            .is_some_and(|(key, word)| key == older && older.has_signed(&rotation(camera, self.key), &word))
    }
}

fn signed_text(topic: &str, at_ms: u64, payload: &[u8]) -> Vec<u8> {
    // A topic holds no zero byte (MQTT 5, 4.7.3), so the parts can't be shifted into each other.
    [MESSAGE, topic.as_bytes(), &[0], &at_ms.to_be_bytes(), payload].concat()
}

fn rotation(camera: &CameraId, new: PublicKey) -> Vec<u8> {
    [ROTATION, camera.as_str().as_bytes(), &[0], &new.0].concat()
}

fn public(pair: &Ed25519KeyPair) -> Result<PublicKey, KeyError> {
    bytes(pair.public_key().as_ref()).map(PublicKey).ok_or(KeyError::NotAKey)
}

fn bytes<const N: usize>(slice: &[u8]) -> Option<[u8; N]> {
    slice.try_into().ok()
}

fn decoded<const N: usize>(text: &str) -> Option<[u8; N]> {
    bytes(&STANDARD_NO_PAD.decode(text).ok()?)
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ed25519:{}", STANDARD_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key)?;
        match &self.previous {
            Some((key, word)) => write!(f, " {key} {}", STANDARD_NO_PAD.encode(word)),
            None => Ok(()),
        }
    }
}
