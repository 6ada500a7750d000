//! The ELF notes of an image: what it tells a monitor of itself.
//!
//! They stand in the section `.note.unik`, each with the name `unik`:
//!
//! | type | holds |
//! |---|---|
//! | 1 | the device manifest: JSON, [`DeviceManifest`] |
//! | 2 | the hash of the plan, 32 bytes |
//! | 3 | the hash (SHA-256) of the report, 32 bytes; zeros until the image is finished |
//! | 4 | how the image was built: JSON, [`Record`](crate::record::Record); written by the linker script |
//! | 5 | what enters the gate: rows of 32 bytes, laid out in the runtime's `platform/machine/gate.rs` |

use std::net::Ipv4Addr;

use proc_macro2::{Literal, TokenStream};
use quote::quote;
use serde::{Deserialize, Serialize};
use unik_catalogue::schema::{Constraint, Transport};
use unik_catalogue::{Bound, Component, Kind, Type, Value};
use unik_dsl::plan::{Node, Plan};

use crate::settings::Settings;

/// The type of the note that holds the device manifest.
pub const MANIFEST: u32 = 1;
/// The type of the note that holds the plan's hash.
pub const PLAN: u32 = 2;
/// The type of the note that holds the report's hash.
pub const REPORT: u32 = 3;
/// The type of the note that holds how the image was built.
pub const RECORD: u32 = 4;
/// The type of the note that holds the table of the gate's entries.
pub const GATE: u32 = 5;

/// What an image needs of its monitor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DeviceManifest {
    /// The version of this table: 1.
    pub version: u32,
    /// The appliance's name.
    pub appliance: String,
    /// The memory that the image was planned for, in bytes.
    pub memory: u64,
    /// The least processor, as a psABI level.
    pub cpu: String,
    /// The devices, in start order.
    pub devices: Vec<Device>,
    /// The networks, in start order.
    pub networks: Vec<Network>,
    /// The ports that services listen on.
    pub listens: Vec<Port>,
    /// The parameters that may be given a value at boot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub boot: Vec<BootParameter>,
    /// How long the image may take to end, in milliseconds, once the byte 4 (EOT) came on its console;
    /// none where it listens to no such thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<u32>,
}

/// A parameter that may be given a value at boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BootParameter {
    /// Its name: on the boot line, `unik.NAME=VALUE`.
    pub name: String,
    /// Its type as the language writes it, with its range: `integer 1..=9`, `low|high`.
    #[serde(rename = "type")]
    pub ty: String,
    /// Its value where none is given; without one it must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Whether its value is never shown.
    #[serde(default, skip_serializing_if = "is_false")]
    pub secret: bool,
    /// Whether nothing in this image takes its value.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unused: bool,
    /// What the file says of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub doc: String,
}

impl BootParameter {
    /// What is said of a parameter of a plan.
    #[must_use]
    pub fn of(parameter: &unik_dsl::plan::BootParameter) -> BootParameter {
        BootParameter {
            name: parameter.name.clone(),
            ty: parameter.ty.text(),
            default: parameter.default.as_ref().map(ToString::to_string),
            secret: parameter.secret,
            unused: !parameter.used,
            doc: parameter.doc.clone(),
        }
    }

    /// Whether the image doesn't start without it.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.default.is_none() && !self.unused
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_false(value: &bool) -> bool {
    !value
}

/// A device that the image drives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Device {
    /// The instance's name in the `.unik` file.
    pub name: String,
    /// Its component: `virtio-net`.
    pub component: String,
    /// The hardware that the machine must have for it, as monitors know it: `virtio-net`.
    /// None where every machine has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hardware: Option<String>,
    /// The interfaces that it provides: `Frames` for a network card.
    pub provides: Vec<String>,
    /// The Ethernet address that its driver looks for, if the file names one:
    /// `52:54:00:12:34:56`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}

/// A network of the appliance: what a monitor's own network must fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Network {
    /// The instance's name in the `.unik` file.
    pub name: String,
    /// The instance that it is on, if it is on one: a device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Its IPv4 address, where the file fixes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
    /// The bits of that address that name the network, 0 to 32.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<u8>,
    /// The gateway, where the file fixes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Ipv4Addr>,
    /// The parameter at boot that `address` and `prefix` are the default of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_at_boot: Option<String>,
    /// The parameter at boot that `gateway` is the default of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_at_boot: Option<String>,
}

