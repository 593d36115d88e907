//! An image of one layer as an OCI archive: a tar file of an image layout, blobs by their digests.
//! `ctr images import` takes it, and so do podman, skopeo and docker.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType};

use super::{
    config::{Config, architecture},
    tree::{Tree, append},
};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Not compressed: the bytes do not depend on a compressor, and the layer's digest is that of its content.
/// Who pushes it to a registry has it compressed there.
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// An archive.
pub struct Archive {
    /// The file.
    pub bytes: Vec<u8>,
    /// The image's digest: that of its manifest.
    pub digest: String,
    /// What the image takes on a node.
    pub unpacked_bytes: usize,
}

/// Makes the archive of an image. `reference` is its name with the tag.
pub fn archive(reference: &str, config: &Config, tree: &Tree) -> Result<Archive> {
    let tag = tag(reference)
        .with_context(|| format!("an image's name is NAME:TAG, as sockeye:1.2.3; this is `{reference}`"))?;
    let layer = tree.layer()?;
    let config = config.json(&digest(&layer)).to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &config),
        "layers": [descriptor(LAYER, &layer)],
    });
    let manifest = manifest.to_string().into_bytes();
    let mut entry = descriptor(MANIFEST, &manifest);
    entry["platform"] = json!({ "architecture": architecture(), "os": "linux" });
    entry["annotations"] = json!({
        "org.opencontainers.image.ref.name": tag,
        // What containerd names the image; without it the name is the tag alone.
        "io.containerd.image.name": full_name(reference),
    });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] });

    let mut tar = Builder::new(Vec::new());
    let mut add = |path: &str, bytes: &[u8]| append(&mut tar, path, EntryType::Regular, 0o644, bytes);
    add("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    add("index.json", index.to_string().as_bytes())?;
    for blob in [&manifest, &config, &layer] {
        add(&format!("blobs/sha256/{}", hex(blob)), blob)?;
    }
    let bytes = tar.into_inner().context("cannot finish an archive")?;
    Ok(Archive { bytes, digest: digest(&manifest), unpacked_bytes: layer.len() })
}

fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest(blob), "size": blob.len() })
}

fn digest(blob: &[u8]) -> String {
    format!("sha256:{}", hex(blob))
}

fn hex(blob: &[u8]) -> String {
    Sha256::digest(blob).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The tag of a reference: behind the last colon, unless that is a port's.
fn tag(reference: &str) -> Option<&str> {
    let (name, tag) = reference.rsplit_once(':')?;
    (!name.is_empty() && !tag.is_empty() && !tag.contains('/')).then_some(tag)
}

/// A name as a kubelet asks for it: with a registry, and with a folder where that is the default one.
fn full_name(reference: &str) -> String {
    match reference.split_once('/') {
        None => format!("docker.io/library/{reference}"),
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => reference.to_owned(),
        Some(_) => format!("docker.io/{reference}"),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read as _};

    use serde_json::Value;

    use super::{Archive, archive, digest, full_name, hex, tag};
    use crate::image::{Config, Tree};

    fn example(content: &[u8]) -> Archive {
        let mut tree = Tree::default();
        tree.file("/usr/bin/sockeye", 0o755, content.to_vec());
        archive("example.test/sockeye:1.2.3", &Config::sockeye("1.2.3"), &tree).unwrap()
    }

    fn files(archive: &Archive) -> BTreeMap<String, Vec<u8>> {
        let mut tar = tar::Archive::new(&archive.bytes[..]);
        let entries = tar.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().display().to_string(), bytes)
        });
        entries.collect()
    }

    /// Follows a descriptor as a container runtime does: by digest, size checked.
    fn follow<'a>(files: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'a [u8] {
        let name = descriptor["digest"].as_str().unwrap().replace(':', "/");
        let blob = &files[&format!("blobs/{name}")];
        assert_eq!(descriptor["size"], blob.len());
        assert_eq!(descriptor["digest"], digest(blob), "a blob's name is its digest");
        blob
    }

    #[test]
    fn every_part_is_found_by_its_digest_from_the_index_down_to_the_binary() {
        let archive = example(b"binary");
        let files = files(&archive);
        assert_eq!(files["oci-layout"], br#"{"imageLayoutVersion":"1.0.0"}"#);
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let [entry] = &index["manifests"].as_array().unwrap()[..] else { panic!("one image") };
        assert_eq!(entry["digest"], archive.digest);
        assert_eq!(entry["annotations"]["io.containerd.image.name"], "example.test/sockeye:1.2.3");
        assert_eq!(entry["annotations"]["org.opencontainers.image.ref.name"], "1.2.3");
        let manifest: Value = serde_json::from_slice(follow(&files, entry)).unwrap();
        let config: Value = serde_json::from_slice(follow(&files, &manifest["config"])).unwrap();
        let [layer] = &manifest["layers"].as_array().unwrap()[..] else { panic!("one layer") };
        let bytes = follow(&files, layer);
        assert_eq!(config["rootfs"]["diff_ids"][0], digest(bytes), "of the layer as it is unpacked");
        let names: Vec<String> = tar::Archive::new(bytes)
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["usr/", "usr/bin/", "usr/bin/sockeye"]);
        assert_eq!(files.len(), 5, "nothing that nobody points to");
    }

    #[test]
    fn the_configuration_says_what_is_run_and_as_whom() {
        let files = files(&example(b"binary"));
        let configs: Vec<Value> = files
            .values()
            .filter_map(|bytes| serde_json::from_slice(bytes).ok())
            .filter(|value: &Value| value.get("rootfs").is_some())
            .collect();
        let [config] = &configs[..] else { panic!("one configuration") };
        assert_eq!(config["os"], "linux");
        assert_eq!(config["config"]["Entrypoint"][0], "/usr/bin/sockeye");
        assert_eq!(config["config"]["User"], "0:0");
        assert_eq!(config["config"]["Labels"]["org.opencontainers.image.version"], "1.2.3");
    }

    #[test]
    fn the_same_input_has_the_same_bytes_and_another_input_another_digest() {
        assert_eq!(example(b"binary").bytes, example(b"binary").bytes);
        assert_ne!(example(b"binary").digest, example(b"Binary").digest);
    }

    #[test]
    fn a_digest_is_sha256s() {
        assert_eq!(hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_name_needs_its_tag() {
        assert_eq!(tag("sockeye:1"), Some("1"));
        assert_eq!(tag("localhost:5000/sockeye:1"), Some("1"));
        assert_eq!(tag("localhost:5000/sockeye"), None);
        assert_eq!(tag("sockeye"), None);
        let mut tree = Tree::default();
        tree.file("a", 0o644, Vec::new());
        let error = archive("sockeye", &Config::sockeye("1"), &tree).err().unwrap().to_string();
        assert!(error.contains("NAME:TAG") && error.contains("`sockeye`"), "{error}");
    }

    #[test]
    fn a_short_name_is_what_a_kubelet_makes_of_it() {
        assert_eq!(full_name("sockeye:1"), "docker.io/library/sockeye:1");
        assert_eq!(full_name("team/sockeye:1"), "docker.io/team/sockeye:1");
        assert_eq!(full_name("registry.test/sockeye:1"), "registry.test/sockeye:1");
        assert_eq!(full_name("localhost/sockeye:1"), "localhost/sockeye:1");
    }
}
