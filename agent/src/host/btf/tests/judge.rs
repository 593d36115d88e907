//! Our reader against btf-rs: every member of every struct of every kernel we keep.

use std::collections::HashMap;

use btf_rs::Type;

use super::{KERNELS, fixture, fixture_path};
use crate::host::btf::member;

#[test]
fn btf_rs_puts_every_member_at_the_same_bit() {
    for kernel in KERNELS {
        let ours = fixture(kernel);
        let theirs = btf_rs::Btf::from_file(fixture_path(kernel)).unwrap();
        let (first, last) = theirs.base().type_id_range();
        assert_eq!(ours.len(), last + 1);
        let mut named: HashMap<String, Vec<_>> = HashMap::new();
        for id in first..=last {
            if let Type::Struct(found) | Type::Union(found) = theirs.resolve_type_by_id(id).unwrap() {
                named.entry(theirs.resolve_name(&found).unwrap()).or_default().push(found);
            }
        }
        let mut seen = 0;
        for (name, structs) in named {
            // Several of one name are the ambiguity tests' business.
            let [found] = structs.as_slice() else { continue };
            for raw in &found.members {
                let path = theirs.resolve_name(raw).unwrap();
                if name.is_empty() || path.is_empty() {
                    continue;
                }
                // The last member of a struct can be a type that has no size in a reduced file.
                let Some(ours) = member(&ours, &name, &path).unwrap() else { continue };
                assert_eq!(
                    ours.byte_offset * 8 + ours.bit_offset,
                    raw.bit_offset(),
                    "{kernel} {name}.{path}"
                );
                assert_eq!(
                    ours.bit_width,
                    raw.bitfield_size().filter(|width| *width != 0),
                    "{kernel} {name}.{path}"
                );
                seen += 1;
            }
        }
        assert!(seen > 1_500, "{kernel}: only {seen}");
    }
}
