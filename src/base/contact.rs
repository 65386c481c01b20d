//! Who a servent is and where it can be reached.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use super::base32;

/// A servent's identity: its 32-byte Ed25519 public key.
///
/// Shown as 52 lower-case base32 characters (RFC 4648, no padding); the short form
/// is the first [`ServentId::SHORT_LEN`]. TLS proves it on every connection, so it
/// cannot be borrowed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct ServentId(pub [u8; 32]);

impl ServentId {
    /// Characters of the full text form.
    pub const TEXT_LEN: usize = base32::TEXT_LEN;
    /// Characters of the short form: 40 bits, enough to tell neighbours apart by eye.
    pub const SHORT_LEN: usize = 8;

    /// The first eight characters, for people.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(Self::SHORT_LEN);
        text
    }
}

impl fmt::Display for ServentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&base32::encode(&self.0))
    }
}

impl serde::Serialize for ServentId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for ServentId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for ServentId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ServentId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "The public key of a servent, in base32.",
            "type": "string",
            "pattern": "^[a-z2-7]{52}$"
        })
    }
}

impl fmt::Debug for ServentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServentId({})", self.short())
    }
}

/// Why a text is not a servent id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a servent id is 52 characters of a-z and 2-7")]
pub struct ServentIdError;

impl FromStr for ServentId {
    type Err = ServentIdError;

    fn from_str(text: &str) -> Result<Self, ServentIdError> {
        base32::decode(text).map(Self).ok_or(ServentIdError)
    }
}

/// Where a servent can be dialled: its id and one to eight addresses, best first.
///
/// The addresses are claims until a dial proves them; the id is checked by TLS,
/// so trying them is safe.
#[derive(Clone, PartialEq, Eq, Debug, bincode::Encode, bincode::Decode)]
pub struct Contact {
    /// Whom the dialler insists on finding there.
    pub id: ServentId,
    /// At most [`Contact::MAX_ADDRESSES`]; empty when nobody can dial it.
    pub addresses: Vec<SocketAddr>,
}

impl Contact {
    /// Most addresses that one contact carries: enough for a few interfaces of both
    /// families and the address that others see.
    pub const MAX_ADDRESSES: usize = 8;

    /// A contact with its addresses cut to the limit, repeats dropped, and IPv4
    /// addresses in IPv6 clothing (`::ffff:a.b.c.d`) undressed.
    #[must_use]
    pub fn new(id: ServentId, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let mut kept: Vec<SocketAddr> = Vec::new();
        for address in addresses {
            let address = SocketAddr::new(address.ip().to_canonical(), address.port());
            if kept.len() < Self::MAX_ADDRESSES && !kept.contains(&address) {
                kept.push(address);
            }
        }
        Self { id, addresses: kept }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_its_text() {
        for seed in 0..=255u8 {
            let id =
                ServentId(std::array::from_fn(|i| seed.wrapping_mul(31).wrapping_add(i as u8)));
            let text = id.to_string();
            assert_eq!(text.len(), ServentId::TEXT_LEN);
            assert_eq!(text.parse(), Ok(id));
            assert_eq!(text.to_uppercase().parse(), Ok(id));
            assert!(text.starts_with(&id.short()));
        }
    }

    #[test]
    fn base32_agrees_with_rfc_4648() {
        let mut bytes = [0u8; 32];
        bytes[..6].copy_from_slice(b"foobar");
        assert!(ServentId(bytes).to_string().starts_with("mzxw6ytboi"));
    }

    #[test]
    fn a_text_that_is_no_id_is_refused() {
        let good = ServentId([7; 32]).to_string();
        for bad in ["", "abc", &good[1..], &format!("{good}a"), &good.replace('a', "1")] {
            assert!(bad == good || bad.parse::<ServentId>().is_err(), "{bad}");
        }
        let mut loose = good.clone();
        loose.replace_range(51.., "b");
        assert_eq!(loose.parse::<ServentId>(), Err(ServentIdError));
        assert!("é".repeat(26).parse::<ServentId>().is_err());
    }

    #[test]
    fn a_contact_undresses_mapped_addresses_and_keeps_eight() {
        let many = (0..20).map(|i| SocketAddr::from(([127, 0, 0, 1], 7000 + i)));
        let mapped: SocketAddr = "[::ffff:127.0.0.1]:7000".parse().unwrap();
        let contact = Contact::new(ServentId([0; 32]), std::iter::once(mapped).chain(many));
        assert_eq!(contact.addresses.len(), Contact::MAX_ADDRESSES);
        assert_eq!(contact.addresses[0], "127.0.0.1:7000".parse().unwrap());
        assert_eq!(contact.addresses[1], "127.0.0.1:7001".parse().unwrap());
    }
}
