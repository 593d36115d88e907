//! Reading an iterator's file: a row of records of one size.

use std::{
    fs::File,
    io::{self, Read as _},
};

use zerocopy::FromBytes;

/// Records that are asked for at once.
const BATCH: usize = 256;

/// Reads an iterator to its end; gives each record, and its bytes. The kernel visits an object again when the buffer was full, so a record can come
/// twice.
pub(super) fn read<T: FromBytes>(mut file: File, mut each: impl FnMut(T, &[u8])) -> io::Result<()> {
    let size = size_of::<T>();
    let mut buffer = vec![0; BATCH * size];
    let mut filled = 0;
    loop {
        let got = match file.read(&mut buffer[filled..]) {
            Ok(0) => return Ok(()),
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        filled += got;
        let whole = filled / size * size;
        for bytes in buffer[..whole].chunks_exact(size) {
            if let Ok(record) = T::read_from_bytes(bytes) {
                each(record, bytes);
            }
        }
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
}
