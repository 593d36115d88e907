//! Protobuf's fields straight from the bytes. An event is read into numbers; nothing of it is allocated.
//!
//! It takes and refuses what prost takes and refuses, which the tests ask it about.

use prost::encoding::{DecodeContext, decode_key, skip_field};

use super::CompactError;
use crate::v1::Event;

/// What is left of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

/// A field's value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Number(u64),
    Block(&'a [u8]),
    /// In none of the forms that the API has.
    Other,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// The next field.
    #[inline]
    pub(super) fn field(&mut self) -> Result<Option<(u32, Value<'a>)>, CompactError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let before = self.0;
        let key = self.number()?;
        // Numbers up to 2^29, and none is 0.
        let number = u32::try_from(key >> 3).unwrap_or_default();
        if number == 0 || key > u64::from(u32::MAX) {
            return Err(CompactError::Bytes("a field without a number"));
        }
        let value = match key & 7 {
            0 => Value::Number(self.number()?),
            2 => Value::Block(self.block()?),
            _ => {
                self.0 = before;
                self.skip()?;
                Value::Other
            }
        };
        Ok(Some((number, value)))
    }

    /// A varint.
    #[inline]
    fn number(&mut self) -> Result<u64, CompactError> {
        match *self.0 {
            [one, ref rest @ ..] if one < 0x80 => {
                self.0 = rest;
                Ok(u64::from(one))
            }
            [one, two, ref rest @ ..] if two < 0x80 => {
                self.0 = rest;
                Ok(u64::from(one & 0x7f) | u64::from(two) << 7)
            }
            _ => self.long_number(),
        }
    }

    fn long_number(&mut self) -> Result<u64, CompactError> {
        let mut number = 0;
        for (index, byte) in self.0.iter().take(10).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                if index == 9 && *byte > 1 {
                    break;
                }
                self.0 = &self.0[index + 1..];
                return Ok(number);
            }
        }
        Err(CompactError::Bytes("a number that does not end, or is too large"))
    }

    #[inline]
    fn block(&mut self) -> Result<&'a [u8], CompactError> {
        let length = self.number()?;
        let block = usize::try_from(length).ok().and_then(|length| self.0.split_at_checked(length));
        let (block, rest) = block.ok_or(CompactError::Bytes("a field that is longer than its message"))?;
        self.0 = rest;
        Ok(block)
    }

    #[cold]
    fn skip(&mut self) -> Result<(), CompactError> {
        let skipped = decode_key(&mut self.0)
            .and_then(|(number, wire)| skip_field(wire, number, &mut self.0, DecodeContext::default()));
        skipped.map_err(|_| CompactError::Bytes("a field that cannot be skipped"))
    }
}

impl<'a> Value<'a> {
    #[inline]
    pub(super) const fn number(self) -> Result<u64, CompactError> {
        match self {
            Self::Number(number) => Ok(number),
            _ => Err(CompactError::Bytes("a field that should be a number")),
        }
    }

    /// A number of 32 bits. What is longer is cut, as protobuf has it.
    #[inline]
    pub(super) const fn small(self) -> Result<u32, CompactError> {
        match self.number() {
            Ok(number) => Ok(number as u32),
            Err(error) => Err(error),
        }
    }

    #[inline]
    pub(super) const fn block(self) -> Result<&'a [u8], CompactError> {
        match self {
            Self::Block(block) => Ok(block),
            _ => Err(CompactError::Bytes("a field that should be a text, bytes or a message")),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, CompactError> {
        str::from_utf8(self.block()?).map_err(|_| CompactError::Bytes("a text that is not UTF-8"))
    }
}

/// The number that a sint64 stands for.
#[inline]
pub(super) const fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// A `CompactEvent`, read into the same place one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Said {
    pub(super) time_delta_ns: i64,
    pub(super) kind_and_flags: u32,
    pub(super) socket: u32,
    pub(super) cpu: u32,
    pub(super) duration_ns: u64,
    pub(super) codes: u32,
    /// More than these are of no kind.
    values: [u64; 16],
    count: usize,
    pub(super) cookie_delta: Option<i64>,
    pub(super) since_start_ns: Option<i64>,
    /// In the order of their numbers, without `since_start_ns`.
    pub(super) named: Named,
    pub(super) rest: Option<Box<Event>>,
}

