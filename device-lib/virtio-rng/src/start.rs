//! Finds the device of an instance, seeds the generator, and keeps it fresh.

use alloc::format;
use core::future::poll_fn;
use core::time::Duration;

use log::warn;
use unik::start::{Context, StartError};
use unik::time::{sleep, timeout};
use unik_virtio::{FindError, Kind, MachinePort, find};

use crate::{Generator, Options, Source, SourceError};

/// How long the device has for the first seed.
const FIRST_SEED: Duration = Duration::from_secs(5);
/// How often fresh bytes are mixed in.
const RESEED: Duration = Duration::from_secs(60);

/// Starts an instance: the first entropy device of the machine that no other instance has.
///
/// # Errors
/// When there is no such device, or it fails its health check.
pub async fn start(cx: &Context, _options: &'static Options) -> Result<Generator, StartError> {
    let transport = find(Kind::Entropy, |_| true).map_err(|error| match error {
        FindError::Missing => cx.error(
            "the machine has no free virtio entropy device; with QEMU add \
             `-device virtio-rng-device` (machine microvm) or \
             `-device virtio-rng-pci,disable-legacy=on`",
        ),
        FindError::Unusable(error) => cx.error(format!("virtio entropy device: {error}")),
    })?;
    let mut source =
        Source::new(transport).map_err(|error| cx.error(format!("virtio entropy device: {error}")))?;
    let first = timeout(FIRST_SEED, poll_fn(|cx| source.poll_seed(cx))).await;
    let seed = first
        .map_err(|_| cx.error("the entropy device didn't answer within 5 s"))?
        .map_err(|error| cx.error(format!("{error}")))?;
    let generator = Generator::new(seed);
    cx.spawn_background(keep_fresh(cx.instance(), source, generator.clone()));
    Ok(generator)
}

async fn keep_fresh(instance: &'static str, mut source: Source<MachinePort>, generator: Generator) {
    let mut complained = false;
    loop {
        sleep(RESEED).await;
        match poll_fn(|cx| source.poll_seed(cx)).await {
            Ok(seed) => generator.reseed(seed),
            Err(error) => {
                if !complained {
                    warn!("{instance}: {error}; its generator goes on without fresh bytes");
                    complained = true;
                }
                if let SourceError::Device(_) = error {
                    return;
                }
            }
        }
    }
}
