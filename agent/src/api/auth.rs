//! Who is calling, and which namespaces it may look at.
//!
//! Local callers see everything: whoever reaches the unix socket or the pod's loopback has had to prove itself to
//! somebody else. A certificate is as good unless `authorize: all`. A token must be for our audience, and shows the
//! namespaces in which its user may get pods. While the API server is away, those who need it are told to come back;
//! nobody else notices.

mod cache;
mod review;

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use tonic::{Status, codegen::http::HeaderMap};

use super::{
    config::Authorize,
    connection::{Connection, Peer},
    metrics::ApiMetrics,
};
use review::Reviews;
pub use review::User;

/// How long an answer of the API server is believed.
pub const BELIEVED: Duration = Duration::from_secs(60);

/// The namespaces that one call can name: each is a question to the API server.
pub const MOST_NAMESPACES: usize = 64;

/// Somebody who was let in; in the extensions of each request as `Arc<Caller>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// By the unix socket or loopback; how, in words.
    Local(String),
    /// By its certificate.
    Certificate(User),
    /// By its token.
    Token(User),
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(how) => f.write_str(how),
            Self::Certificate(user) | Self::Token(user) => f.write_str(&user.name),
        }
    }
}

/// What a caller may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Everything, the node itself included.
    Everything,
    /// Pods of these namespaces, and nothing else.
    Namespaces(BTreeSet<String>),
}

impl Allowed {
    /// Whether it may see what belongs to a pod of `namespace`; `None` is no pod, or an unknown one.
    pub fn covers(&self, namespace: Option<&str>) -> bool {
        match self {
            Self::Everything => true,
            Self::Namespaces(allowed) => namespace.is_some_and(|namespace| allowed.contains(namespace)),
        }
    }
}

/// Decides. Shared by all calls.
#[derive(Clone, Debug)]
pub struct Auth(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    authorize: Authorize,
    audiences: Option<Vec<String>>,
    reviews: Option<Reviews>,
}

impl Auth {
    /// `client` reaches the API server; without it neither tokens nor rights can be asked for.
    pub fn new(
        authorize: Authorize,
        audiences: Option<Vec<String>>,
        client: Option<kube::Client>,
        metrics: &ApiMetrics,
    ) -> Self {
        let reviews = client.map(|client| Reviews::new(client, metrics.clone()));
        Self(Arc::new(Inner { authorize, audiences, reviews }))
    }

    /// Who calls.
    pub async fn authenticate(&self, connection: &Connection, headers: &HeaderMap) -> Result<Caller, Status> {
        let certificate = match &connection.peer {
            peer @ (Peer::Unix { .. } | Peer::Loopback(_)) => return Ok(Caller::Local(peer.to_string())),
            Peer::Network { certificate, .. } => certificate,
        };
        if let Some(certificate) = certificate {
            let user = User {
                name: certificate.user().to_owned(),
                groups: certificate.organizations.clone(),
                ..User::default()
            };
            return Ok(Caller::Certificate(user));
        }
        let (Some(audiences), Some(reviews)) = (&self.0.audiences, &self.0.reviews) else {
            return Err(Status::unauthenticated("a client certificate is needed here"));
        };
        let token = bearer(headers, audiences)?;
        reviews.token(token, audiences).await.map(Caller::Token)
    }

    /// What the caller may see of the namespaces that it asks for; `None` asks for everything. It is all of them, or an
    /// error that says which right is missing.
    pub async fn authorize(
        &self,
        caller: &Caller,
        asked: Option<&BTreeSet<String>>,
    ) -> Result<Allowed, Status> {
        let user = match caller {
            Caller::Local(_) => return Ok(Allowed::Everything),
            Caller::Certificate(_) if self.0.authorize == Authorize::Tokens => {
                return Ok(Allowed::Everything);
            }
            Caller::Certificate(user) | Caller::Token(user) => user,
        };
        let Some(reviews) = &self.0.reviews else {
            return Err(Status::unavailable("rights cannot be asked for without the API server"));
        };
        let Some(asked) = asked else {
            return match reviews.may_get_pods(user, None).await? {
                true => Ok(Allowed::Everything),
                false => Err(Status::permission_denied(format!(
                    "{user} may not get pods in all namespaces; ask for the namespaces in which it may"
                ))),
            };
        };
        if asked.len() > MOST_NAMESPACES {
            return Err(Status::resource_exhausted(format!(
                "{} namespaces are asked for at once; {MOST_NAMESPACES} can be",
                asked.len()
            )));
        }
        let questions = asked.iter().map(|namespace| async move {
            reviews.may_get_pods(user, Some(namespace)).await.map(|may| (namespace, may))
        });
        let answers = futures::future::try_join_all(questions).await?;
        let missing: Vec<_> =
            answers.iter().filter(|(_, may)| !may).map(|(namespace, _)| namespace.as_str()).collect();
        match missing.as_slice() {
            [] => Ok(Allowed::Namespaces(asked.clone())),
            [one] => Err(Status::permission_denied(format!("{user} may not get pods in namespace {one}"))),
            more => Err(Status::permission_denied(format!(
                "{user} may not get pods in namespaces {}",
                more.join(", ")
            ))),
        }
    }

    /// Returns when a caller lost its rights, with what to tell it. A stream waits for this beside its events. While the
    /// API server is away, what it said last holds.
    pub async fn revoked(&self, caller: &Caller, allowed: &Allowed) -> Status {
        let asked = match allowed {
            Allowed::Everything => None,
            Allowed::Namespaces(namespaces) => Some(namespaces),
        };
        loop {
            tokio::time::sleep(BELIEVED).await;
            match self.authorize(caller, asked).await {
                Err(status) if status.code() == tonic::Code::PermissionDenied => return status,
                _ => {}
            }
        }
    }
}

/// The token of a request.
fn bearer<'a>(headers: &'a HeaderMap, audiences: &[String]) -> Result<&'a str, Status> {
    let wanted = || audiences.join(" or ");
    let Some(header) = headers.get("authorization") else {
        return Err(Status::unauthenticated(format!(
            "a client certificate is needed here, or a header \"authorization: Bearer TOKEN\" with a token for the \
             audience {} (kubectl create token SERVICEACCOUNT --audience {})",
            wanted(),
            audiences.first().map_or("sockeye", String::as_str)
        )));
    };
    let text = header.to_str().unwrap_or_default().trim();
    let token = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let token = token.map(|(_, token)| token.trim()).filter(|token| !token.is_empty());
    token.ok_or_else(|| Status::unauthenticated("the header authorization is not \"Bearer TOKEN\""))
}

#[cfg(test)]
mod tests;
