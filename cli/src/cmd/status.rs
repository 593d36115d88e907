//! `sockeye status`: every server's answer, on one screen.

use std::{io, process::ExitCode};

use futures::StreamExt as _;
use proto::v1::{GetServerStatusRequest, GetServerStatusResponse};

use super::Failure;
use crate::{
    args::{ReportFormat, StatusArgs, Surroundings},
    client::{
        ClientError,
        server::{Server, Servers},
    },
    message,
    show::status::{Answer, Report},
};

/// Servers that are asked at the same time.
pub(super) const AT_ONCE: usize = 16;

/// Prints the report; its exit code is how bad it is.
pub fn run(args: &StatusArgs) -> Result<ExitCode, Failure> {
    let target = args.connection.target(&Surroundings::here())?;
    let answers = super::observe::ask(async {
        let servers = Servers::of(&target, &args.connection).await?;
        Ok(match servers.list(&[]).await {
            Ok(list) => ask_all(list).await,
            // Wrong on the command line is wrong there; all else is what the report is about.
            Err(error @ ClientError::Named(_)) => return Err(error.into()),
            Err(error) => vec![Answer { node: String::new(), pod: None, status: Err(error) }],
        })
    })?;
    let report = Report::new(answers);
    let mut out = Vec::new();
    match args.output {
        ReportFormat::Text => report.text(args.color.on(&io::stdout()), &mut out),
        ReportFormat::Json => report.json(&mut out),
    }
    super::print(&out);
    for line in report.complaints() {
        message::warning(&line);
    }
    Ok(ExitCode::from(report.exit_code(args.accept_degraded)))
}

/// Asks all, in the order of the list.
pub(super) async fn ask_all(servers: Vec<Server>) -> Vec<Answer> {
    let asked = servers.into_iter().map(async |server: Server| {
        let status = ask(&server).await;
        Answer { node: server.name.to_string(), pod: server.pod, status }
    });
    futures::stream::iter(asked).buffered(AT_ONCE).collect().await
}

async fn ask(server: &Server) -> Result<GetServerStatusResponse, ClientError> {
    let mut client = server.connect().await?;
    let answer =
        tokio::time::timeout(server.timeout(), client.get_server_status(GetServerStatusRequest {})).await;
    match answer {
        Ok(answer) => answer.map(tonic::Response::into_inner).map_err(|status| ClientError::of(&status)),
        Err(_) => Err(ClientError::Unreachable("it took the question and did not answer".to_owned())),
    }
}
