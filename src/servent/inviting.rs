//! The line that a friend gives to `join`.

use std::net::{IpAddr, SocketAddr};

use super::handle::Servent;
use super::report::InvitationReport;
use crate::base::ServentId;
use crate::identity::NetworkKey;

impl Servent {
    /// A line with all that a friend needs to join here; with the key of a private mesh
    /// when that is wanted.
    #[must_use]
    pub fn invitation(&self, with_key: bool) -> InvitationReport {
        let ground = &self.0.ground;
        let mesh = ground.mesh();
        let addresses = outward(ground.addresses());
        let key = Some(&mesh.key).filter(|_| with_key && mesh.is_private());
        let file = ground.settings.network.as_ref().and_then(|secret| secret.file.as_deref());
        let mut notes: Vec<String> = reach_note(&addresses).into_iter().collect();
        match (mesh.is_private(), with_key) {
            (true, true) => notes.push(
                "whoever has this line is a member of the mesh: give it to nobody else".into(),
            ),
            (true, false) => notes.push(format!(
                "the mesh is private: your friend needs its key as well; 'invite --key' puts it \
                 into the line{}",
                file.map(|file| format!(", or copy {}", file.display())).unwrap_or_default()
            )),
            (false, true) => notes.push("the mesh is open: there is no key to add".into()),
            (false, false) => {}
        }
        InvitationReport {
            line: invitation_line(ground.id, &addresses, key),
            id: ground.id,
            addresses,
            private: mesh.is_private(),
            with_key: key.is_some(),
            qr: false,
            notes,
        }
    }
}

/// `ID@ADDR,ADDR,...`, with `#KEY` behind it.
#[must_use]
pub fn invitation_line(
    id: ServentId,
    addresses: &[SocketAddr],
    key: Option<&NetworkKey>,
) -> String {
    let places: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    let key = key.map(|key| format!("#{}", key.to_text()));
    format!("{id}@{}{}", places.join(","), key.unwrap_or_default())
}

/// `addresses` without those of this machine alone, unless there are no others.
pub(super) fn outward(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let some = addresses.iter().any(|address| !address.ip().is_loopback());
    addresses.into_iter().filter(|address| !(some && address.ip().is_loopback())).collect()
}

/// Who can use a line with these addresses, where that is not everybody.
pub(super) fn reach_note(addresses: &[SocketAddr]) -> Option<String> {
    let port = addresses.first()?.port();
    if addresses.iter().all(|address| address.ip().is_loopback()) {
        let why = "only this machine can use this line: no other address of it is known";
        return Some(format!("{why}; start with --announce IP:PORT to name one"));
    }
    addresses.iter().all(|address| is_local(address.ip())).then(|| {
        format!(
            "only your own network can use this line, unless your router passes port {port} on \
             to this machine; then start with --announce IP:PORT to name its outside address"
        )
    })
}

/// Whether nobody outside of a house can dial `ip`.
fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn loopback_is_named_only_where_there_is_nothing_else() {
        let both = addresses(&["10.0.0.7:1", "127.0.0.1:1", "[::1]:1"]);
        assert_eq!(outward(both), addresses(&["10.0.0.7:1"]));
        let only = addresses(&["127.0.0.1:1", "[::1]:1"]);
        assert_eq!(outward(only.clone()), only);
        assert!(reach_note(&only).unwrap().starts_with("only this machine"));
    }

    #[test]
    fn a_line_that_strangers_cannot_use_says_so() {
        let note = |texts: &[&str]| reach_note(&addresses(texts));
        for local in ["10.0.0.7:7", "192.168.1.2:7", "172.16.0.1:7", "100.64.3.4:7", "[fd00::1]:7"]
        {
            assert!(note(&[local, "127.0.0.1:7"]).unwrap().contains("passes port 7 on"), "{local}");
        }
        assert_eq!(note(&["10.0.0.7:7", "198.51.100.4:7"]), None);
        assert_eq!(note(&["[2001:db8::1]:7"]), None);
        assert_eq!(note(&["100.128.0.1:7"]), None);
        assert_eq!(note(&[]), None);
    }
}
