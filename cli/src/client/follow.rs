//! A server's stream, taken up again where it broke off: with the token of what was received last, after a pause
//! that grows. What it gives goes into a bounded queue; while that is full the server is not read, and it is the
//! server that then drops, counts and tells.
//!
//! Servers are asked for compact events, a tenth of the bytes; from here on they are events like those of a server that
//! knows no others. Each stream has tables of its own.

use std::{sync::Arc, time::Duration};

use proto::{
    compact::{CompactError, Decoder},
    receive::Received,
    v1::{Encoding, ObserveRequest, ObserveResponse, observe_response::Payload},
};
use tokio::sync::{Semaphore, mpsc::Sender};
use tonic::{Code, Status};

use super::{ClientError, server::Server};

/// The first pause.
const SHORTEST: Duration = Duration::from_millis(500);
/// The longest one.
const LONGEST: Duration = Duration::from_secs(30);

/// News of a server.
#[derive(Debug)]
pub struct Update {
    /// Its number.
    pub server: usize,
    /// What is new.
    pub news: News,
}

/// What is new.
#[derive(Debug)]
pub enum News {
    /// There is such a server.
    Added {
        /// What it is called where its messages name no node.
        name: Arc<str>,
        /// What it is called in messages to the user.
        label: String,
    },
    /// Its stream runs.
    Connected,
    /// It said something.
    Said(Box<ObserveResponse>),
    /// Its stream broke, or did not come about; it is tried again after the pause.
    Broken {
        /// Why.
        error: ClientError,
        /// The pause.
        pause: Duration,
    },
    /// It said all there is.
    Ended,
    /// It cannot be asked this; it is not tried again.
    Failed(ClientError),
    /// Its node has left the cluster, or nothing that is wanted is on it any more.
    Gone,
    /// The servers could not be looked for; those that are known stay.
    Blind(ClientError),
}

/// Where news go; an error = nobody listens any more.
pub struct Mailbox {
    /// The server's number.
    pub server: usize,
    /// The queue.
    pub updates: Sender<Update>,
}

/// Nobody listens any more.
pub struct Closed;

impl Mailbox {
    async fn send(&self, news: News) -> Result<(), Closed> {
        self.updates.send(Update { server: self.server, news }).await.map_err(|_| Closed)
    }
}

/// Follows a server until it said all, or nobody listens. `connects` bounds how many connect at the same time.
pub async fn follow(server: Server, request: ObserveRequest, connects: Arc<Semaphore>, mailbox: Mailbox) {
    // The only way out that is left is that nobody listens.
    let _ = Follower { server, request, token: Vec::new(), tries: 0 }.run(&connects, &mailbox).await;
}

struct Follower {
    server: Server,
    request: ObserveRequest,
    token: Vec<u8>,
    /// Since something was last received.
    tries: u32,
}

/// How a stream came to its end.
enum End {
    /// All was said.
    Complete,
    /// It is worth another try.
    Again(ClientError),
    /// It is not.
    Never(ClientError),
}

impl Follower {
    async fn run(mut self, connects: &Semaphore, mailbox: &Mailbox) -> Result<(), Closed> {
        loop {
            let error = match self.once(connects, mailbox).await? {
                End::Complete => return mailbox.send(News::Ended).await,
                End::Never(error) => return mailbox.send(News::Failed(error)).await,
                End::Again(error) => error,
            };
            let pause = pause(self.tries, fastrand::f64());
            self.tries += 1;
            mailbox.send(News::Broken { error, pause }).await?;
            tokio::time::sleep(pause).await;
        }
    }

