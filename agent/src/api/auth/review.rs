//! TokenReview and SubjectAccessReview: what is asked of the API server, and what its answers mean.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use futures::FutureExt as _;
use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus},
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
};
use kube::{Api, Client, api::PostParams};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tonic::{Code, Status};
use tracing::warn;

use super::{BELIEVED, cache::Cache};
use crate::api::metrics::ApiMetrics;

/// A token that is none is asked for again sooner.
const DISBELIEVED: Duration = Duration::from_secs(10);
/// How long the API server may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Reviews at once: made-up tokens must not become a flood for the API server.
const AT_ONCE: usize = 8;
/// Answers that are kept, of each kind.
const MOST: usize = 1024;

/// A user, as the API server knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its groups.
    pub groups: Vec<String>,
    /// Its UID, where it has one.
    pub uid: Option<String>,
    /// What else the authenticator says.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.name.escape_debug())
    }
}

/// Why there is no answer, to be told to the caller: a status that can be shared.
#[derive(Clone, Debug)]
struct Failure(Code, String);

impl From<Failure> for Status {
    fn from(Failure(code, words): Failure) -> Self {
        Self::new(code, words)
    }
}

/// A question about rights: who, and where (`None` = everywhere).
type Question = (User, Option<String>);

/// Asks, and remembers.
pub(super) struct Reviews {
    client: Client,
    slots: Arc<Semaphore>,
    tokens: Cache<Box<str>, Option<User>, Failure>,
    rights: Cache<Question, bool, Failure>,
    metrics: ApiMetrics,
}

impl fmt::Debug for Reviews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reviews").finish_non_exhaustive()
    }
}

impl Reviews {
    pub(super) fn new(client: Client, metrics: ApiMetrics) -> Self {
        let (tokens, rights) = (Cache::new(MOST), Cache::new(MOST));
        Self { client, slots: Arc::new(Semaphore::new(AT_ONCE)), tokens, rights, metrics }
    }

    /// Whose a token is.
    pub(super) async fn token(&self, token: &str, audiences: &[String]) -> Result<User, Status> {
        let believed = |user: &Option<User>| if user.is_some() { BELIEVED } else { DISBELIEVED };
        let ask = || {
            let spec = TokenReviewSpec { token: Some(token.to_owned()), audiences: Some(audiences.to_vec()) };
            let review = TokenReview { spec, ..TokenReview::default() };
            let audiences = audiences.to_vec();
            let asking = self.asking("tokenreviews.authentication.k8s.io");
            async move {
                let answer = asking.ask(&review).await?;
                Ok(answer.status.and_then(|status| user(status, &audiences)))
            }
            .boxed()
        };
        let found = self.tokens.get(&token.into(), believed, ask).await?;
        found.ok_or_else(|| {
            Status::unauthenticated(format!(
                "the token is not valid for the audience {}: it may have expired, or be for another one",
                audiences.join(" or ")
            ))
        })
    }

    /// Whether a user may get pods in a namespace, or in all.
    pub(super) async fn may_get_pods(&self, user: &User, namespace: Option<&str>) -> Result<bool, Status> {
        let believed = |may: &bool| if *may { BELIEVED } else { DISBELIEVED };
        let question = (user.clone(), namespace.map(str::to_owned));
        let ask = || {
            let (user, namespace) = question.clone();
            let spec = SubjectAccessReviewSpec {
                user: Some(user.name),
                groups: Some(user.groups),
                uid: user.uid,
                extra: Some(user.extra),
                resource_attributes: Some(ResourceAttributes {
                    verb: Some("get".to_owned()),
                    resource: Some("pods".to_owned()),
                    namespace,
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            };
            let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
            let asking = self.asking("subjectaccessreviews.authorization.k8s.io");
            async move {
                let answer = asking.ask(&review).await?;
                Ok(answer.status.is_some_and(|status| status.allowed && status.denied != Some(true)))
            }
            .boxed()
        };
        self.rights.get(&question, believed, ask).await.map_err(Status::from)
    }

    fn asking(&self, resource: &'static str) -> Asking {
        let (client, slots) = (self.client.clone(), Arc::clone(&self.slots));
        Asking { client, slots, resource, metrics: self.metrics.clone() }
    }
}

/// One question under way. It owns all it needs: who asked may leave, and others may wait for the same.
struct Asking {
    client: Client,
    slots: Arc<Semaphore>,
    resource: &'static str,
    metrics: ApiMetrics,
}

impl Asking {
    async fn ask<R>(self, review: &R) -> Result<R, Failure>
    where
        R: kube::Resource<DynamicType = ()>
            + serde::Serialize
            + serde::de::DeserializeOwned
            + Clone
            + fmt::Debug,
    {
        let deadline = Instant::now() + PATIENCE;
        let away = |why: &str| {
            Failure(Code::Unavailable, format!("the API server cannot be asked now: {why}; come back"))
        };
        // The name without its group is the label.
        let label = self.resource.split('.').next().unwrap_or(self.resource);
        let counted = |result: &'static str| match label {
            "tokenreviews" => self.metrics.reviewed("token", result),
            _ => self.metrics.reviewed("access", result),
        };
        let Ok(Ok(_slot)) = timeout_at(deadline, self.slots.acquire()).await else {
            counted("busy");
            return Err(away("too many callers ask at once"));
        };
        let api: Api<R> = Api::all(self.client.clone());
        match timeout_at(deadline, api.create(&PostParams::default(), review)).await {
            Ok(Ok(answer)) => {
                counted("answered");
                Ok(answer)
            }
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
                counted("forbidden");
                warn!(verb = "create", resource = self.resource, "the agent's service account lacks a right");
                Err(Failure(Code::Unavailable, format!("the agent itself may not create {}", self.resource)))
            }
            Ok(Err(error)) => {
                counted("failed");
                warn!(resource = self.resource, %error, "the API server does not answer a review");
                Err(away("it gave no answer"))
            }
            Err(_) => {
                counted("failed");
                warn!(resource = self.resource, "the API server takes too long for a review");
                Err(away("it takes too long"))
            }
        }
    }
}

/// The user of a token that is valid for one of the audiences. An API server that leaves the audiences out has checked
/// the token for itself, not for us.
fn user(status: TokenReviewStatus, audiences: &[String]) -> Option<User> {
    let ours = status.audiences.unwrap_or_default().iter().any(|audience| audiences.contains(audience));
    if status.authenticated != Some(true) || !ours {
        return None;
    }
    let user = status.user?;
    let name = user.username.filter(|name| !name.is_empty())?;
    Some(User {
        name,
        groups: user.groups.unwrap_or_default(),
        uid: user.uid,
        extra: user.extra.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::authentication::v1::{TokenReviewStatus, UserInfo};

    use super::user;

    fn status(audiences: Option<&str>) -> TokenReviewStatus {
        TokenReviewStatus {
            authenticated: Some(true),
            audiences: audiences.map(|one| vec![one.to_owned()]),
            user: Some(UserInfo { username: Some("u".to_owned()), ..UserInfo::default() }),
            ..TokenReviewStatus::default()
        }
    }

    #[test]
    fn a_token_that_was_checked_for_another_audience_is_nobody() {
        let ours = ["sockeye".to_owned()];
        assert_eq!(user(status(Some("sockeye")), &ours).unwrap().name, "u");
        assert_eq!(user(status(Some("vault")), &ours), None);
        assert_eq!(user(status(None), &ours), None);
        let refused = TokenReviewStatus { authenticated: Some(false), ..status(Some("sockeye")) };
        assert_eq!(user(refused, &ours), None);
    }
}
