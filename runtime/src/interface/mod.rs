//! What components give and take from each other.
//!
//! An interface is a trait here and a name in the catalogue (`provides`, `wires`,
//! `needs`). A component takes its interfaces as generic parameters, so that an image
//! holds exactly the code of the providers that its plan chose: no trait object, no
//! enum of alternatives.
//!
//! A service reaches only what it was given: a trait bound that a `start` function
//! doesn't have is an interface that doesn't exist in its code.

mod blocks;
mod clock;
mod console;
mod entropy;
mod files;
mod frames;
mod key_value;
mod resolver;
mod tcp;
mod udp;

pub use blocks::{BlockError, Blocks};
pub use clock::Clock;
pub use console::Console;
pub use entropy::{Entropy, EntropyError};
pub use files::{FileError, Files, Metadata};
pub use frames::{Frames, FullRing, Offload, Offloads};
pub use key_value::{KeyValue, KeyValueError};
pub use resolver::{Family, ResolveError, Resolver};
pub use tcp::{ConnectError, ListenError, StreamError, Tcp, TcpListener, TcpStream};
pub use udp::{BindError, SendError, Udp, UdpSocket};
