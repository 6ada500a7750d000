//! The command line of an appliance that is an ordinary process.

use crate::publish::{Protocol, Published};

/// The arguments that tell its networks where on this host their ports are.
pub fn arguments(published: &[Published]) -> Vec<String> {
    published
        .iter()
        .map(|published| {
            let suffix = if published.to.protocol == Protocol::Udp { "/udp" } else { "" };
            format!("{}.publish={}:{}{suffix}", published.to.network, published.host, published.to.port)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::Listening;

    #[test]
    fn each_port_for_its_network() {
        let to = Listening {
            protocol: Protocol::Udp,
            port: 53,
            service: "names".into(),
            scheme: None,
            network: "lan".into(),
        };
        let published = |host: &str| Published { host: host.parse().unwrap(), to: to.clone(), chosen: false };
        assert_eq!(
            arguments(&[published("127.0.0.1:5353"), published("[::1]:53")]),
            ["lan.publish=127.0.0.1:5353:53/udp", "lan.publish=[::1]:53:53/udp"]
        );
    }
}
