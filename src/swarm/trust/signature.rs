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
//! A message on its own is signed itself (version 1). The tracks of one scene are signed together (version 2):
//! the signature is that of the root of a tree over them, and each carries its place and its path ([`batch`]).
//! Both versions are read.
//!
//! ```text
//! property   omnisight-signature: 1 MILLISECONDS BASE64(64 bytes)
//!            omnisight-signature: 2 MILLISECONDS BASE64(64 bytes) INDEX COUNT BASE64(path, 16 bytes per node)
//! signed     1: "omnisight swarm message 1" 0x00 topic 0x00 milliseconds payload
//!            2: "omnisight swarm batch 2" 0x00 milliseconds (u64) count (u32, both big-endian) root
//! key        ed25519:BASE64(32 bytes)
//! rotated    ed25519:NEW ed25519:OLD BASE64(signature of the new key by the old one)
//! ```

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use super::batch::{self, BATCH_MAX, DEPTH_MAX, NODE_BYTES, Node, Path, Tree};
use crate::base::ErrorKind;
use crate::model::CameraId;

/// The name of the user property.
pub const PROPERTY: &str = "omnisight-signature";
/// What every signed text begins with: of a message, of a batch, and of a key by its predecessor.
const MESSAGE: &[u8] = b"omnisight swarm message 1\0";
const BATCH: &[u8] = b"omnisight swarm batch 2\0";
const ROTATION: &[u8] = b"omnisight swarm key 1\0";

/// Bytes of the longest property value that is read: version 2 with the deepest path and 20 digits of time.
const VALUE_BYTES_MAX: usize = 2 + 21 + 87 + 5 + 5 + (DEPTH_MAX * NODE_BYTES).div_ceil(3) * 4;

/// A camera's public key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// A signature and the time it was made, milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// When the message was signed.
    pub at_ms: u64,
    bytes: [u8; 64],
    /// The place of the message in its batch; none of a message that is signed itself.
    path: Option<Path>,
}

/// A batch as its signature names it: a message with the same belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Root {
    at_ms: u64,
    count: u32,
    node: Node,
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

    /// The values of the user properties of messages (topic and payload of each) that are signed together now,
    /// in their order.
    pub fn sign_all(&self, at_ms: u64, messages: &[(&str, &[u8])]) -> Vec<String> {
        messages.chunks(BATCH_MAX).flat_map(|batch| self.sign_batch(at_ms, batch)).collect()
    }

    fn sign_batch(&self, at_ms: u64, messages: &[(&str, &[u8])]) -> Vec<String> {
        if let [(topic, payload)] = messages {
            return vec![self.sign(topic, at_ms, payload)];
        }
        let leaves = messages.iter().map(|(topic, payload)| batch::leaf(topic, at_ms, payload)).collect();
        let tree = Tree::new(leaves);
        let (Some(node), Ok(count)) = (tree.root(), u32::try_from(messages.len())) else { return Vec::new() };
        let signature = self.pair.sign(&Root { at_ms, count, node }.signed_text());
        let begin = format!("2 {at_ms} {}", STANDARD_NO_PAD.encode(signature));
        let value = |i| format!("{begin} {i} {count} {}", STANDARD_NO_PAD.encode(tree.path(i)));
        (0..messages.len()).map(value).collect()
    }
}

impl Root {
    fn signed_text(&self) -> Vec<u8> {
        [BATCH, &self.at_ms.to_be_bytes(), &self.count.to_be_bytes(), &self.node].concat()
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
        let text = match signature.root(topic, payload) {
            Some(root) => root.signed_text(),
            None => signed_text(topic, signature.at_ms, payload),
        };
        self.has_signed(&text, &signature.bytes)
    }

    /// Whether the owner of this key signed the batch with this root.
    pub(super) fn verifies_root(&self, signature: &Signature, root: &Root) -> bool {
        self.has_signed(&root.signed_text(), &signature.bytes)
    }

    fn has_signed(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(text, signature).is_ok()
    }
}

