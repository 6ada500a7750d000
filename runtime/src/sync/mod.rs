//! Notification and channels between tasks of the one thread.
//!
//! | type | from, to | holds |
//! |---|---|---|
//! | [`Notify`] | any to any | nothing but "look again" |
//! | [`channel`] | many to one | a bounded queue of values |
//!
//! None of them is `Send`: they join tasks of one executor.

mod channel;
mod notify;

pub use channel::{Closed, Receiver, SendRefused, Sender, channel};
pub use notify::{Notified, Notify};
