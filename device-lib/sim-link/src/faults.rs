//! What goes wrong on a link.

use std::fmt;

use unik::platform::sim::Random;

/// Parts of a million.
type Ppm = u32;

/// How a link treats frames, each for itself, in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// It doesn't arrive.
    pub loss: Ppm,
    /// It arrives twice.
    pub duplicate: Ppm,
    /// Others overtake it.
    pub reorder: Ppm,
    /// One bit of it behind the Ethernet header is another: what checksums are there to see.
    pub corrupt: Ppm,
    /// Nanoseconds on the way, at least and at most. Without `reorder` none overtakes another.
    pub delay: (u64, u64),
}

/// A link on which nothing goes wrong.
impl Default for Faults {
    fn default() -> Self {
        Faults { loss: 0, duplicate: 0, reorder: 0, corrupt: 0, delay: (100_000, 100_000) }
    }
}

/// By how much a frame that others overtake comes later, in nanoseconds.
const LATER: (u64, u64) = (500_000, 20_000_000);
/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];

/// What becomes of one frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// When each copy arrives, in nanoseconds after it was sent, and whether it may overtake others.
    pub copies: Vec<(u64, bool)>,
    /// Whether a bit was changed.
    pub is_corrupt: bool,
}

impl Faults {
    /// Reads `loss=5%,delay=1ms..20ms,…`.
    ///
    /// # Errors
    /// [`WrongFaults`] for what can't be read, and for a word that is there twice.
    pub fn parse(text: &str) -> Result<Faults, WrongFaults> {
        let mut faults = Faults::default();
        let mut seen = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let wrong = |why| WrongFaults { part: part.into(), why };
            let (name, value) = part.split_once('=').ok_or_else(|| wrong(FORM))?;
            if seen.contains(&name) {
                return Err(wrong("it is there already"));
            }
            seen.push(name);
            let share =
                || share(value).ok_or_else(|| wrong("a share is written as 5% or 0.05, from 0% to 100%"));
            match name {
                "loss" => faults.loss = share()?,
                "duplicate" => faults.duplicate = share()?,
                "reorder" => faults.reorder = share()?,
                "corrupt" => faults.corrupt = share()?,
                "delay" => faults.delay = delay(value).ok_or_else(|| wrong(DELAY))?,
                _ => return Err(wrong(FORM)),
            }
        }
        Ok(faults)
    }

    /// Whether every frame arrives, once, whole and in order.
    #[must_use]
    pub const fn is_faultless(&self) -> bool {
        self.loss == 0 && self.duplicate == 0 && self.reorder == 0 && self.corrupt == 0
    }

    /// Draws what becomes of `frame`, and changes it if that is its fate.
    pub fn meet(&self, frame: &mut [u8], random: &mut Random) -> Fate {
        if random.happens(self.loss) {
            return Fate { copies: Vec::new(), is_corrupt: false };
        }
        // Ethernet's own checksum keeps what is below IP from harm, as far as this is real.
        let is_ip = frame.get(12..ETHERNET) == Some(&ETHERTYPE_IPV4);
        let is_corrupt = random.happens(self.corrupt) && is_ip && corrupt(frame, random);
        let copies = if random.happens(self.duplicate) { 2 } else { 1 };
        let copies = (0..copies).map(|copy| {
            let late = random.happens(self.reorder);
            let after = random.between(self.delay.0, self.delay.1);
            let extra = if late { random.between(LATER.0, LATER.1) } else { 0 };
            (after + extra, late || copy > 0)
        });
        Fate { copies: copies.collect(), is_corrupt }
    }
}

/// Changes one bit of the IPv4 packet in `frame`, its padding left out: what is there to be seen
/// by a checksum.
fn corrupt(frame: &mut [u8], random: &mut Random) -> bool {
    let Some(length) = frame.get(ETHERNET + 2..ETHERNET + 4) else { return false };
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    let Some(packet) = frame.get_mut(ETHERNET..ETHERNET + length) else { return false };
    if packet.is_empty() {
        return false;
    }
    let bit = random.between(0, packet.len() as u64 * 8 - 1) as usize;
    packet[bit / 8] ^= 1 << (bit % 8);
    true
}