/// A port that a service listens on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Port {
    /// The network's name in the `.unik` file.
    pub network: String,
    /// The device that the network is on, in a machine.
    pub device: Option<String>,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The port.
    pub port: u16,
    /// The service's name in the `.unik` file.
    pub service: String,
    /// What the service is an instance of.
    pub component: String,
    /// The scheme of the URL by which a client reaches it, where there is one: `http`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
}

impl DeviceManifest {
    /// The manifest of `plan`.
    #[must_use]
    pub fn of(plan: &Plan) -> DeviceManifest {
        let settings = Settings::of(plan);
        let devices = plan.instances().filter(|(_, node)| node.component.kind == Kind::Device);
        let ports = plan.instances().flat_map(|(index, node)| {
            let wired = plan.arguments(index).into_iter().map(|provider| &plan.graph[provider]);
            let card =
                wired.filter(|node| node.component.can_provide("Frames")).map(|node| node.id.clone()).next();
            node.listens.iter().map(move |listen| Port {
                network: node.id.clone(),
                device: card.clone(),
                protocol: match listen.protocol {
                    Transport::Tcp => "tcp".into(),
                    Transport::Udp => "udp".into(),
                },
                port: listen.port,
                service: listen.service.clone(),
                component: plan
                    .node(&listen.service)
                    .map_or_else(String::new, |at| plan.graph[at].component.name.clone()),
                scheme: plan
                    .node(&listen.service)
                    .and_then(|at| scheme(&plan.graph[at].component, listen.protocol)),
            })
        });
        let networks = plan.instances().filter(|(_, node)| node.component.kind == Kind::Network);
        DeviceManifest {
            version: 1,
            appliance: plan.appliance.clone(),
            memory: settings.memory,
            cpu: settings.cpu.clone(),
            devices: devices
                .map(|(_, node)| Device {
                    name: node.id.clone(),
                    component: node.component.name.clone(),
                    hardware: node.component.hardware.clone(),
                    provides: node.component.provides.clone(),
                    mac: mac(node),
                })
                .collect(),
            networks: networks
                .map(|(index, node)| {
                    Network::of(node, plan.arguments(index).first().map(|&on| &plan.graph[on]))
                })
                .collect(),
            listens: ports.collect(),
            boot: plan.boot.iter().map(BootParameter::of).collect(),
            drain: settings.drains(plan),
        }
    }
}

impl Network {
    /// Goes by the types of values, not by the names of keys: whatever the option is
    /// called, an address with its prefix length is the network's.
    fn of(node: &Node, on: Option<&Node>) -> Network {
        // Of an address that is given at boot, what is known is its default.
        let late = |value: &Value| match value {
            Value::Boot(boot) => Some(boot.parameter.clone()),
            _ => None,
        };
        let found = node.options.values().flatten().find_map(|entry| {
            let own = entry.values.values().find_map(|bound| match bound {
                Bound::One(value @ Value::Cidr4(..)) => Some(value),
                Bound::One(value @ Value::Boot(boot)) if boot.ty == Type::Cidr4 => Some(value),
                _ => None,
            })?;
            Some((own, entry.value("gateway")))
        });
        let (own, gateway) = found.map_or((None, None), |(own, gateway)| (Some(own), gateway));
        let address = match own.and_then(Value::known) {
            Some(Value::Cidr4(address, prefix)) => Some((*address, *prefix)),
            _ => None,
        };
        Network {
            name: node.id.clone(),
            device: on.filter(|on| on.component.kind == Kind::Device).map(|on| on.id.clone()),
            address: address.map(|(address, _)| address),
            prefix: address.map(|(_, prefix)| prefix),
            gateway: match gateway.and_then(Value::known) {
                Some(Value::Ipv4(gateway)) => Some(*gateway),
                _ => None,
            },
            address_at_boot: own.and_then(late),
            gateway_at_boot: gateway.and_then(late),
        }
    }
}

/// How a client reaches what listens by `transport`, as the component's table has it.
fn scheme(component: &Component, transport: Transport) -> Option<String> {
    let forms = component.options.values().flat_map(|option| &option.forms);
    forms.flat_map(|form| &form.constraints).find_map(|constraint| match constraint {
        Constraint::Listens { protocol, scheme, .. } if *protocol == transport => scheme.clone(),
        _ => None,
    })
}

