//! QEMU's command line, from what the image needs.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::{Device, Needs, Network};
use crate::cli::Machine;
use crate::exit;
use crate::publish::{Protocol, Published};

/// The processor under KVM. `max` alone makes QEMU give up on hosts that are machines
/// themselves and can't set IA32_ARCH_CAPABILITIES; the guest has no use for that register.
pub const KVM_CPU: &str = "max,-arch-capabilities";
/// Where the guest writes how it ended.
const DEBUG_EXIT: &str = "isa-debug-exit,iobase=0xf4,iosize=4";

/// How an image is started.
#[derive(Clone, Debug)]
pub struct Launch<'a> {
    /// The image.
    pub image: &'a Path,
    /// By KVM, or by TCG.
    pub kvm: bool,
    /// QEMU's machine.
    pub machine: Machine,
    /// Memory, in bytes.
    pub memory: u64,
    /// What its networks are plugged into.
    pub net: Net<'a>,
    /// Wait for gdb on this port.
    pub gdb: Option<u16>,
    /// What the image is told; empty for nothing.
    pub boot_line: &'a str,
}

/// What networks are plugged into.
#[derive(Clone, Copy, Debug)]
pub enum Net<'a> {
    /// QEMU's user-mode network, closed but for these ports.
    User(&'a [Published]),
    /// TAP interfaces: instance of a network → name.
    Tap(&'a [(String, String)]),
    /// Nothing: there are no network devices.
    None,
}

/// The arguments that start `launch.image`, which needs `needs`.
///
/// # Errors
/// When the image needs a device that this launch lacks.
pub fn arguments(needs: &Needs, launch: &Launch<'_>) -> anyhow::Result<Vec<OsString>> {
    let mut arguments: Vec<OsString> = Vec::new();
    let mut add = |words: &[&str]| arguments.extend(words.iter().map(OsString::from));
    if launch.kvm {
        add(&["-accel", "kvm", "-cpu", KVM_CPU]);
    } else {
        add(&["-accel", "tcg", "-cpu", "max"]);
    }
    // KVM gives a wall clock by itself; under TCG only the RTC does.
    let rtc = if launch.kvm { "off" } else { "on" };
    match launch.machine {
        Machine::Microvm => {
            add(&["-M", &format!("microvm,rtc={rtc},pic=off,pit=off,acpi=off")]);
            // Modern virtio (1.2), which the drivers speak.
            add(&["-global", "virtio-mmio.force-legacy=false"]);
        }
        // With PCI Express QEMU's default firmware would be the slow one.
        Machine::MicrovmPcie => {
            add(&["-M", &format!("microvm,pcie=on,rtc={rtc},pic=off,pit=off"), "-bios", "qboot.rom"]);
        }
        Machine::Q35 => add(&["-M", "q35"]),
    }
    add(&["-m", &format!("{}M", launch.memory.div_ceil(1 << 20))]);
    add(&["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    add(&["-serial", "stdio", "-device", DEBUG_EXIT]);
    for (at, device) in needs.devices.iter().enumerate() {
        for words in device_arguments(device, at, needs, launch)? {
            add(&[&words.0, &words.1]);
        }
    }
    if let Some(port) = launch.gdb {
        add(&["-gdb", &format!("tcp:127.0.0.1:{port}"), "-S"]);
    }
    arguments.push("-kernel".into());
    arguments.push(launch.image.into());
    if !launch.boot_line.is_empty() {
        arguments.extend(["-append", launch.boot_line].map(OsString::from));
    }
    Ok(arguments)
}

/// The machine for an image that needs `needs`, where nobody says which.
///
/// A bell is an exit from the machine, and what a request over the network mostly waits for under
/// KVM. On PCI it is a write by ring 3; on virtio-mmio the gate does it for it, and where KVM is
/// nested in software its instructions are emulated one by one: PCI serves 6 to 30 % more requests,
/// and is up 13 ms later. Under TCG a bell costs next to nothing.
#[must_use]
pub fn machine_for(needs: &Needs, kvm: bool) -> Machine {
    let is_network = |device: &Device| device.hardware.as_deref() == Some("virtio-net");
    if kvm && needs.devices.iter().any(is_network) { Machine::MicrovmPcie } else { Machine::Microvm }
}

type Pair = (String, String);

fn device_arguments(
    device: &Device,
    at: usize,
    needs: &Needs,
    launch: &Launch<'_>,
) -> anyhow::Result<Vec<Pair>> {
    let (bus, pci) = match launch.machine {
        Machine::Microvm => ("device", ""),
        Machine::MicrovmPcie | Machine::Q35 => ("pci", ",disable-legacy=on"),
    };
    let pair = |flag: &str, value: String| (flag.to_string(), value);
    // Every machine of QEMU's has a serial port, a clock and the processor.
    let Some(hardware) = &device.hardware else { return Ok(Vec::new()) };
    match hardware.as_str() {
        "virtio-net" => {
            let network = needs.network_on(&device.instance);
            let back_end = back_end(device, network, at, launch.net)?;
            let mac = mac(device, needs);
            let rom = if pci.is_empty() { "" } else { ",romfile=" };
            Ok(vec![
                pair("-netdev", back_end),
                pair("-device", format!("virtio-net-{bus},netdev=n{at},mac={mac}{pci}{rom}")),
            ])
        }
        "virtio-rng" => Ok(vec![pair("-device", format!("virtio-rng-{bus}{pci}"))]),
        _ => Err(refusal(device, "no machine that `unikgen run` starts has one")),
    }
}

/// A refusal that ends with the line that asked for the device.
fn refusal(device: &Device, why: &str) -> anyhow::Error {
    let place = if device.place.is_empty() { String::new() } else { format!("\n  {}", device.place) };
    exit::environment(format!(
        "the image needs the device `{}` ({}), and {why}{place}",
        device.instance,
        device.hardware.as_deref().unwrap_or("of the board")
    ))
}

/// The other side of a network device.
fn back_end(device: &Device, network: Option<&Network>, at: usize, net: Net<'_>) -> anyhow::Result<String> {
    match net {
        Net::None => Err(refusal(device, "--no-net takes it away")),
        Net::Tap(taps) => {
            let name = network.map_or(device.instance.as_str(), |network| network.instance.as_str());
            match taps.iter().find(|(instance, _)| instance == name) {
                Some((_, tap)) => Ok(format!("tap,id=n{at},ifname={tap},script=no,downscript=no")),
                None => Err(refusal(device, &format!("no --tap plugs `{name}` in: add --tap {name}=TAP"))),
            }
        }
        Net::User(published) => user_back_end(device, network, at, published),
    }
}

fn user_back_end(
    device: &Device,
    network: Option<&Network>,
    at: usize,
    published: &[Published],
) -> anyhow::Result<String> {
    let name = network.map_or("", |network| network.instance.as_str());
    // Without `restrict` the guest can reach everything that listens on this host's loopback.
    // With it, QEMU's network drops every datagram of the guest's, also the answers to those
    // that come in by a published port.
    let restrict = if is_open(name, published) { "off" } else { "on" };
    let mut text = format!("user,id=n{at},ipv6=off,restrict={restrict}");
    let address = network.and_then(|network| network.address);
    if let Some((address, prefix, gateway)) = address {
        let Some(plan) = UserNet::around(address, prefix, gateway) else {
            return Err(refusal(
                device,
                &format!(
                    "QEMU's user network has no room in {address}/{prefix}: use --tap, or a prefix of 30 or less"
                ),
            ));
        };
        text = format!("{text},net={}/{prefix},host={},dns={}", plan.net, plan.host, plan.dns);
    }
    for published in published.iter().filter(|published| published.to.network == name) {
        let IpAddr::V4(host) = published.host.ip() else {
            return Err(exit::usage(format!(
                "--publish {}: QEMU's user network publishes IPv4 addresses only",
                published.host
            )));
        };
        let protocol = match published.to.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        let guest = address.map_or_else(String::new, |(address, _, _)| address.to_string());
        text = format!(
            "{text},hostfwd={protocol}:{host}:{}-{guest}:{}",
            published.host.port(),
            published.to.port
        );
    }
    Ok(text)
}

/// Whether QEMU's user network for `network` has to be open to the outside.
pub fn is_open(network: &str, published: &[Published]) -> bool {
    published
        .iter()
        .any(|published| published.to.network == network && published.to.protocol == Protocol::Udp)
}

/// The addresses of QEMU's user network around a guest with a fixed one.
#[derive(Debug, PartialEq, Eq)]
struct UserNet {
    net: Ipv4Addr,
    host: Ipv4Addr,
    dns: Ipv4Addr,
}

impl UserNet {
    /// QEMU plays the gateway, and (never asked, as the network is closed) a name server,
    /// which must differ from the gateway.
    fn around(guest: Ipv4Addr, prefix: u8, gateway: Option<Ipv4Addr>) -> Option<UserNet> {
        if !(1..=30).contains(&prefix) {
            return None;
        }
        let mask = u32::MAX << (32 - prefix);
        let net = guest.to_bits() & mask;
        let free = |taken: &[Ipv4Addr]| {
            (1..=3).map(|at| Ipv4Addr::from_bits(net + at)).find(|address| !taken.contains(address))
        };
        let inside = gateway.filter(|gateway| gateway.to_bits() & mask == net && *gateway != guest);
        let host = match inside {
            Some(gateway) => gateway,
            None => free(&[guest])?,
        };
        // In a network of two hosts its place is the broadcast address, which QEMU takes.
        let dns = free(&[guest, host])?;
        Some(UserNet { net: Ipv4Addr::from_bits(net), host, dns })
    }
}

/// The Ethernet address of a device: what the file says, else one that stays the same from
/// start to start and differs between appliances, for bridges.
fn mac(device: &Device, needs: &Needs) -> String {
    device.mac.clone().unwrap_or_else(|| {
        // FNV-1a: not for secrets, and the same in every version of Rust.
        let mut hash: u32 = 0x811c_9dc5;
        for byte in needs.appliance.bytes().chain([0]).chain(device.instance.bytes()) {
            hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
        let [_, a, b, c] = hash.to_be_bytes();
        // QEMU's own range.
        format!("52:54:00:{a:02x}:{b:02x}:{c:02x}")
    })
}

/// What QEMU's own exit status says of the guest: its exit code, or how else it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestEnd {
    /// The guest ended with this code.
    Code(u8),
    /// The machine was reset: a triple fault.
    Reset,
    /// QEMU itself failed.
    Monitor(i32),
}

impl GuestEnd {
    /// From QEMU's status: the guest writes 16 + its code, QEMU ends with 2 × that + 1.
    pub fn from_status(status: i32) -> GuestEnd {
        match status {
            0 => GuestEnd::Reset,
            odd if odd >= 33 && odd % 2 == 1 => {
                GuestEnd::Code(u8::try_from((odd >> 1) - 16).unwrap_or(u8::MAX))
            }
            other => GuestEnd::Monitor(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::Listening;

    fn needs() -> Needs {
        Needs {
            appliance: "web".into(),
            memory: 16 << 20,
            devices: vec![Device {
                hardware: Some("virtio-net".into()),
                instance: "nic".into(),
                mac: None,
                place: "web.unik:7: device nic = virtio-net".into(),
            }],
            networks: vec![Network {
                instance: "lan".into(),
                device: "nic".into(),
                address: Some((Ipv4Addr::new(10, 0, 2, 15), 24, Some(Ipv4Addr::new(10, 0, 2, 2)))),
            }],
            listens: vec![listening()],
            drain: None,
        }
    }

    fn listening() -> Listening {
        Listening {
            protocol: Protocol::Tcp,
            port: 80,
            service: "site".into(),
            scheme: Some("http".into()),
            network: "lan".into(),
        }
    }

    fn launch(net: Net<'_>) -> Launch<'_> {
        Launch {
            image: Path::new("site.img"),
            kvm: true,
            machine: Machine::Microvm,
            memory: 16 << 20,
            net,
            gdb: None,
            boot_line: "",
        }
    }

    fn line(needs: &Needs, launch: &Launch<'_>) -> anyhow::Result<String> {
        let words = arguments(needs, launch)?;
        Ok(words.iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn microvm_with_a_published_port() {
        let published =
            [Published { host: "127.0.0.1:8080".parse().unwrap(), to: listening(), chosen: true }];
        let line = line(&needs(), &launch(Net::User(&published))).unwrap();
        assert_eq!(
            line,
            "-accel kvm -cpu max,-arch-capabilities -M microvm,rtc=off,pic=off,pit=off,acpi=off \
             -global virtio-mmio.force-legacy=false -m 16M -nodefaults -no-user-config -display none -no-reboot \
             -serial stdio -device isa-debug-exit,iobase=0xf4,iosize=4 \
             -netdev user,id=n0,ipv6=off,restrict=on,net=10.0.2.0/24,host=10.0.2.2,dns=10.0.2.1,\
             hostfwd=tcp:127.0.0.1:8080-10.0.2.15:80 \
             -device virtio-net-device,netdev=n0,mac=52:54:00:b8:6d:7b -kernel site.img"
        );
    }

    #[test]
    fn other_machines() {
        let tcg =
            Launch { kvm: false, machine: Machine::MicrovmPcie, gdb: Some(1234), ..launch(Net::User(&[])) };
        let text = line(&needs(), &tcg).unwrap();
        for part in [
            "-accel tcg -cpu max ",
            "microvm,pcie=on,rtc=on,pic=off,pit=off -bios qboot.rom",
            "disable-legacy=on,romfile=",
            "-gdb tcp:127.0.0.1:1234 -S",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let q35 = Launch { machine: Machine::Q35, ..launch(Net::User(&[])) };
        assert!(line(&needs(), &q35).unwrap().contains("-M q35 -m 16M"));
    }

    #[test]
    fn a_network_under_kvm_is_on_pci_by_default() {
        let mut needs = needs();
        assert_eq!(machine_for(&needs, true), Machine::MicrovmPcie);
        assert_eq!(machine_for(&needs, false), Machine::Microvm);
        needs.devices.clear();
        assert_eq!(machine_for(&needs, true), Machine::Microvm);
    }

    #[test]
    fn dhcp_leaves_the_addresses_to_qemu() {
        let mut needs = needs();
        needs.networks[0].address = None;
        let published =
            [Published { host: "127.0.0.1:8080".parse().unwrap(), to: listening(), chosen: true }];
        let text = line(&needs, &launch(Net::User(&published))).unwrap();
        assert!(text.contains("user,id=n0,ipv6=off,restrict=on,hostfwd=tcp:127.0.0.1:8080-:80 "), "{text}");
    }

    #[test]
    fn only_publishing_udp_opens_the_network() {
        let udp = Listening { protocol: Protocol::Udp, ..listening() };
        let published = [Published { host: "127.0.0.1:5353".parse().unwrap(), to: udp, chosen: true }];
        let text = line(&needs(), &launch(Net::User(&published))).unwrap();
        assert!(
            text.contains(",restrict=off,") && text.contains("hostfwd=udp:127.0.0.1:5353-10.0.2.15:80"),
            "{text}"
        );
        assert!(!is_open("dmz", &published));
    }

    #[test]
    fn a_lacking_device_is_refused_with_its_line() {
        let error = line(&needs(), &launch(Net::None)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("--no-net") && text.ends_with("web.unik:7: device nic = virtio-net"), "{text}");
        assert_eq!(exit::code_of(&error), exit::ENVIRONMENT);
        let mut needs = needs();
        needs.devices[0].hardware = Some("virtio-blk".into());
        assert!(
            line(&needs, &launch(Net::None))
                .unwrap_err()
                .to_string()
                .contains("no machine that `unikgen run` starts has one")
        );
    }

    #[test]
    fn taps_by_network() {
        let taps = [("lan".to_string(), "tap0".to_string())];
        let text = line(&needs(), &launch(Net::Tap(&taps))).unwrap();
        assert!(text.contains("tap,id=n0,ifname=tap0,script=no,downscript=no"), "{text}");
        let other = [("dmz".to_string(), "tap0".to_string())];
        assert!(line(&needs(), &launch(Net::Tap(&other))).unwrap_err().to_string().contains("--tap lan=TAP"));
    }

    #[test]
    fn user_network_around_any_guest() {
        let around = |guest: &str, prefix, gateway: Option<&str>| {
            UserNet::around(guest.parse().unwrap(), prefix, gateway.map(|gateway| gateway.parse().unwrap()))
                .map(|net| format!("{} {} {}", net.net, net.host, net.dns))
        };
        assert_eq!(around("10.0.0.1", 24, None).unwrap(), "10.0.0.0 10.0.0.2 10.0.0.3");
        assert_eq!(around("10.0.0.2", 24, Some("10.0.0.1")).unwrap(), "10.0.0.0 10.0.0.1 10.0.0.3");
        assert_eq!(around("10.0.0.9", 24, Some("10.0.0.254")).unwrap(), "10.0.0.0 10.0.0.254 10.0.0.1");
        assert_eq!(around("10.0.0.2", 30, Some("10.0.0.1")).unwrap(), "10.0.0.0 10.0.0.1 10.0.0.3");
        assert_eq!(around("10.0.0.2", 31, None), None);
        assert_eq!(around("10.0.0.2", 32, None), None);
        // A gateway outside is none that QEMU could play.
        assert_eq!(around("10.0.0.1", 24, Some("10.0.1.1")).unwrap(), "10.0.0.0 10.0.0.2 10.0.0.3");
    }

    #[test]
    fn status_of_the_monitor_tells_the_guests_end() {
        for (status, end) in [
            (33, GuestEnd::Code(0)),
            (35, GuestEnd::Code(1)),
            (235, GuestEnd::Code(101)),
            (237, GuestEnd::Code(102)),
            (0, GuestEnd::Reset),
            (1, GuestEnd::Monitor(1)),
        ] {
            assert_eq!(GuestEnd::from_status(status), end);
        }
    }
}
