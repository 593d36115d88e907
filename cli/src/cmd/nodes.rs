//! `sockeye nodes`: the nodes with their agents.

use std::io;

use proto::v1::{ListNodesRequest, NodeState, NodeStatus};
use tonic::Code;

use super::{Failure, status::ask_all};
use crate::{
    args::{NodesArgs, ReportFormat, Surroundings},
    client::{
        ClientError,
        server::{Server, Servers},
    },
    show::{
        nodes::{Row, json, table},
        status::Answer,
    },
};

/// Prints the list.
pub fn run(args: &NodesArgs) -> Result<(), Failure> {
    let target = args.connection.target(&Surroundings::here())?;
    let rows = super::observe::ask(async {
        Ok(match Servers::of(&target, &args.connection).await? {
            Servers::One(server) => of_server(server).await?,
            Servers::Cluster(cluster) => {
                let agents = cluster.agents().await?;
                // A pod that is not placed has no node to be asked on.
                let (placed, waiting): (Vec<_>, Vec<_>) =
                    agents.into_iter().partition(|agent| !agent.node.is_empty());
                let servers = placed.into_iter().map(|agent| cluster.server(agent)).collect();
                let mut rows: Vec<Row> = ask_all(servers).await.iter().map(of_answer).collect();
                rows.extend(waiting.iter().map(Row::waiting));
                rows
            }
        })
    })?;
    let mut out = Vec::new();
    match args.output {
        ReportFormat::Text => table(&rows, args.color.on(&io::stdout()), &mut out),
        ReportFormat::Json => json(&rows, &mut out),
    }
    super::print(&out);
    Ok(())
}

/// A collector knows its nodes; an agent is one.
async fn of_server(server: Server) -> Result<Vec<Row>, ClientError> {
    let mut client = server.connect().await?;
    let answer = tokio::time::timeout(server.timeout(), client.list_nodes(ListNodesRequest {})).await;
    match answer {
        Err(_) => Err(ClientError::Unreachable("it took the question and did not answer".to_owned())),
        Ok(Ok(response)) => Ok(response
            .into_inner()
            .nodes
            .into_iter()
            .map(|status| Row { pod: String::new(), status })
            .collect()),
        Ok(Err(status)) if status.code() == Code::Unimplemented => {
            Ok(ask_all(vec![server]).await.iter().map(of_answer).collect())
        }
        Ok(Err(status)) => Err(ClientError::of(&status)),
    }
}

fn of_answer(answer: &Answer) -> Row {
    let pod = answer.pod.as_ref().map(|pod| format!("{}/{}", pod.namespace, pod.name)).unwrap_or_default();
    let status = match &answer.status {
        Ok(status) => NodeStatus {
            node_name: if status.node_name.is_empty() {
                answer.node.clone()
            } else {
                status.node_name.clone()
            },
            state: NodeState::Connected.into(),
            message: answer.complaint().unwrap_or_default(),
            version: status.version.clone(),
            ..NodeStatus::default()
        },
        Err(error) => NodeStatus {
            node_name: answer.node.clone(),
            state: match error {
                ClientError::Unreachable(_) | ClientError::Named(_) => NodeState::Unavailable,
                ClientError::Refused(_) | ClientError::Request(_) => NodeState::Error,
            }
            .into(),
            message: error.to_string(),
            ..NodeStatus::default()
        },
    };
    Row { pod, status }
}
