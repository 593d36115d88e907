//! An excerpt finds what the whole finds, under the same number.

use super::{KERNELS, fixture};
use crate::host::btf::{Btf, Kept, excerpt, function, section::Kind, tracepoint};

fn kept() -> Vec<Kept> {
    let tracepoints = ["inet_sock_set_state", "tcp_destroy_sock", "no_such_tracepoint"];
    let functions = ["inet_csk_accept", "no_such_function"];
    let tracepoints = tracepoints.map(|name| Kept::Tracepoint(name.to_owned()));
    tracepoints.into_iter().chain(functions.map(|name| Kept::Function(name.to_owned()))).collect()
}

#[test]
fn what_is_kept_has_the_number_that_it_has_in_the_whole() {
    for kernel in KERNELS {
        let whole = fixture(kernel);
        let part = Btf::from_bytes(excerpt(&whole, &kept())).unwrap();
        for (name, kind) in [
            ("btf_trace_inet_sock_set_state", Kind::Typedef),
            ("btf_trace_tcp_destroy_sock", Kind::Typedef),
            ("inet_csk_accept", Kind::Func),
        ] {
            let id = whole.ids(name, kind).next();
            assert!(id.is_some(), "{kernel}: {name}");
            assert_eq!(part.ids(name, kind).next(), id, "{kernel}: {name}");
        }
        assert!(function(&whole, "inet_csk_accept").is_some() && tracepoint(&part, "no_such").is_none());
    }
}

#[test]
fn what_the_kernel_lacks_is_not_in_it_and_nothing_is_fine() {
    let part = Btf::from_bytes(excerpt(&fixture(KERNELS[0]), &kept()[2..3])).unwrap();
    assert!(part.is_empty());
    assert!(Btf::from_bytes(excerpt(&fixture(KERNELS[0]), &[])).unwrap().is_empty());
}
