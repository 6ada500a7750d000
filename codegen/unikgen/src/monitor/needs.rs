//! What an image needs, as its device manifest says it.

use std::time::Duration;

use unik_codegen::image::Report;
use unik_codegen::note::DeviceManifest;
use unik_dsl::SourceMap;
use unik_dsl::plan::{Origin, Plan};

use super::boot::Given;
use super::{Device, Needs, Network};
use crate::publish::{Listening, Protocol};

/// The needs of the image of `plan`, which is given this at boot.
pub fn of_plan(plan: &Plan, sources: &SourceMap, given: &Given) -> Needs {
    let mut manifest = DeviceManifest::of(plan);
    given.apply(&mut manifest);
    of(&manifest, |instance| {
        let node = &plan.graph[plan.node(instance)?];
        let Origin::Declared(place) = node.origin else { return None };
        let source = sources.source(place.source)?;
        let line = source.text[source.line_range(source.line(source.clamp(place).start))].trim();
        Some(format!("{}: {line}", sources.short(place)))
    })
}

/// The needs of an image with this manifest, and this report if it is at hand.
pub fn of_manifest(manifest: &DeviceManifest, report: Option<&Report>) -> Needs {
    of(manifest, |instance| {
        let node = report?.nodes.iter().find(|node| node.id == instance)?;
        let line = node.line.as_deref().map_or_else(String::new, |line| format!(": {line}"));
        Some(format!("{}{line}", node.place.as_deref()?))
    })
}

fn of(manifest: &DeviceManifest, place: impl Fn(&str) -> Option<String>) -> Needs {
    let devices = manifest.devices.iter().map(|device| Device {
        hardware: device.hardware.clone(),
        instance: device.name.clone(),
        mac: device.mac.clone(),
        place: place(&device.name).unwrap_or_default(),
    });
    let networks = manifest.networks.iter().map(|network| Network {
        instance: network.name.clone(),
        device: network.device.clone().unwrap_or_default(),
        address: network
            .address
            .zip(network.prefix)
            .map(|(address, prefix)| (address, prefix, network.gateway)),
    });
    let listens = manifest.listens.iter().filter_map(|port| {
        Some(Listening {
            protocol: match port.protocol.as_str() {
                "tcp" => Protocol::Tcp,
                "udp" => Protocol::Udp,
                // Of a later version of unik: nothing that could be published.
                _ => return None,
            },
            port: port.port,
            service: port.service.clone(),
            scheme: port.scheme.clone(),
            network: port.network.clone(),
        })
    });
    Needs {
        appliance: manifest.appliance.clone(),
        memory: manifest.memory,
        devices: devices.collect(),
        networks: networks.collect(),
        listens: listens.collect(),
        drain: manifest.drain.map(|time| Duration::from_millis(time.into())),
    }
}
