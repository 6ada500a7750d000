//! What runs an image: QEMU with KVM, QEMU with TCG, or no monitor at all.
//!
//! | module | holds |
//! |---|---|
//! | [`probe`] | what there is on this machine, tried and not guessed |
//! | [`boot`] | the boot line, from the values that are given |
//! | [`choose`] | the best of it, and what one command would give a better one |
//! | [`needs`] | what an image needs, from its device manifest |
//! | [`qemu`] | QEMU's command line, from what the image needs |
//! | [`leash`] | that it doesn't outlive the command |
//! | [`process`] | the command line of an appliance that is an ordinary process |
//! | [`supervise`] | the running child: console, Ctrl-C, its end |

pub mod boot;
pub mod choose;
pub mod leash;
pub mod needs;
pub mod probe;
pub mod process;
pub mod qemu;
pub mod supervise;

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::publish::Listening;

/// What an image needs of whatever starts it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The appliance's name.
    pub appliance: String,
    /// Memory, in bytes.
    pub memory: u64,
    /// Devices, in the order of the plan.
    pub devices: Vec<Device>,
    /// Networks, each on a device.
    pub networks: Vec<Network>,
    /// The ports that services listen on.
    pub listens: Vec<Listening>,
    /// How long it may take to end in order, if it does so when asked.
    pub drain: Option<Duration>,
}

/// A device that an image needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// What the machine must have for it, such as `virtio-net`; none where every machine has it.
    pub hardware: Option<String>,
    /// The instance's name in the `.unik` file.
    pub instance: String,
    /// The Ethernet address that the driver looks for, if it looks for one.
    pub mac: Option<String>,
    /// The line of the `.unik` file that asks for it, to be shown: `web.unik:7: device nic = …`.
    pub place: String,
}

/// A network of an appliance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The instance's name in the `.unik` file.
    pub instance: String,
    /// The instance of the device that it is on.
    pub device: String,
    /// Its address, length of prefix and gateway; `None` when it asks by DHCP.
    pub address: Option<(Ipv4Addr, u8, Option<Ipv4Addr>)>,
}

impl Needs {
    /// The network on this device.
    pub fn network_on(&self, device: &str) -> Option<&Network> {
        self.networks.iter().find(|network| network.device == device)
    }
}
