//! What the battery-backed clock's registers say, as a time.
//!
//! Refers to nothing else of the crate, so that its tests run on the host:
//! `runtime/tests/machine.rs`.

/// The registers of the CMOS clock (Motorola MC146818), at one moment.
#[derive(Clone, Copy, Debug)]
pub struct CmosTime {
    /// Seconds, minutes, hours, day, month, year, century.
    pub fields: [u8; 7],
    /// The fields are binary numbers, not two decimal digits.
    pub binary: bool,
    /// Hours run from 0 to 23; else from 1 to 12, with bit 7 in the afternoon.
    pub hours_24: bool,
}

impl CmosTime {
    /// Seconds since 1970-01-01, the clock being in UTC; `None` if the fields are no date
    /// from then on.
    pub fn unix(&self) -> Option<u64> {
        let [second, minute, hour, day, month, year, century] = self.fields;
        let hour = if self.hours_24 {
            self.number(hour)
        } else {
            self.number(hour & 0x7f) % 12 + if hour & 0x80 != 0 { 12 } else { 0 }
        };
        let century = self.number(century);
        // Not every clock keeps the century.
        let century = if (19..=29).contains(&century) { century } else { 20 };
        unix_seconds(
            century * 100 + self.number(year),
            self.number(month),
            self.number(day),
            hour * 3600 + self.number(minute) * 60 + self.number(second),
        )
    }

    fn number(&self, field: u8) -> u64 {
        if self.binary { field.into() } else { u64::from(field >> 4) * 10 + u64::from(field & 15) }
    }
}

/// Seconds since 1970 of a date in the Gregorian calendar.
fn unix_seconds(year: u64, month: u64, day: u64, second_of_day: u64) -> Option<u64> {
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) || second_of_day >= 86400 {
        return None;
    }
    // Years from March on, so that the leap day is a year's last; days since 0000-03-01.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    Some((days - 719_468) * 86400 + second_of_day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_dates() {
        assert_eq!(unix_seconds(1970, 1, 1, 0), Some(0));
        assert_eq!(unix_seconds(1972, 2, 29, 1), Some(68_169_601));
        assert_eq!(unix_seconds(2000, 3, 1, 0), Some(951_868_800));
        assert_eq!(unix_seconds(2026, 11, 23, 10 * 3600), Some(1_795_428_000));
        assert_eq!(unix_seconds(2100, 3, 1, 0), Some(4_107_542_400));
    }

    #[test]
    fn refuses_what_is_no_date() {
        assert_eq!(unix_seconds(1969, 12, 31, 0), None);
        assert_eq!(unix_seconds(2026, 0, 1, 0), None);
        assert_eq!(unix_seconds(2026, 13, 1, 0), None);
        assert_eq!(unix_seconds(2026, 1, 0, 0), None);
        assert_eq!(unix_seconds(2026, 1, 1, 86400), None);
        assert_eq!(CmosTime { fields: [0xff; 7], binary: false, hours_24: true }.unix(), None);
    }

    #[test]
    fn reads_both_notations() {
        let expected = unix_seconds(2026, 11, 23, 22 * 3600 + 15 * 60 + 48);
        let digits = [0x48, 0x15, 0x22, 0x23, 0x11, 0x26, 0x20];
        assert_eq!(CmosTime { fields: digits, binary: false, hours_24: true }.unix(), expected);
        let binary = [48, 15, 10 | 0x80, 23, 11, 26, 0];
        assert_eq!(CmosTime { fields: binary, binary: true, hours_24: false }.unix(), expected);
        let midnight = [0, 0, 12, 1, 1, 70, 19];
        assert_eq!(CmosTime { fields: midnight, binary: true, hours_24: false }.unix(), Some(0));
    }
}