const FORM: &str = "expected loss, duplicate, reorder or corrupt=SHARE, or delay=TIME or delay=TIME..TIME";
const DELAY: &str = "a delay is written as 5ms or 1ms..20ms, in ns, us, ms or s, up to 60s";
const LONGEST_DELAY: u64 = 60_000_000_000;

/// `5%`, `0.05`.
fn share(text: &str) -> Option<Ppm> {
    let (number, scale) = match text.strip_suffix('%') {
        Some(number) => (number, 10_000.0),
        None => (text, 1_000_000.0),
    };
    let share = number.parse::<f64>().ok()? * scale;
    (0.0..=1_000_000.0).contains(&share).then_some(share.round() as Ppm)
}

fn delay(text: &str) -> Option<(u64, u64)> {
    let (least, most) = text.split_once("..").unwrap_or((text, text));
    let (least, most) = (time(least)?, time(most)?);
    (least <= most && most <= LONGEST_DELAY).then_some((least, most))
}

/// `20ms` in nanoseconds.
pub(crate) fn time(text: &str) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let unit = match &text[at..] {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    text[..at].parse::<u64>().ok()?.checked_mul(unit)
}

/// `faults=` holds what can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongFaults {
    part: String,
    why: &'static str,
}

impl fmt::Display for WrongFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.part, self.why)
    }
}

impl std::error::Error for WrongFaults {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        let faults = Faults::parse("loss=5%,delay=1ms..20ms, reorder=0.5%,duplicate=0.01,corrupt=100%");
        let expected = Faults {
            loss: 50_000,
            duplicate: 10_000,
            reorder: 5_000,
            corrupt: 1_000_000,
            delay: (1_000_000, 20_000_000),
        };
        assert_eq!(faults, Ok(expected));
        assert_eq!(Faults::parse(""), Ok(Faults::default()));
        assert_eq!(Faults::parse("delay=3s").map(|faults| faults.delay), Ok((3_000_000_000, 3_000_000_000)));
        for wrong in [
            "loss",
            "los=5%",
            "loss=101%",
            "loss=-1%",
            "loss=x",
            "loss=1%,loss=1%",
            "delay=5",
            "delay=9ms..1ms",
            "delay=61s",
            "delay=ms",
            "delay=99999999999999999999s",
            "loss=nan",
        ] {
            assert!(Faults::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares_are_kept() {
        let faults = Faults::parse("loss=10%,duplicate=10%,corrupt=10%,reorder=10%").expect("good faults");
        let mut random = Random::new(3);
        let (mut lost, mut twice, mut corrupt) = (0, 0, 0);
        for _ in 0..10_000 {
            let mut frame = [0; 60];
            frame[12..14].copy_from_slice(&ETHERTYPE_IPV4);
            frame[16..18].copy_from_slice(&30u16.to_be_bytes());
            let before = frame;
            let fate = faults.meet(&mut frame, &mut random);
            let differs = frame.iter().zip(&before).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>();
            assert_eq!(differs, u32::from(fate.is_corrupt));
            assert_eq!((&frame[..14], &frame[44..]), (&before[..14], &before[44..]), "only the packet");
            lost += usize::from(fate.copies.is_empty());
            twice += usize::from(fate.copies.len() == 2);
            corrupt += usize::from(fate.is_corrupt);
        }
        for count in [lost, twice, corrupt] {
            assert!((800..1200).contains(&count), "{count}");
        }
    }

    #[test]
    fn what_is_no_ip_stays_whole() {
        let faults = Faults::parse("corrupt=100%").expect("good faults");
        let mut arp = [0; 42];
        arp[12..14].copy_from_slice(&[0x08, 0x06]);
        let before = arp;
        assert!(!faults.meet(&mut arp, &mut Random::new(1)).is_corrupt);
        assert_eq!(arp, before);
        // A length that the frame hasn't.
        let mut short = [0xff; 20];
        short[12..14].copy_from_slice(&ETHERTYPE_IPV4);
        assert!(!faults.meet(&mut short, &mut Random::new(1)).is_corrupt);
    }
}
