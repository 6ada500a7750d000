//! What the network has counted since its start.

/// Counters of one network. Each packet that isn't delivered counts in exactly one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames received.
    pub received: u64,
    /// Frames too short, or with lengths that contradict each other.
    pub malformed: u64,
    /// Packets with a wrong checksum.
    pub checksum: u64,
    /// Frames and packets for somebody else.
    pub not_ours: u64,
    /// Packets whose sender can't be one: multicast, loopback, ourselves.
    pub martian: u64,
    /// Frames and packets of protocols that this appliance doesn't have.
    pub protocol: u64,
    /// Fragments of packets that can't be put together: too many at a time, or contradicting ones.
    pub fragment: u64,
    /// ICMP messages that nothing is done about, or that can't be true.
    pub icmp: u64,
    /// Datagrams to ports that nobody has.
    pub udp_refused: u64,
    /// Datagrams that the receiver's buffer had no room for.
    pub udp_overflow: u64,
    /// TCP segments to ports that nobody listens on, or of connections that don't exist.
    pub tcp_refused: u64,
    /// SYNs answered with a cookie, since there was no room for another half-open connection. With
    /// replies: not among those that aren't delivered.
    pub cookies_sent: u64,
    /// Connections made of cookies that came back. Not among those that aren't delivered.
    pub cookies_taken: u64,
    /// Resets and SYNs of TCP connections that may be forged, and were answered with a question.
    pub challenged: u64,
    /// TCP segments of old, by their timestamps, or without one where they must have it (RFC 7323).
    pub late: u64,
    /// ICMP errors that were believed.
    pub reports: u64,
    /// Connections not taken: too many of them, or no memory for their buffers.
    pub connections_refused: u64,
    /// Connections not taken: the service is behind with accepting.
    pub backlog_full: u64,
    /// Replies not sent: the transmit ring was full, or too many errors in this second.
    pub replies_dropped: u64,
}

#[cfg(feature = "counters")]
impl Counters {
    /// Each counter with what it counts, for people.
    #[must_use]
    pub fn reasons(&self) -> [(&'static str, u64); 19] {
        [
            ("frames received", self.received),
            ("malformed", self.malformed),
            ("with a wrong checksum", self.checksum),
            ("for others", self.not_ours),
            ("of impossible senders", self.martian),
            ("of other protocols", self.protocol),
            ("pieces of no whole", self.fragment),
            ("ICMP messages of no use", self.icmp),
            ("datagrams to closed ports", self.udp_refused),
            ("datagrams without room", self.udp_overflow),
            ("segments to closed ports or of no connection", self.tcp_refused),
            ("cookies sent", self.cookies_sent),
            ("cookies taken", self.cookies_taken),
            ("resets and SYNs questioned", self.challenged),
            ("segments of old", self.late),
            ("ICMP errors believed", self.reports),
            ("connections without room", self.connections_refused),
            ("connections not accepted in time", self.backlog_full),
            ("replies dropped", self.replies_dropped),
        ]
    }
}
