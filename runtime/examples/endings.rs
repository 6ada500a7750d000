//! An appliance that ends in the way that its first argument says.

use unik::platform;
use unik::start::{Context, StartError};
use unik::time::{Duration, sleep};

async fn wire() -> Result<(), StartError> {
    unik::logging::start(unik::log::LevelFilter::Info);
    let cx = Context::new("service");
    let how = platform::boot_line();
    if how == "refuse" {
        return Err(cx.error("no such device"));
    }
    platform::ready();
    cx.spawn_background(async { sleep(Duration::MAX).await });
    cx.spawn(async move {
        sleep(Duration::from_millis(1)).await;
        unik::log::info!("ends: {how}\u{1b}[2J");
        match how {
            "fail" => cx.fail("the disk is gone"),
            "panic" => panic!("on purpose"),
            "loop" => loop {
                core::hint::spin_loop();
            },
            _ => {}
        }
    });
    Ok(())
}

unik::entry!(wire);
