//! Field masks over [`Event`](crate::v1::Event): paths, checked against the API's descriptors, as a tree of bits.
//!
//! A path names a field, also a nested one (`socket.remote.ip`), and keeps all of it. Times and durations are values:
//! their parts cannot be asked for. What a mask leaves empty is left out altogether, unless it is the event's detail,
//! whose presence says the kind. An empty mask keeps all but labels.

use std::{collections::BTreeMap, sync::OnceLock};

use prost::{
    Message as _,
    bytes::{Buf as _, BufMut as _},
    encoding::{DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field},
};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FieldMask, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

use crate::{DESCRIPTORS, v1};

const EVENT: &str = "sockeye.v1.Event";

/// Paths that the empty mask does not keep.
const NOT_BY_DEFAULT: [&str; 2] = ["local.labels", "remote.labels"];

/// A request may be of any length; an error that repeats it may not.
const LONGEST_IN_ERROR: usize = 128;

/// What is kept of a message: bit n is field number n.
pub type Fields = u64;

/// Which fields of an event are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    root: Node,
}

/// What is kept of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    /// Fields of which anything is kept.
    fields: Fields,
    /// Of these, fields of which only a part is kept.
    parts: BTreeMap<u32, Self>,
    /// Fields that are kept even when they are empty: members of a oneof.
    members: Fields,
}

/// A path that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// No such field.
    #[error("unknown path {path:?}: {message} has no field {field:?}; the nearest is {nearest:?}")]
    Unknown {
        /// The path as it was asked for.
        path: String,
        /// The message that the path leads to.
        message: String,
        /// The part of the path that is wrong.
        field: String,
        /// The path with the likest field that the message has.
        nearest: String,
    },
    /// The path goes on behind a field that is wanted as a whole or not at all.
    #[error("unknown path {path:?}: {whole:?} is a value without fields of its own")]
    Value {
        /// The path as it was asked for.
        path: String,
        /// Its beginning that is a path.
        whole: String,
    },
}

impl Mask {
    /// Everything, labels too.
    pub fn everything() -> Self {
        Self { root: Node::whole(messages().event) }
    }

    /// The mask of these paths; of none, or only empty ones: all but labels. `*` is everything.
    ///
    /// # Errors
    /// Names the path that is wrong.
    pub fn new(paths: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, MaskError> {
        let messages = messages();
        let mut root = Node::nothing(messages.event);
        let mut everything = false;
        for path in paths {
            match path.as_ref() {
                "" => {}
                "*" => everything = true,
                path => root.keep(&messages.resolve(path)?),
            }
        }
        if everything {
            return Ok(Self::everything());
        }
        Ok(if root.fields == 0 { Self::default() } else { Self { root } })
    }

    /// The mask of a request.
    ///
    /// # Errors
    /// Names the path that is wrong.
    pub fn of(mask: Option<&FieldMask>) -> Result<Self, MaskError> {
        Self::new(mask.iter().flat_map(|mask| &mask.paths))
    }

    /// The fields that are kept of the message at these field numbers, the event itself being at none: all of them
    /// where the message is kept as a whole, none where it is not kept.
    pub fn fields(&self, path: &[u32]) -> Fields {
        let mut node = &self.root;
        for number in path {
            if node.fields & bit(*number) == 0 {
                return 0;
            }
            match node.parts.get(number) {
                Some(part) => node = part,
                None => return Fields::MAX,
            }
        }
        node.fields
    }

    /// Whether anything is kept of the field at these numbers.
    pub fn keeps(&self, path: &[u32]) -> bool {
        match path.split_last() {
            Some((last, message)) => self.fields(message) & bit(*last) != 0,
            None => true,
        }
    }

    /// Leaves of an event what the mask keeps.
    pub fn apply(&self, event: &mut v1::Event) {
        let kept = self.filter(&event.encode_to_vec());
        // What was just encoded can be decoded, and leaving fields out does not change that.
        *event = kept.and_then(|bytes| v1::Event::decode(&*bytes)).unwrap_or_default();
    }

    /// Leaves of an encoded event what the mask keeps.
    ///
    /// # Errors
    /// Where the bytes are no protobuf.
    pub fn filter(&self, event: &[u8]) -> Result<Vec<u8>, prost::DecodeError> {
        let mut kept = Vec::with_capacity(event.len());
        self.root.filter(event, &mut kept)?;
        Ok(kept)
    }
}

impl Default for Mask {
    /// All but labels.
    fn default() -> Self {
        let messages = messages();
        let mut root = Node::whole(messages.event);
        for path in NOT_BY_DEFAULT {
            // That these paths are right is tested; a wrong one would be a label too many, not a panic.
            if let Ok(steps) = messages.resolve(path) {
                root.leave_out(&steps);
            }
        }
        Self { root }
    }
}

impl Node {
    fn nothing(message: &DescriptorProto) -> Self {
        let members = message.field.iter().filter(|field| is_member(field));
        let members = members.fold(0, |bits, field| bits | bit(number(field)));
        Self { fields: 0, parts: BTreeMap::new(), members }
    }

    /// All fields, also those that a later version of the API may have.
    fn whole(message: &DescriptorProto) -> Self {
        Self { fields: Fields::MAX, ..Self::nothing(message) }
    }

