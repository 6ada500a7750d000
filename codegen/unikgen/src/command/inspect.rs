//! `unikgen inspect`: what an image says of itself.

use std::fmt::Write as _;

use unik_codegen::note::{BootParameter, DeviceManifest};

use super::output;
use crate::backend;
use crate::cli::{Inspect, InspectFormat};
use crate::exit::{OK, Outcome};
use crate::ui;

/// Prints it.
///
/// # Errors
/// When it is no image.
pub fn run(args: &Inspect) -> Outcome {
    let (_, manifest) = backend::manifest_of_image(&args.image)?;
    output(&match args.format {
        InspectFormat::Json => format!("{}\n", serde_json::to_string_pretty(&manifest)?),
        InspectFormat::Human => human(&manifest),
    })?;
    Ok(OK)
}

fn human(manifest: &DeviceManifest) -> String {
    let DeviceManifest { appliance, cpu, devices, networks, listens, boot, .. } = manifest;
    let mut text = format!(
        "appliance  {}\ntarget     machine\ncpu        {}\nmemory     {}\n",
        printable(appliance),
        printable(cpu),
        ui::bytes(manifest.memory)
    );
    // A String takes all that is written to it.
    let mut add = |head: &str, line: String| {
        let _ = writeln!(text, "{head:<10} {}", printable(&line));
    };
    for device in devices {
        let hardware = device.hardware.as_deref().unwrap_or("every machine has it");
        add("device", format!("{} = {} ({hardware})", device.name, device.component));
    }
    for network in networks {
        let address = match (network.address, network.prefix) {
            (Some(address), Some(prefix)) => format!(" {address}/{prefix}"),
            _ => String::new(),
        };
        let late =
            network.address_at_boot.as_ref().map_or_else(String::new, |name| format!(" (${name} at boot)"));
        add("network", format!("{}{address}{late}", network.name));
    }
    for port in listens {
        add("port", format!("{}/{} of {} on {}", port.port, port.protocol, port.service, port.network));
    }
    for parameter in boot {
        add("at boot", parameter_line(parameter));
    }
    text
}

fn parameter_line(parameter: &BootParameter) -> String {
    let BootParameter { name, ty, default, secret, unused, doc } = parameter;
    let ty = if *secret { format!("secret {ty}") } else { ty.clone() };
    let default = match default {
        Some(default) => format!(" = {default}"),
        None if *unused => ", nothing takes it".into(),
        None => ", must be given".into(),
    };
    let doc =
        doc.lines().next().filter(|doc| !doc.is_empty()).map_or_else(String::new, |doc| format!("    {doc}"));
    format!("{name}: {ty}{default}{doc}")
}

/// What an image says may be meant for the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_listed_with_their_types() {
        let manifest: DeviceManifest = serde_json::from_value(serde_json::json!({
            "version": 1, "appliance": "x\u{1b}[2J", "memory": 16777216, "cpu": "x86-64-v2",
            "devices": [{ "name": "nic", "component": "virtio-net", "hardware": "virtio-net", "provides": ["Frames"] }],
            "networks": [{ "name": "lan", "address": "10.0.0.2", "prefix": 24, "address-at-boot": "address" }],
            "listens": [],
            "boot": [
                { "name": "address", "type": "cidr4", "default": "10.0.0.2/24", "doc": "Its own.\nMore." },
                { "name": "count", "type": "integer 1..=9" },
                { "name": "key", "type": "string", "secret": true },
            ],
        }))
        .unwrap();
        let text = human(&manifest);
        for line in [
            "appliance  x\u{fffd}[2J\n",
            "device     nic = virtio-net (virtio-net)\n",
            "network    lan 10.0.0.2/24 ($address at boot)\n",
            "at boot    address: cidr4 = 10.0.0.2/24    Its own.\n",
            "at boot    count: integer 1..=9, must be given\n",
            "at boot    key: secret string, must be given\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}
