//! What an image needs, as its plan says it.

use std::net::Ipv4Addr;

use unik_catalogue::schema::Transport;
use unik_catalogue::value::Bound;
use unik_catalogue::{Kind, Value};
use unik_dsl::SourceMap;
use unik_dsl::plan::{Node, Origin, Plan};

use super::{Device, Needs, Network};
use crate::publish::{Listening, Protocol};

/// The needs of the image of `plan`.
pub fn of_plan(plan: &Plan, memory: u64, sources: &SourceMap) -> Needs {
    let mut needs = Needs { appliance: plan.appliance.clone(), memory, ..Needs::default() };
    for (index, node) in plan.instances() {
        match node.component.kind {
            // Devices of the processor and the board itself come with every machine.
            Kind::Device if is_virtio(node) => needs.devices.push(Device {
                kind: node.component.name.clone(),
                instance: node.id.clone(),
                mac: values(node).find_map(|value| match value {
                    Value::Mac(mac) => Some(*mac),
                    _ => None,
                }),
                place: place(node, sources),
            }),
            Kind::Network => {
                let on = plan.arguments(index).first().map(|&device| plan.graph[device].id.clone());
                needs.networks.push(Network {
                    instance: node.id.clone(),
                    device: on.unwrap_or_default(),
                    address: address(node),
                });
            }
            _ => {}
        }
        needs.listens.extend(node.listens.iter().map(|listen| Listening {
            protocol: match listen.protocol {
                Transport::Tcp => Protocol::Tcp,
                Transport::Udp => Protocol::Udp,
            },
            port: listen.port,
            service: listen.service.clone(),
            component: plan.node(&listen.service).map_or_else(String::new, |at| plan.graph[at].component.name.clone()),
            network: node.id.clone(),
        }));
    }
    needs
}

/// Whether a device is one that the monitor plugs in.
fn is_virtio(node: &Node) -> bool {
    node.component.name.starts_with("virtio-")
}

/// All values of the options of an instance.
fn values(node: &Node) -> impl Iterator<Item = &Value> {
    node.options.values().flatten().flat_map(|entry| entry.values.values()).flat_map(|bound| match bound {
        Bound::One(value) => std::slice::from_ref(value),
        Bound::Many(values) => values.as_slice(),
    })
}

/// The address that a network has from the file, with the gateway of the same entry.
fn address(node: &Node) -> Option<(Ipv4Addr, u8, Option<Ipv4Addr>)> {
    node.options.values().flatten().find_map(|entry| {
        let (address, prefix) = entry.values.values().find_map(|bound| match bound {
            Bound::One(Value::Cidr4(address, prefix)) => Some((*address, *prefix)),
            _ => None,
        })?;
        let gateway = match entry.value("gateway") {
            Some(Value::Ipv4(gateway)) => Some(*gateway),
            _ => None,
        };
        Some((address, prefix, gateway))
    })
}

/// `web.unik:7: device nic = virtio-net`
fn place(node: &Node, sources: &SourceMap) -> String {
    let Origin::Declared(place) = node.origin else { return String::new() };
    let Some(source) = sources.source(place.source) else { return String::new() };
    let line = source.text[source.line_range(source.line(source.clamp(place).start))].trim();
    format!("{}: {line}", sources.short(place))
}