    fn keep(&mut self, steps: &[Step]) {
        let [step, rest @ ..] = steps else { return };
        let whole = self.fields & bit(step.number) != 0 && !self.parts.contains_key(&step.number);
        self.fields |= bit(step.number);
        match rest {
            [] => drop(self.parts.remove(&step.number)),
            [next, ..] if !whole => {
                self.parts.entry(step.number).or_insert_with(|| Self::nothing(next.message)).keep(rest);
            }
            _ => {}
        }
    }

    fn leave_out(&mut self, steps: &[Step]) {
        match steps {
            [] => {}
            [step] => self.fields &= !bit(step.number),
            [step, rest @ ..] => {
                let part = self.parts.entry(step.number);
                part.or_insert_with(|| Self::whole(rest[0].message)).leave_out(rest);
            }
        }
    }

    fn filter(&self, mut message: &[u8], kept: &mut Vec<u8>) -> Result<(), prost::DecodeError> {
        while message.has_remaining() {
            let start = message;
            let (number, wire_type) = decode_key(&mut message)?;
            let part = self.parts.get(&number).filter(|_| wire_type == WireType::LengthDelimited);
            if let Some(part) = part.filter(|_| self.fields & bit(number) != 0) {
                let length = usize::try_from(decode_varint(&mut message)?).unwrap_or(usize::MAX);
                // What is too short is found, and named, by skipping the field.
                let Some(inner) = message.get(..length) else {
                    return skip_field(wire_type, number, &mut &start[..], DecodeContext::default());
                };
                let mut left = Vec::with_capacity(length);
                part.filter(inner, &mut left)?;
                if !left.is_empty() || self.members & bit(number) != 0 {
                    encode_key(number, wire_type, kept);
                    encode_varint(left.len() as u64, kept);
                    kept.put_slice(&left);
                }
                message.advance(length);
            } else {
                skip_field(wire_type, number, &mut message, DecodeContext::default())?;
                if self.fields & bit(number) != 0 {
                    kept.put_slice(&start[..start.len() - message.len()]);
                }
            }
        }
        Ok(())
    }
}

/// A field on the way of a path.
struct Step {
    message: &'static DescriptorProto,
    number: u32,
}

/// The API's messages.
struct Messages {
    files: &'static [prost_types::FileDescriptorProto],
    event: &'static DescriptorProto,
}

impl Messages {
    fn find(
        files: &'static [prost_types::FileDescriptorProto],
        name: &str,
    ) -> Option<&'static DescriptorProto> {
        let (package, message) = name.rsplit_once('.')?;
        let mut files = files.iter().filter(|file| file.package() == package);
        files.find_map(|file| file.message_type.iter().find(|found| found.name() == message))
    }

    /// The message in a field, where a path may go on there: not inside of lists and maps, nor of values.
    fn inside(&self, field: &FieldDescriptorProto) -> Option<&'static DescriptorProto> {
        if field.r#type() != Type::Message || field.label() == Label::Repeated {
            return None;
        }
        let name = field.type_name().strip_prefix('.')?;
        if name.starts_with("google.protobuf.") { None } else { Self::find(self.files, name) }
    }

    fn resolve(&self, path: &str) -> Result<Vec<Step>, MaskError> {
        let mut steps = Vec::new();
        let mut message = self.event;
        let mut begin = 0;
        loop {
            let rest = &path[begin..];
            let name = rest.split('.').next().unwrap_or(rest);
            let Some(field) = message.field.iter().find(|field| field.name() == name) else {
                return Err(unknown(path, begin, message, name));
            };
            steps.push(Step { message, number: number(field) });
            let end = begin + name.len();
            if end == path.len() {
                return Ok(steps);
            }
            let Some(inner) = self.inside(field) else {
                return Err(MaskError::Value { path: shortened(path), whole: path[..end].to_owned() });
            };
            (message, begin) = (inner, end + 1);
        }
    }
}

#[expect(clippy::expect_used, reason = "what build.rs wrote is there, and a test reads it")]
fn messages() -> &'static Messages {
    static MESSAGES: OnceLock<Messages> = OnceLock::new();
    static DECODED: OnceLock<FileDescriptorSet> = OnceLock::new();
    MESSAGES.get_or_init(|| {
        let set =
            DECODED.get_or_init(|| FileDescriptorSet::decode(DESCRIPTORS).expect("descriptors of build.rs"));
        let event = Messages::find(&set.file, EVENT).expect("the API has events");
        Messages { files: &set.file, event }
    })
}

fn number(field: &FieldDescriptorProto) -> u32 {
    field.number().unsigned_abs()
}

/// `optional` is a oneof of one, but its presence says nothing beyond the value.
fn is_member(field: &FieldDescriptorProto) -> bool {
    field.oneof_index.is_some() && !field.proto3_optional()
}

const fn bit(number: u32) -> Fields {
    if number < Fields::BITS { 1 << number } else { 0 }
}

fn unknown(path: &str, begin: usize, message: &DescriptorProto, name: &str) -> MaskError {
    let asked = shortened(name);
    let distance = |field: &&FieldDescriptorProto| strsim::damerau_levenshtein(&asked, field.name());
    let nearest = message.field.iter().min_by_key(distance).map_or("", FieldDescriptorProto::name);
    MaskError::Unknown {
        path: shortened(path),
        message: message.name().to_owned(),
        nearest: format!("{}{nearest}", &path[..begin]),
        field: asked,
    }
}

fn shortened(text: &str) -> String {
    let mut characters = text.chars();
    let mut short: String = characters.by_ref().take(LONGEST_IN_ERROR).collect();
    if characters.next().is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests;
