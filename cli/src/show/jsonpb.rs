//! The API's messages as protobuf JSON, one a line: everything, losses and nodes' states too, so that a saved stream
//! can be shown again.

use std::sync::LazyLock;

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use proto::v1::{EventBatch, ObserveRequest, ObserveResponse, observe_response::Payload};

use super::{Item, Show};
use crate::escape;

/// Writes messages.
pub struct Jsonpb;

impl Show for Jsonpb {
    fn event(&mut self, item: &Item, out: &mut Vec<u8>) -> u64 {
        let batch = EventBatch { events: vec![item.event.clone()], resume_token: Vec::new() };
        let payload = Some(Payload::Events(batch));
        write(&ObserveResponse { node_name: item.node.to_string(), time: item.time, payload }, out);
        1
    }

    fn message(&mut self, response: &ObserveResponse, out: &mut Vec<u8>) {
        write(response, out);
    }
}

/// The descriptors are embedded: that they are whole is tested below.
static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(proto::DESCRIPTORS).unwrap_or_default());

fn descriptor(name: &str) -> Option<MessageDescriptor> {
    POOL.get_message_by_name(&format!("sockeye.v1.{name}"))
}

/// Appends a response as a line.
pub fn write(response: &ObserveResponse, out: &mut Vec<u8>) {
    write_as("ObserveResponse", &response.encode_to_vec(), out);
}

/// Appends a request as a line.
pub fn write_request(request: &ObserveRequest, out: &mut Vec<u8>) {
    write_as("ObserveRequest", &request.encode_to_vec(), out);
}

/// Appends any message of the API as a line, by its bytes.
pub fn write_as(name: &str, bytes: &[u8], out: &mut Vec<u8>) {
    let Some(descriptor) = descriptor(name) else { return };
    let Ok(message) = DynamicMessage::decode(descriptor, bytes) else { return };
    let Ok(text) = serde_json::to_string(&message) else { return };
    escape::json_text(&text, out);
    out.push(b'\n');
}

/// Reads a line.
pub fn read(line: &str) -> Result<ObserveResponse, String> {
    let descriptor = descriptor("ObserveResponse").ok_or("the descriptors are broken")?;
    let mut deserializer = serde_json::Deserializer::from_str(line);
    let message =
        DynamicMessage::deserialize(descriptor, &mut deserializer).map_err(|error| reason(&error))?;
    deserializer.end().map_err(|error| reason(&error))?;
    message.transcode_to().map_err(|error| error.to_string())
}

/// Without serde's place: the line is ours.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::{descriptor, read, write};
    use crate::show::fixture;

    #[test]
    fn the_descriptors_are_there() {
        assert!(descriptor("ObserveResponse").is_some());
        assert!(descriptor("ObserveRequest").is_some());
        assert!(descriptor("GetServerStatusResponse").is_some());
    }

    #[test]
    fn a_message_reads_back_and_a_hostile_name_does_not_reach_the_terminal() {
        let mut event = fixture::close();
        event.process.as_mut().unwrap().comm = "\u{1b}[31m\u{202e}\"\\x\u{9b}".to_owned();
        let response = fixture::response("a", vec![event]);
        let mut out = Vec::new();
        write(&response, &mut out);
        let text = String::from_utf8(out).unwrap();
        let line = text.strip_suffix('\n').unwrap();
        assert!(!line.chars().any(|character| character.is_control() || character == '\u{202e}'), "{line}");
        assert_eq!(read(line).unwrap(), response);
    }

    #[test]
    fn what_is_no_message_is_refused_with_the_reason() {
        assert_eq!(read("{").unwrap_err(), "EOF while parsing an object");
        assert!(read("{\"nodeNam\":\"a\"}").unwrap_err().contains("nodeNam"));
        assert!(read("[]").is_err());
        assert!(read("{} {}").is_err());
    }
}
