//! Timestamps (RFC 7323).

use super::*;

static STAMPED: Options = Options { timestamps: true, ..OPTIONS };

/// The clock of the peer when a test begins.
const THEIR_CLOCK: u32 = 0xffff_ff00;

fn syn(port: u16) -> Seg {
    let (mss, scale, stamp) = (Some(1460), Some(7), Some((THEIR_CLOCK, 0)));
    Seg { mss, scale, sack: true, stamp, ..seg(port, TcpControl::Syn, 1000, None) }
}

/// Within this what came in is acknowledged.
const ACKNOWLEDGED: Duration = Duration::from_millis(20);

/// A handshake with timestamps: the next numbers of both sides, and our timestamp.
async fn handshake(net: &mut Net, port: u16) -> (u32, u32, u32) {
    let answer = net.say(&syn(port)).await.into_iter().find(|seg| seg.port == port).expect("a SYN-ACK");
    let (clock, echo) = answer.stamp.expect("a timestamp");
    assert_eq!(echo, THEIR_CLOCK);
    let ours = answer.seq.wrapping_add(1);
    let stamp = Some((THEIR_CLOCK, clock));
    let answers = net.say(&Seg { stamp, ..seg(port, TcpControl::None, 1001, Some(ours)) }).await;
    assert!(answers.iter().all(|seg| seg.port != port), "{answers:?}");
    (1001, ours, clock)
}

#[test]
fn only_where_both_have_them() {
    block_on(async {
        for (options, offered) in [(&STAMPED, false), (&STAMPED, true), (&super::USUAL, true)] {
            let mut net = Net::with(options);
            let held = accept(&net);
            let stamp = offered.then_some((THEIR_CLOCK, 0));
            let answer = net.say(&Seg { stamp, ..syn(5) }).await.pop().unwrap();
            let both = offered && options.timestamps;
            assert_eq!(answer.stamp.map(|(_, echo)| echo), both.then_some(THEIR_CLOCK));
            let ours = answer.seq.wrapping_add(1);
            let stamp = stamp.map(|_| (THEIR_CLOCK + 1, 0));
            let data = vec![1; 4];
            let data = Seg { stamp, data, ..seg(5, TcpControl::Psh, 1001, Some(ours)) };
            let answers = net.say(&data).await;
            assert!(answers.iter().all(|seg| seg.stamp.is_some() == both), "{answers:?}");
            let read = act(&held, async |stream| stream.read(&mut [0; 16]).await);
            net.turn().await;
            assert_eq!(*read.borrow(), Some(Ok(4)));
        }
    });
}

#[test]
fn the_clock_goes_on_and_tells_nobody_when_we_started() {
    block_on(async {
        let mut net = Net::with(&STAMPED);
        let _held = accept(&net);
        let (_, _, first) = handshake(&mut net, 5).await;
        let (_, _, other) = handshake(&mut net, 6).await;
        assert!(first.abs_diff(other) > 1000, "each connection has its own: {first} {other}");
        net.now += Duration::from_millis(77);
        let data = Seg {
            stamp: Some((THEIR_CLOCK + 9, first)),
            data: vec![1; 4],
            ..seg(5, TcpControl::Psh, 1001, None)
        };
        let ours = net.next_of(5);
        net.say(&Seg { ack: Some(ours), ..data }).await;
        let answer = net.after(ACKNOWLEDGED).await.pop().unwrap();
        assert_eq!(answer.stamp, Some((first.wrapping_add(77 + 20), THEIR_CLOCK + 9)));
    });
}

