//! Finds the device of an instance and sets it going.

use alloc::format;

use unik::start::{Context, StartError};
use unik_virtio::{FindError, Kind, MachinePort, find};

use crate::nic::{self, Nic, Settings};
use crate::{Options, Polling};

/// Starts an instance: the first network device of the machine that no other instance has
/// and, where the option `mac` is set, that has this address.
///
/// # Errors
/// When there is no such device, or it can't be used.
#[allow(clippy::unused_async, reason = "every component starts asynchronously")]
pub async fn start(cx: &Context, options: &'static Options) -> Result<Nic<MachinePort>, StartError> {
    let found = find(Kind::Network, |transport| match options.mac {
        Some(mac) => nic::address(transport) == Some(mac),
        None => true,
    });
    let transport = match found {
        Ok(transport) => transport,
        Err(FindError::Missing) => {
            let which = match options.mac {
                Some([a, b, c, d, e, f]) => {
                    format!(" with the address {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
                }
                None => alloc::string::String::new(),
            };
            return Err(cx.error(format!(
                "the machine has no free virtio network device{which}; with QEMU add \
                 `-netdev user,id=n0 -device virtio-net-device,netdev=n0` (machine microvm) or \
                 `-netdev user,id=n0 -device virtio-net-pci,netdev=n0,disable-legacy=on`"
            )));
        }
        Err(FindError::Unusable(error)) => {
            return Err(cx.error(format!("virtio network device: {error}")));
        }
    };
    let settings = Settings {
        queue_size: u16::try_from(options.queue_size).unwrap_or(256),
        receive_buffer: options.receive_buffer,
        transmit_memory: options.transmit_memory,
        mac: options.mac,
        polling: options.polling == Polling::Adaptive,
    };
    Nic::new(transport, cx.instance(), settings)
        .map_err(|error| cx.error(format!("virtio network device: {error}")))
}
