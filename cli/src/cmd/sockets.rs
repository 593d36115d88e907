//! `sockeye sockets`: every socket there is now, of one or many nodes.

use std::{io, io::Write as _};

use futures::StreamExt as _;
use proto::v1::{ListSocketsRequest, SocketEntry};

use super::{Failure, status::AT_ONCE};
use crate::{
    args::{SocketsArgs, Surroundings},
    client::{
        ClientError,
        server::{Server, Servers},
    },
    message, patient,
    show::sockets::Sockets,
};

/// Prints the list, a node at a time; what a node has is printed as soon as it is known.
pub fn run(args: &SocketsArgs) -> Result<(), Failure> {
    args.request(None)?;
    let target = args.connection.target(&Surroundings::here())?;
    super::observe::ask(async {
        let servers = Servers::of(&target, &args.connection).await?;
        let (request, states) = args.request(servers.namespace())?;
        let list = servers.list(&request.allow).await?;
        let count = list.len();
        let asked = list.into_iter().map(|server| {
            let request = request.clone();
            async move {
                let answer = ask(&server, request).await;
                (server, answer)
            }
        });
        let mut answers = futures::stream::iter(asked).buffered(AT_ONCE);
        let mut show = Sockets::new(args.output, states, args.color.on(&io::stdout()));
        let mut out = Vec::new();
        let mut has_header = false;
        let mut failure = None;
        let mut failed = 0;
        while let Some((server, answer)) = answers.next().await {
            match answer {
                Ok(sockets) => {
                    // Not before somebody answered: where nobody does there is no table.
                    if !std::mem::replace(&mut has_header, true) {
                        show.header(&mut out);
                    }
                    show.node(&server.name, &sockets, &mut out);
                }
                Err(error) => {
                    failed += 1;
                    if count > 1 {
                        message::warning(&format!("{}: {error}", server.label()));
                    }
                    failure = Some(error);
                }
            }
            if !write(&mut out)? {
                return Ok(());
            }
        }
        match failure {
            Some(error) if failed == count => Err(error.into()),
            _ => Ok(()),
        }
    })
}

/// False: nobody reads.
fn write(out: &mut Vec<u8>) -> Result<bool, Failure> {
    let mut stdout = io::stdout().lock();
    let written = patient::write_all(&mut stdout, out).and_then(|()| stdout.flush());
    out.clear();
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Output(error)),
    }
}

async fn ask(server: &Server, request: ListSocketsRequest) -> Result<Vec<SocketEntry>, ClientError> {
    let mut client = server.connect().await?;
    let mut stream =
        client.list_sockets(request).await.map_err(|status| ClientError::of(&status))?.into_inner();
    let mut sockets = Vec::new();
    while let Some(response) = stream.message().await.map_err(|status| ClientError::of(&status))? {
        sockets.extend(response.sockets);
    }
    Ok(sockets)
}
