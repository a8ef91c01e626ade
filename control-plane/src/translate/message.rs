//! Messages put together from bytes of their parts.

use prost::{
    Name,
    encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len},
};

/// The beginning of an encoded `google.protobuf.Any` whose value of `len` bytes follows.
pub(super) fn start_any<T: Name>(len: usize) -> Vec<u8> {
    let url = T::type_url();
    let mut any = Vec::with_capacity(len + url.len() + 16);
    prost::encoding::string::encode(1, &url, &mut any);
    start_message(2, len, &mut any);
    any
}

/// A field that holds a message of `len` bytes, which follow.
pub(super) fn start_message(field: u32, len: usize, buffer: &mut Vec<u8>) {
    encode_key(field, WireType::LengthDelimited, buffer);
    encode_varint(len as u64, buffer);
}

/// Bytes of a field that holds a message of `len` bytes.
pub(super) fn field_len(field: u32, len: usize) -> usize {
    key_len(field) + encoded_len_varint(len as u64) + len
}
