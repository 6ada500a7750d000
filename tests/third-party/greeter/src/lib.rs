//! `greeter`: greets whoever connects, and hangs up.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::String;

use unik::interface::{Tcp, TcpListener, TcpStream};
use unik::start::{Context, StartError};

/// Starts the service on the network `net`.
///
/// # Errors
/// When the network refuses the port.
#[unik::service]
pub async fn start(cx: &Context, options: &'static Options, net: impl Tcp) -> Result<(), StartError> {
    let mut listener = net.listen(options.port).map_err(|error| cx.error(alloc::format!("{error}")))?;
    let cx = *cx;
    cx.spawn(async move {
        loop {
            cx.spawn(greet(listener.accept().await, options));
        }
    });
    Ok(())
}

async fn greet(mut stream: impl TcpStream, options: &'static Options) {
    // Whoever hangs up before isn't greeted.
    if stream.write_all(said(options).as_bytes()).await.is_ok() {
        let _ = stream.close().await;
    }
}

fn said(options: &Options) -> String {
    let greeting = &options.greeting;
    let text = match options.mood {
        Mood::Plain => String::from(greeting.text),
        Mood::Loud => greeting.text.to_uppercase(),
    };
    let times = usize::try_from(greeting.times.unwrap_or(1)).unwrap_or(1);
    alloc::format!("{text}\n").repeat(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loud_and_often() {
        let greeting = Greeting { text: "hello", times: Some(2) };
        let options = Options { port: 1, greeting, mood: Mood::Loud };
        assert_eq!(said(&options), "HELLO\nHELLO\n");
    }
}
