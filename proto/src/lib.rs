//! Sockeye's API as Rust types. The texts behind them, with what every field means, are in `sockeye/v1/*.proto`.

pub mod compact;
pub mod mask;
pub mod receive;

/// `sockeye.v1`.
#[expect(
    unused_qualifications,
    clippy::allow_attributes,
    clippy::clone_on_ref_ptr,
    clippy::allow_attributes_without_reason,
    reason = "generated; what has no comment in the API does not pass buf's COMMENTS rules"
)]
pub mod v1 {
    tonic::include_proto!("sockeye.v1");
}

/// The API's descriptors (an encoded `google.protobuf.FileDescriptorSet`), for reflection and field masks.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sockeye.v1.bin"));