/// The numbers that are remembered; 0 = nothing was said.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Named {
    pub(super) local_address: u32,
    pub(super) remote_address: u32,
    pub(super) local_port: u32,
    pub(super) remote_port: u32,
    pub(super) place: u32,
    pub(super) process: u32,
    pub(super) remote_identity: u32,
    pub(super) owner: u32,
    pub(super) user: u32,
}

impl Said {
    /// Reads an event in the place of the one before.
    pub(super) fn read(&mut self, event: &[u8]) -> Result<(), CompactError> {
        self.begin();
        let mut reader = Reader::new(event);
        while let Some((number, value)) = reader.field()? {
            match number {
                1 => self.time_delta_ns = unzigzag(value.number()?),
                2 => self.kind_and_flags = value.small()?,
                3 => self.socket = value.small()?,
                4 => self.cpu = value.small()?,
                5 => self.duration_ns = value.number()?,
                6 => self.codes = value.small()?,
                7 => self.more_values(value)?,
                8 => self.cookie_delta = Some(unzigzag(value.number()?)),
                9 => self.named.local_address = value.small()?,
                10 => self.named.remote_address = value.small()?,
                11 => self.named.local_port = value.small()?,
                12 => self.named.remote_port = value.small()?,
                13 => self.named.place = value.small()?,
                14 => self.since_start_ns = Some(unzigzag(value.number()?)),
                15 => self.named.process = value.small()?,
                16 => self.named.remote_identity = value.small()?,
                17 => self.named.owner = value.small()?,
                18 => self.named.user = value.small()?,
                19 => self.more_rest(value.block()?)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn begin(&mut self) {
        (self.time_delta_ns, self.kind_and_flags, self.socket, self.cpu) = (0, 0, 0, 0);
        (self.duration_ns, self.codes, self.count) = (0, 0, 0);
        (self.cookie_delta, self.since_start_ns) = (None, None);
        self.named = Named::default();
        self.rest = None;
    }

    /// One of the values, if it came.
    #[inline]
    pub(super) fn value(&self, index: usize) -> Option<u64> {
        self.values[..self.count].get(index).copied()
    }

    fn more_values(&mut self, value: Value<'_>) -> Result<(), CompactError> {
        let mut push = |value| {
            if let Some(place) = self.values.get_mut(self.count) {
                *place = value;
                self.count += 1;
            }
        };
        match value {
            Value::Number(number) => push(number),
            value => {
                let mut values = Reader::new(value.block()?);
                while !values.0.is_empty() {
                    push(values.number()?);
                }
            }
        }
        Ok(())
    }

    #[cold]
    fn more_rest(&mut self, bytes: &[u8]) -> Result<(), CompactError> {
        let merged = prost::Message::merge(&mut **self.rest.get_or_insert_default(), bytes);
        merged.map_err(|_| CompactError::Bytes("a rest that is no Event"))
    }
}

#[cfg(test)]
impl From<crate::v1::CompactEvent> for Said {
    fn from(event: crate::v1::CompactEvent) -> Self {
        let mut values = [0; 16];
        let count = event.values.len().min(values.len());
        values[..count].copy_from_slice(&event.values[..count]);
        Self {
            time_delta_ns: event.time_delta_ns,
            kind_and_flags: event.kind_and_flags,
            socket: event.socket,
            cpu: event.cpu,
            duration_ns: event.duration_ns,
            codes: event.codes,
            values,
            count,
            cookie_delta: event.cookie_delta,
            since_start_ns: event.since_start_ns,
            named: Named {
                local_address: event.local_address,
                remote_address: event.remote_address,
                local_port: event.local_port,
                remote_port: event.remote_port,
                place: event.place,
                process: event.process,
                remote_identity: event.remote_identity,
                owner: event.owner,
                user: event.user,
            },
            rest: event.rest,
        }
    }
}