impl Signature {
    /// Reads the value of the user property.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > VALUE_BYTES_MAX {
            return None;
        }
        let mut parts = text.split(' ');
        let (version, at_ms, bytes) = (parts.next()?, parts.next()?, parts.next()?);
        let path = match (version, parts.next(), parts.next(), parts.next(), parts.next()) {
            ("1", None, ..) => None,
            ("2", Some(index), Some(count), Some(nodes), None) => {
                let nodes = STANDARD_NO_PAD.decode(nodes).ok()?;
                Some(Path::new(index.parse().ok()?, count.parse().ok()?, &nodes)?)
            }
            _ => return None,
        };
        Some(Self { at_ms: at_ms.parse().ok()?, bytes: decoded(bytes)?, path })
    }

    /// The batch that a message with this signature belongs to; none of a message that is signed itself.
    pub(super) fn root(&self, topic: &str, payload: &[u8]) -> Option<Root> {
        let path = self.path.as_ref()?;
        let node = path.root(batch::leaf(topic, self.at_ms, payload));
        Some(Root { at_ms: self.at_ms, count: path.count(), node })
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ring::rand::SystemRandom;

    use super::*;

    fn signer() -> (Signer, PublicKey) {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let signer = Signer::new(&CameraId::parse("a").unwrap(), pkcs8.as_ref(), None).unwrap();
        let key = signer.announcement.key;
        (signer, key)
    }

    fn messages() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
        let message = ("[a-z]{1,8}/[a-z0-9]{1,4}", proptest::collection::vec(any::<u8>(), 0..40));
        proptest::collection::vec(message, 1..70)
    }

    fn borrowed(messages: &[(String, Vec<u8>)]) -> Vec<(&str, &[u8])> {
        messages.iter().map(|(topic, payload)| (topic.as_str(), payload.as_slice())).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn messages_that_are_signed_together_verify_each_by_itself(
            messages in messages(), at_ms in any::<u64>(),
        ) {
            let (signer, key) = signer();
            let values = signer.sign_all(at_ms, &borrowed(&messages));
            prop_assert_eq!(values.len(), messages.len());
            for (value, (topic, payload)) in values.iter().zip(&messages) {
                prop_assert!(value.len() <= VALUE_BYTES_MAX);
                let signature = Signature::parse(value).unwrap();
                prop_assert_eq!(signature.at_ms, at_ms);
                prop_assert!(key.verifies(&signature, topic, payload));
            }
        }

        #[test]
        fn one_flipped_bit_of_a_batch_message_or_of_its_property_is_rejected(
            messages in messages(), at_ms in 0..1_u64 << 42, which in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(), bit in 0..7_u32, part in 0..3_u8,
        ) {
            let (signer, key) = signer();
            let i = which.index(messages.len());
            let mut value = signer.sign_all(at_ms, &borrowed(&messages)).swap_remove(i).into_bytes();
            let (topic, payload) = messages[i].clone();
            let (mut topic, mut payload) = (topic.into_bytes(), payload);
            let bytes = match part {
                0 => &mut value,
                1 => &mut topic,
                _ => &mut payload,
            };
            prop_assume!(!bytes.is_empty());
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let value = String::from_utf8(value).unwrap();
            let topic = String::from_utf8(topic).unwrap();
            let accepted = Signature::parse(&value).is_some_and(|s| key.verifies(&s, &topic, &payload));
            prop_assert!(!accepted, "{}", value);
        }

        #[test]
        fn no_text_in_the_place_of_a_property_makes_the_reader_fail(
            text in "[12] [0-9]{1,22} [A-Za-z0-9+/]{0,90} [0-9]{0,12} [0-9]{0,12} [A-Za-z0-9+/]{0,300}",
        ) {
            let (_, key) = signer();
            prop_assert!(!Signature::parse(&text).is_some_and(|s| key.verifies(&s, "t", b"p")));
        }
    }

    #[test]
    fn a_message_on_its_own_is_signed_as_version_1_and_several_as_version_2() {
        let (signer, _) = signer();
        let one: (&str, &[u8]) = ("t", b"p");
        assert_eq!(signer.sign_all(5, &[one]), [signer.sign("t", 5, b"p")]);
        assert!(signer.sign_all(5, &[one, one]).iter().all(|value| value.starts_with("2 5 ")));
        assert!(signer.sign_all(5, &[]).is_empty());
    }
}
