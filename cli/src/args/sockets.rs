//! Arguments of sockets.

use clap::{Args, ValueEnum};
use proto::v1::ListSocketsRequest;

use super::{ColorChoice, ConnectionArgs, FilterArgs, UsageError};

/// sockets.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl sockeye sockets -n shop --pod cart            every socket of these pods
  kubectl sockeye sockets -A --state close-wait         connections that somebody forgot to close
  sockeye sockets -o json | jq .")]
pub struct SocketsArgs {
    #[command(flatten)]
    filters: FilterArgs<false>,
    /// How sockets are written
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: SocketsFormat,
    /// When to use colour
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// How sockets are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SocketsFormat {
    /// columns that fit 80 characters (the default)
    Table,
    /// all columns
    Wide,
    /// one JSON object a line
    Json,
}

impl SocketsArgs {
    /// The request, and the states that are shown (empty = all): a filter of the API has no condition on a socket's
    /// state now.
    pub fn request(&self, namespace: Option<&str>) -> Result<(ListSocketsRequest, Vec<i32>), UsageError> {
        let wanted = self.filters.wanted(namespace)?;
        Ok((ListSocketsRequest { allow: wanted.allow, deny: wanted.deny }, wanted.states))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use proto::v1::{Filter, TcpState};

    use super::SocketsArgs;

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        sockets: SocketsArgs,
    }

    #[test]
    fn sockets_have_the_filters_but_those_of_events() {
        let words = Words::try_parse_from(["x", "-n", "shop", "--state", "close-wait,established"]).unwrap();
        let (request, states) = words.sockets.request(None).unwrap();
        let shop = Filter { namespaces: vec!["shop".to_owned()], ..Filter::default() };
        assert_eq!(request.allow, [shop]);
        assert_eq!(states, [TcpState::CloseWait as i32, TcpState::Established as i32]);
        for event in ["--kind=drop", "--min-latency=5ms", "--drop-reason=X", "--old-state=listen"] {
            assert!(Words::try_parse_from(["x", event]).is_err(), "{event}");
        }
    }
}
