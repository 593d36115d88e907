//! Times of events as text: of the day in the machine's zone, UTC for JSON, seconds since the first row.
//!
//! The second that was written last is kept as text, so that a time costs a copy and some digits.

use jiff::{Timestamp, Zoned, tz::TimeZone};

use crate::{args::TimeFormat, text};

/// Writes times. One per output.
#[derive(Debug)]
pub struct Clock {
    format: TimeFormat,
    zone: TimeZone,
    /// The second whose text is kept.
    second: Option<i64>,
    /// Its text up to the fraction, and what follows the fraction.
    kept: (String, String),
    /// The boot time of the first row.
    first_boot_ns: Option<u64>,
}

const SECOND: u64 = 1_000_000_000;

impl Clock {
    /// A clock for the machine's zone (TZ, else /etc/localtime).
    pub fn new(format: TimeFormat) -> Self {
        Self::in_zone(format, TimeZone::system())
    }

    /// A clock for any zone.
    pub fn in_zone(format: TimeFormat, zone: TimeZone) -> Self {
        Self { format, zone, second: None, kept: (String::new(), String::new()), first_boot_ns: None }
    }

    /// Appends the time of day (or of the epoch) in the clock's form.
    pub fn time(&mut self, wall_ns: u64, out: &mut Vec<u8>) {
        if self.format == TimeFormat::Unix {
            return text::decimal(wall_ns / 1_000, 6, out);
        }
        self.keep(wall_ns);
        out.extend_from_slice(self.kept.0.as_bytes());
        let fraction = wall_ns % SECOND;
        match self.format {
            TimeFormat::Clock | TimeFormat::Unix => {}
            TimeFormat::ClockMs => fraction_of(fraction / 1_000_000, 3, out),
            TimeFormat::Rfc3339 | TimeFormat::Utc => fraction_of(fraction / 1_000, 6, out),
        }
        out.extend_from_slice(self.kept.1.as_bytes());
    }

    /// Appends RFC 3339 in UTC with nanoseconds. For a clock whose form is [`TimeFormat::Utc`].
    pub fn utc_ns(&mut self, wall_ns: u64, out: &mut Vec<u8>) {
        self.keep(wall_ns);
        out.extend_from_slice(self.kept.0.as_bytes());
        fraction_of(wall_ns % SECOND, 9, out);
        out.extend_from_slice(self.kept.1.as_bytes());
    }

    /// Nanoseconds since the first row, negative for an event that came out late.
    pub fn since_first(&mut self, boot_ns: u64) -> i64 {
        let first = *self.first_boot_ns.get_or_insert(boot_ns);
        boot_ns.cast_signed().wrapping_sub(first.cast_signed())
    }

    fn keep(&mut self, wall_ns: u64) {
        let second = (wall_ns / SECOND).cast_signed();
        if self.second == Some(second) {
            return;
        }
        self.second = Some(second);
        let timestamp = Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
        let zone = if self.format == TimeFormat::Utc { TimeZone::UTC } else { self.zone.clone() };
        let zoned = Zoned::new(timestamp, zone);
        self.kept = match self.format {
            TimeFormat::Clock | TimeFormat::ClockMs | TimeFormat::Unix => {
                (zoned.strftime("%H:%M:%S").to_string(), String::new())
            }
            TimeFormat::Utc => (zoned.strftime("%Y-%m-%dT%H:%M:%S").to_string(), "Z".to_owned()),
            TimeFormat::Rfc3339 => {
                (zoned.strftime("%Y-%m-%dT%H:%M:%S").to_string(), zoned.strftime("%:z").to_string())
            }
        };
    }
}

fn fraction_of(value: u64, digits: u32, out: &mut Vec<u8>) {
    out.push(b'.');
    text::zero_padded(value, digits, out);
}

#[cfg(test)]
mod tests {
    use jiff::tz::{TimeZone, offset};

    use super::Clock;
    use crate::args::TimeFormat;

    const WALL: u64 = 1_772_370_189_123_456_789;

    fn shown(format: TimeFormat) -> String {
        let mut out = Vec::new();
        Clock::in_zone(format, TimeZone::fixed(offset(1))).time(WALL, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_form_is_as_documented() {
        assert_eq!(shown(TimeFormat::Clock), "14:03:09");
        assert_eq!(shown(TimeFormat::ClockMs), "14:03:09.123");
        assert_eq!(shown(TimeFormat::Rfc3339), "2026-03-01T14:03:09.123456+01:00");
        assert_eq!(shown(TimeFormat::Utc), "2026-03-01T13:03:09.123456Z");
        assert_eq!(shown(TimeFormat::Unix), "1772370189.123456");
    }

    #[test]
    fn the_kept_second_is_replaced_when_time_goes_on_or_back() {
        let mut clock = Clock::in_zone(TimeFormat::Utc, TimeZone::UTC);
        let mut shown = |wall_ns| {
            let mut out = Vec::new();
            clock.utc_ns(wall_ns, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown(WALL), "2026-03-01T13:03:09.123456789Z");
        assert_eq!(shown(WALL + 900_000_000), "2026-03-01T13:03:10.023456789Z");
        assert_eq!(shown(WALL), "2026-03-01T13:03:09.123456789Z");
    }

    #[test]
    fn seconds_count_from_the_first_row_and_can_be_negative() {
        let mut clock = Clock::in_zone(TimeFormat::Clock, TimeZone::UTC);
        assert_eq!(clock.since_first(5_000), 0);
        assert_eq!(clock.since_first(7_500), 2_500);
        assert_eq!(clock.since_first(4_000), -1_000);
    }
}