    async fn once(&mut self, connects: &Semaphore, mailbox: &Mailbox) -> Result<End, Closed> {
        let (mut client, permit) = {
            let permit = connects.acquire().await.map_err(|_| Closed)?;
            match self.server.observe().await {
                Ok(client) => (client, permit),
                // A file that is wrong does not become right by waiting, unless it once was.
                Err(error @ ClientError::Named(_)) if self.token.is_empty() => return Ok(End::Never(error)),
                Err(error @ ClientError::Refused(_)) if self.token.is_empty() => {
                    return Ok(End::Never(error));
                }
                Err(error) => return Ok(End::Again(error)),
            }
        };
        let begun = tokio::time::timeout(self.server.timeout(), client.observe(self.next_request())).await;
        drop(permit);
        let mut stream = match begun {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return Ok(self.refused(&status)),
            Err(_) => {
                return Ok(End::Again(ClientError::Unreachable(
                    "it took the request and did not answer".to_owned(),
                )));
            }
        };
        mailbox.send(News::Connected).await?;
        let mut decoder = Decoder::new();
        loop {
            match stream.message().await {
                Ok(Some(received)) => {
                    let response = match said(received, &mut decoder) {
                        Ok(response) => response,
                        Err(error) => return Ok(End::Again(ClientError::Unreachable(error.to_string()))),
                    };
                    self.tries = 0;
                    if let Some(token) = token_of(&response) {
                        self.token = token.to_vec();
                    }
                    mailbox.send(News::Said(Box::new(response))).await?;
                }
                Ok(None) if self.request.follow => {
                    return Ok(End::Again(ClientError::Unreachable("the stream ended".to_owned())));
                }
                Ok(None) => return Ok(End::Complete),
                Err(status) => return Ok(self.refused(&status)),
            }
        }
    }

    /// The request, from where the last stream broke off.
    fn next_request(&self) -> ObserveRequest {
        let mut request = self.request.clone();
        request.set_encoding(Encoding::Compact);
        if !self.token.is_empty() {
            request.resume_token.clone_from(&self.token);
            // The token says more exactly from where.
            (request.last, request.first, request.since) = (None, None, None);
        }
        request
    }

    fn refused(&mut self, status: &Status) -> End {
        let error = ClientError::of(status);
        match status.code() {
            Code::InvalidArgument if !self.token.is_empty() => {
                // A server that was replaced may not know the token of the one before it: go on from now.
                self.token.clear();
                (self.request.last, self.request.first, self.request.since) = (None, None, None);
                End::Again(error)
            }
            Code::InvalidArgument | Code::Unimplemented | Code::PermissionDenied => End::Never(error),
            // A token that expired is replaced in its file.
            Code::Unauthenticated if self.token.is_empty() => End::Never(error),
            _ => End::Again(error),
        }
    }
}

/// What was said, with the events of a compact batch as those of any other.
fn said(received: Received, decoder: &mut Decoder) -> Result<ObserveResponse, CompactError> {
    Ok(match received {
        Received::Other(response) => response,
        Received::Compact(response, batch) => {
            ObserveResponse { payload: Some(Payload::Events(decoder.decode(&batch)?)), ..response }
        }
    })
}

fn token_of(response: &ObserveResponse) -> Option<&[u8]> {
    let token = match response.payload.as_ref()? {
        Payload::Events(batch) => &batch.resume_token,
        Payload::Heartbeat(heartbeat) => &heartbeat.resume_token,
        _ => return None,
    };
    (!token.is_empty()).then_some(token)
}

/// Doubles with each try, and is spread by a quarter to either side: a restarted server does not meet all at once.
fn pause(tries: u32, random: f64) -> Duration {
    let whole = SHORTEST.saturating_mul(1 << tries.min(10)).min(LONGEST);
    whole.mul_f64(0.75 + random / 2.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::pause;

    #[test]
    fn pauses_double_up_to_half_a_minute_and_are_spread() {
        assert_eq!(pause(0, 0.5), Duration::from_millis(500));
        assert_eq!(pause(1, 0.5), Duration::from_secs(1));
        assert_eq!(pause(3, 0.0), Duration::from_secs(3));
        assert_eq!(pause(60, 0.5), Duration::from_secs(30));
    }
}
