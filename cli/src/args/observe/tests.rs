//! What observe's own options mean, and which of them contradict each other.

use std::time::{Duration, SystemTime};

use clap::Parser;
use proto::v1::{EventKind, ObserveRequest};

use super::{ObserveArgs, ObserveFormat, ObservePlan, Source};
use crate::{args::Surroundings, tool::Tool};

#[derive(Parser)]
struct Words {
    #[command(flatten)]
    observe: ObserveArgs,
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_772_370_189)
}

fn plan(words: &str) -> Result<ObservePlan, String> {
    let words = std::iter::once("sockeye").chain(words.split_whitespace());
    let words = Words::try_parse_from(words).map_err(|error| {
        use std::error::Error as _;
        error.source().map_or_else(|| error.to_string(), ToString::to_string)
    })?;
    words.observe.plan(&Surroundings::default(), now()).map_err(|error| error.to_string())
}

fn request(words: &str) -> ObserveRequest {
    plan(words).unwrap().request(None).unwrap()
}

fn refused(words: &str) -> String {
    plan(words).map(|_| ()).unwrap_err()
}

#[test]
fn without_a_window_it_follows_and_with_one_only_on_request() {
    assert_eq!(request(""), ObserveRequest { follow: true, ..ObserveRequest::default() });
    assert_eq!(request("--last 20"), ObserveRequest { last: Some(20), ..ObserveRequest::default() });
    assert_eq!(
        request("--last 20 -f"),
        ObserveRequest { last: Some(20), follow: true, ..ObserveRequest::default() }
    );
    assert_eq!(request("--first 5"), ObserveRequest { first: Some(5), ..ObserveRequest::default() });
    assert_eq!(plan("--first 5").unwrap().max_events, Some(5), "the first of all nodes");
}

#[test]
fn since_and_until_are_ago_or_a_time() {
    let seconds = |words| request(words).since.unwrap().seconds;
    assert_eq!(seconds("--since 5m"), 1_772_370_189 - 300);
    assert_eq!(seconds("--since 90"), 1_772_370_189 - 90);
    assert_eq!(seconds("--since 2026-03-01T13:00:00Z"), 1_772_370_000);
    assert_eq!(request("--since 1h --until 5m").until.unwrap().seconds, 1_772_370_189 - 300);
    assert!(!request("--since 5m").follow);
    assert!(request("--since 5m -f").follow);
    assert_eq!(
        refused("--since yesterday"),
        "\"yesterday\" is not a time; write it as 5m (ago) or 2026-03-01T14:00:00Z"
    );
    assert_eq!(refused("--since 5m --until 1h"), "--until: it is before --since: nothing can be between");
}

#[test]
fn windows_that_make_no_sense_are_refused() {
    for (words, one, other) in [
        ("--last 1 --first 1", "--last", "--first"),
        ("--last 1 --since 5m", "--last", "--since"),
        ("--first 1 --until 5m", "--first", "--until"),
        ("--first 1 -f", "--first", "-f/--follow"),
        ("--until 5m -f", "--until", "-f/--follow"),
    ] {
        assert_eq!(refused(words), format!("{one} and {other} exclude each other"));
    }
    assert!(refused("--last 0").contains("is not a number of events"));
}

#[test]
fn formats_and_what_belongs_to_them() {
    let format = |words| plan(words).unwrap().format;
    assert_eq!(format(""), ObserveFormat::Compact);
    assert_eq!(format("-o wide"), ObserveFormat::Wide);
    assert_eq!(format("-o jsonpb"), ObserveFormat::Jsonpb);
    assert_eq!(format("--tool tcplife"), ObserveFormat::Bcc);
    assert_eq!(plan("-o bcc").unwrap().tool, Tool::Tcptracer);
    assert_eq!(plan("-o bcc --tool life").unwrap().tool, Tool::Tcplife);
    assert_eq!(refused("-o json --tool tcplife"), "--tool needs -o bcc");
    assert_eq!(refused("-o table --no-pod"), "--no-pod needs -o bcc");
    assert_eq!(refused("--tool tcplive"), "no tool \"tcplive\"; did you mean tcplife?");
    assert_eq!(refused("-o bcc -k drop"), "-k/--kind and -o bcc exclude each other");
}

#[test]
fn a_tools_columns_ask_for_the_tools_kinds() {
    let kinds = |words| {
        request(words).kinds.into_iter().map(|kind| EventKind::try_from(kind).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(kinds("-o bcc --tool tcpaccept"), [EventKind::Accept]);
    assert_eq!(kinds("-o bcc --tool tcplife"), [EventKind::Close, EventKind::StateChange]);
    assert_eq!(kinds(""), []);
}

#[test]
fn saved_events_need_no_server_and_take_no_filter() {
    assert_eq!(plan("--input-file -").unwrap().source, Source::File(None));
    assert_eq!(plan("--input-file e.json").unwrap().source, Source::File(Some("e.json".into())));
    for (words, other) in
        [("-n shop", "a filter"), ("-f", "-f"), ("--last 2", "--last"), ("--server a:1", "--server")]
    {
        assert_eq!(
            refused(&format!("--input-file - {words}")),
            format!("--input-file and {other} exclude each other")
        );
    }
}

#[test]
fn the_rest_is_passed_on() {
    let plan =
        plan("--for 10s --max-events 3 --merge-window 2s -q --time-format utc --print-request").unwrap();
    assert_eq!(plan.duration, Some(Duration::from_secs(10)));
    assert_eq!(plan.max_events, Some(3));
    assert_eq!(plan.merge_window, Duration::from_secs(2));
    assert!(plan.quiet && plan.print_request);
    assert_eq!(plan.time_format, Some(crate::args::TimeFormat::Utc));
}