#[test]
fn segments_of_old_are_dropped_and_answered() {
    block_on(async {
        let mut net = Net::with(&STAMPED);
        let held = accept(&net);
        let (theirs, ours, clock) = handshake(&mut net, 5).await;
        let data = |stamp: Option<u32>, seq, byte: u8| {
            let stamp = stamp.map(|value| (value, clock));
            Seg { stamp, data: vec![byte; 4], ..seg(5, TcpControl::Psh, seq, Some(ours)) }
        };
        let read = |net: &Net| {
            assert_eq!(net.flows(), 1);
            act(&held, async |stream| {
                let mut buffer = [0; 16];
                let length = stream.read(&mut buffer).await.unwrap();
                buffer[..length].to_vec()
            })
        };
        // The peer's clock comes round between these two.
        net.say(&data(Some(u32::MAX), theirs, 1)).await;
        net.after(ACKNOWLEDGED).await;
        net.say(&data(Some(5), theirs + 4, 2)).await;
        net.after(ACKNOWLEDGED).await;
        let got = read(&net);
        net.turn().await;
        assert_eq!(got.borrow().as_deref(), Some(&[1, 1, 1, 1, 2, 2, 2, 2][..]));
        // One whose numbers fit, but whose time has passed; and one without a time.
        let answers = net.say(&data(Some(4), theirs + 8, 3)).await;
        assert_eq!(
            answers.iter().map(|seg| (seg.ack, seg.stamp.unwrap().1)).collect::<Vec<_>>(),
            [(Some(theirs + 8), 5)]
        );
        assert!(net.say(&data(None, theirs + 8, 3)).await.is_empty());
        assert_eq!(net.counters().late, 2);
        // What lies ahead in the window moves no clock, or it would shut out what comes before.
        net.say(&data(Some(1000), theirs + 12, 5)).await;
        net.say(&data(Some(6), theirs + 8, 4)).await;
        let got = read(&net);
        net.turn().await;
        assert_eq!(got.borrow().as_deref(), Some(&[4, 4, 4, 4, 5, 5, 5, 5][..]));
        assert_eq!(net.counters().late, 2);
        // A reset needs none.
        let rst = seg(5, TcpControl::Rst, theirs + 16, None);
        net.say(&rst).await;
        assert_eq!(net.shared.borrow().tcp.table_count(), 0);
    });
}

#[test]
fn cookies_keep_what_a_syn_asked_for() {
    block_on(async {
        let mut net = Net::with(&STAMPED);
        let held = accept(&net);
        for number in 0..3072 {
            let from = Ipv4Addr::from(0x0a00_1000 + number);
            net.wire.deliver(Seg { from, ..seg(9, TcpControl::Syn, 7, None) }.frame());
        }
        net.turn().await;
        let before = net.counters().cookies_sent;
        let answer = net.say(&syn(5)).await.into_iter().find(|seg| seg.port == 5).expect("a SYN-ACK");
        assert_eq!((net.counters().cookies_sent - before, answer.scale, answer.sack), (1, Some(0), true));
        let (clock, echo) = answer.stamp.unwrap();
        assert_eq!(echo, THEIR_CLOCK);
        // A window of 8 scaled by 7: too small for the answer without its scale.
        let ours = answer.seq.wrapping_add(1);
        let stamp = Some((THEIR_CLOCK + 1, clock));
        let acknowledgement = Seg { stamp, window: 8, ..seg(5, TcpControl::None, 1001, Some(ours)) };
        net.say(&acknowledgement).await;
        assert_eq!((net.flows(), net.counters().cookies_taken), (1, 1));
        let written = act(&held, async |stream| stream.write_all(&[7; 1000]).await);
        let sent = net.turn().await;
        assert_eq!(*written.borrow(), Some(Ok(())));
        let sent: Vec<Seg> =
            sent.iter().filter_map(|frame| Seg::read(frame)).filter(|seg| seg.port == 5).collect();
        assert_eq!(sent.iter().map(|seg| seg.data.len()).sum::<usize>(), 1000);
        assert!(sent.iter().all(|seg| seg.stamp.unwrap().1 == THEIR_CLOCK + 1));
    });
}

#[test]
fn a_later_clock_opens_a_port_again_that_is_in_time_wait() {
    block_on(async {
        let mut net = Net::with(&STAMPED);
        let held = accept(&net);
        let (theirs, ours, clock) = handshake(&mut net, 5).await;
        let close = act(&held, async |stream| stream.close().await);
        net.turn().await;
        let fin =
            Seg { stamp: Some((THEIR_CLOCK + 1, clock)), ..seg(5, TcpControl::Fin, theirs, Some(ours + 1)) };
        let last = net.say(&fin).await.pop().unwrap();
        assert_eq!((*close.borrow(), net.shared.borrow().tcp.time_wait_count()), (Some(Ok(())), 1));
        assert_eq!(last.stamp.unwrap().1, THEIR_CLOCK + 1);
        // Its FIN again: acknowledged, with timestamps.
        let again = net.say(&fin).await.pop().unwrap();
        assert_eq!((again.ack, again.stamp.unwrap().1), (Some(theirs + 1), THEIR_CLOCK + 1));
        // A SYN with a lower number, at the same time and later.
        let low = |stamp| Seg { seq: 10, stamp: Some((stamp, 0)), ..syn(5) };
        assert_eq!(net.say(&low(THEIR_CLOCK + 1)).await[0].flags, TcpControl::None);
        let answer = net.say(&low(THEIR_CLOCK + 2)).await.pop().unwrap();
        assert_eq!((answer.flags, answer.ack), (TcpControl::Syn, Some(11)));
    });
}
