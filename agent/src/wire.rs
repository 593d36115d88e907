//! Events as protobuf, written without allocating.
