//! The `synod.v1` protocol: messages, clients and servers generated from `proto/synod/v1/*.proto`, and the descriptor
//! set that reflection serves. The only crate with prost types in its API.

/// `synod.v1`, as generated. The comments of the `.proto` files are its documentation.
#[allow(missing_docs, unreachable_pub, clippy::large_enum_variant, clippy::doc_lazy_continuation)]
pub mod v1 {
    tonic::include_proto!("synod.v1");
}

/// The encoded `google.protobuf.FileDescriptorSet` of the protocol, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/synod_descriptor.bin"));