fn mac(node: &Node) -> Option<String> {
    let values = node.options.values().flatten().flat_map(|entry| entry.values.values());
    values.into_iter().find_map(|bound| match bound {
        Bound::One(Value::Mac(mac)) => Some(mac.map(|byte| format!("{byte:02x}")).join(":")),
        _ => None,
    })
}

/// The statics that become the notes.
pub(crate) fn tokens(plan: &Plan, hash: [u8; 32]) -> TokenStream {
    // Strings and numbers only: this can't fail.
    let manifest = serde_json::to_vec(&DeviceManifest::of(plan)).unwrap_or_default();
    let notes = [(MANIFEST, manifest.as_slice()), (PLAN, &hash), (REPORT, &[0; 32])].map(|(kind, bytes)| {
        let (length, kind) = (Literal::usize_unsuffixed(bytes.len()), Literal::u32_unsuffixed(kind));
        let mut padded = bytes.to_vec();
        padded.resize(bytes.len().next_multiple_of(4), 0);
        let size = Literal::usize_unsuffixed(padded.len());
        let bytes = Literal::byte_string(&padded);
        quote! {
            const _: () = {
                #[used]
                #[unsafe(link_section = ".note.unik")]
                static NOTE: Note<#size> =
                    Note { name_length: 5, length: #length, kind: #kind, name: *b"unik\0\0\0\0", bytes: *#bytes };
            };
        }
    });
    quote! {
        /// An ELF note: what the image tells a monitor of itself.
        #[repr(C, align(4))]
        struct Note<const N: usize> {
            name_length: u32,
            length: u32,
            kind: u32,
            name: [u8; 8],
            bytes: [u8; N],
        }
        #(#notes)*
    }
}

/// One note that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note<'a> {
    /// Its type.
    pub kind: u32,
    /// What it holds.
    pub bytes: &'a [u8],
    /// Where in `section` that begins.
    pub offset: usize,
}

/// The notes named `name` in a section of notes. What follows a damaged note is left out.
#[must_use]
pub fn read<'a>(section: &'a [u8], name: &str) -> Vec<Note<'a>> {
    let (all, _) = all(section);
    all.into_iter().filter(|(found, _)| *found == name.as_bytes()).map(|(_, note)| note).collect()
}

/// All notes in a section of notes, each with its name, and whether there is nothing else.
#[must_use]
pub fn all(section: &[u8]) -> (Vec<(&[u8], Note<'_>)>, bool) {
    let mut notes = Vec::new();
    let mut at = 0;
    while let Some(header) = section.get(at..at + 12) {
        let word = |n: usize| u32::from_le_bytes([header[n], header[n + 1], header[n + 2], header[n + 3]]);
        let (name_length, length, kind) = (word(0) as usize, word(4) as usize, word(8));
        let offset = at + 12 + name_length.next_multiple_of(4);
        let (Some(found), Some(bytes)) =
            (section.get(at + 12..at + 12 + name_length), section.get(offset..offset.saturating_add(length)))
        else {
            break;
        };
        notes.push((found.strip_suffix(b"\0").unwrap_or(found), Note { kind, bytes, offset }));
        at = offset + length.next_multiple_of(4);
    }
    (notes, at >= section.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_found_by_name() {
        let mut section = Vec::new();
        for (name, kind, bytes) in
            [(&b"Xen\0"[..], 18u32, &[1u8, 2, 3, 4][..]), (b"unik\0", 1, b"{}"), (b"unik\0", 2, &[7; 32])]
        {
            section.extend((name.len() as u32).to_le_bytes());
            section.extend((bytes.len() as u32).to_le_bytes());
            section.extend(kind.to_le_bytes());
            section.extend(name);
            section.resize(section.len().next_multiple_of(4), 0);
            section.extend(bytes);
            section.resize(section.len().next_multiple_of(4), 0);
        }
        let notes = read(&section, "unik");
        assert_eq!(notes.len(), 2);
        assert_eq!((notes[0].kind, notes[0].bytes), (1, &b"{}"[..]));
        assert_eq!(section[notes[1].offset..][..32], [7; 32]);
        for end in 0..section.len() {
            let _ = read(&section[..end], "unik");
        }
        assert!(read(&[0xff; 64], "unik").is_empty());
        let (notes, whole) = all(&section);
        assert_eq!(
            (notes.iter().map(|(name, _)| *name).collect::<Vec<_>>(), whole),
            (vec![&b"Xen"[..], b"unik", b"unik"], true)
        );
        assert!(!all(&section[..section.len() - 1]).1 && !all(&[0xff; 64]).1);
    }
}
