//! Compiles the API without protoc, and keeps its descriptors for reflection and field masks.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const FILES: [&str; 10] =
    ["compact", "event", "filter", "identity", "loss", "observer", "port", "report", "socket", "status"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=sockeye");
    let files = FILES.map(|name| format!("sockeye/v1/{name}.proto"));
    let descriptors = protox::compile(files, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("sockeye.v1.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        // In order: the same identity is the same bytes.
        .btree_map(".sockeye.v1.Identity.labels")
        // An Event is large, and hardly any compact event has one.
        .boxed(".sockeye.v1.CompactEvent.rest")
        .compile_fds(descriptors)?;
    Ok(())
}
