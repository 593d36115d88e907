//! New cgroups: names of containers as runtimes write them, and names that nobody writes.

use agent_common::record::{self, LEVEL_BYTES, LEVELS, RecordType};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::{CONTEXT, NOW, header};
use crate::decode::{DecodeError, cgroup, decode, is_cgroup};

fn made(names: &[&str]) -> record::CgroupMade {
    let mut record = record::CgroupMade::new_zeroed();
    record.header = header(RecordType::CgroupMade, &[], 0);
    record.id = 4711;
    record.parent = 4700;
    record.whole = 1;
    for (level, name) in names.iter().enumerate() {
        record.lengths[level] = u8::try_from(name.len()).unwrap();
        record.names[level][..name.len()].copy_from_slice(name.as_bytes());
    }
    record
}

#[test]
fn a_container_comes_with_its_pod_and_what_is_around_them() {
    let names = ["cri-containerd-0f3a.scope", "kubepods-pod77.slice", "kubepods.slice"];
    let mut record = made(&names);
    record.names[0][60] = 7;
    record.names[4] = [b'x'; LEVEL_BYTES];
    assert!(is_cgroup(record.as_bytes()));
    let made = cgroup(record.as_bytes()).unwrap();
    assert_eq!((made.id, made.parent, made.boot_ns, made.whole), (4711, Some(4700), NOW, true));
    let levels: Vec<_> = made.levels().map(|level| (level.name, level.cut)).collect();
    let expected: Vec<_> = names.iter().map(|name| (name.as_bytes(), false)).collect();
    assert_eq!(levels, expected, "what lies behind a name is not of it");
}

#[test]
fn a_name_too_long_for_its_room_says_so() {
    let name = "n".repeat(LEVEL_BYTES - 1);
    let mut record = made(&["leaf", &name, "fits"]);
    record.cut = 0b10;
    let made = cgroup(record.as_bytes()).unwrap();
    assert_eq!(made.levels().map(|level| level.cut).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(made.levels().nth(1).unwrap().name.len(), LEVEL_BYTES - 1);
}

#[test]
fn without_names_there_is_no_path() {
    let record = made(&[]);
    let made = cgroup(record.as_bytes()).unwrap();
    assert_eq!((made.levels().len(), made.whole), (0, false));
}

#[test]
fn any_bytes_but_the_end_and_the_slash_are_a_name() {
    let mut record = made(&["a"]);
    record.lengths[0] = 4;
    record.names[0][..4].copy_from_slice(b"\x1b[\xff\n");
    let made = cgroup(record.as_bytes()).unwrap();
    assert_eq!(made.levels().next().unwrap().name, b"\x1b[\xff\n");
}

#[test]
fn a_name_that_cannot_be_is_refused() {
    let refused = |change: &dyn Fn(&mut record::CgroupMade)| {
        let mut record = made(&["leaf", "pod"]);
        change(&mut record);
        cgroup(record.as_bytes()).unwrap_err()
    };
    for length in [LEVEL_BYTES as u8, 255] {
        let error = refused(&|record| record.lengths[1] = length);
        assert_eq!(error, DecodeError::Name { level: 1, length });
    }
    let gap = refused(&|record| record.lengths[LEVELS - 1] = 3);
    assert_eq!(gap, DecodeError::Name { level: 4, length: 3 });
    let shorter = refused(&|record| record.names[0][1] = 0);
    assert_eq!(shorter, DecodeError::Name { level: 0, length: 4 });
    let slash = refused(&|record| record.names[1][0] = b'/');
    assert_eq!(slash, DecodeError::Name { level: 1, length: 3 });
    let longer = refused(&|record| record.names[0][4] = b'x');
    assert_eq!(longer, DecodeError::Name { level: 0, length: 4 });
}

#[test]
fn a_cgroup_is_no_event_and_an_event_no_cgroup() {
    let record = made(&["leaf"]);
    let error = DecodeError::NoEvent { record: RecordType::CgroupMade };
    assert_eq!(decode(record.as_bytes(), &CONTEXT), Err(error));
    let event =
        record::Snapshot { header: header(RecordType::Snapshot, &[], 0), ..record::Snapshot::default() };
    assert!(!is_cgroup(event.as_bytes()) && cgroup(event.as_bytes()).is_err());
}

#[test]
fn a_record_of_another_length_is_refused() {
    let record = made(&["leaf"]);
    for length in [0, 8, 31, 40, 695] {
        assert!(cgroup(&record.as_bytes()[..length]).is_err(), "{length}");
    }
}
