//! Which servers there are: those of the start, and in a cluster those of nodes that come later, because a node was
//! added or a pod that is wanted was started there.

use std::{collections::HashMap, sync::Arc, time::Duration};

use proto::v1::ObserveRequest;
use tokio::{
    sync::{Semaphore, mpsc::Sender},
    task::{AbortHandle, JoinSet},
};

use super::{
    follow::{Mailbox, News, Update, follow},
    server::{Server, Servers},
};

/// Servers that are connected to at the same time.
const CONNECTS: usize = 16;
/// How often a cluster is looked at.
const LOOK: Duration = Duration::from_secs(15);

/// Follows all servers that the request is for, `first` being those that are known already. Ends when nobody listens
/// any more, or no server is left that could still say something and none can come.
pub async fn run(servers: Servers, first: Vec<Server>, request: ObserveRequest, updates: Sender<Update>) {
    let fleet = Fleet {
        request,
        updates,
        connects: Arc::new(Semaphore::new(CONNECTS)),
        followed: HashMap::new(),
        tasks: JoinSet::new(),
        count: 0,
    };
    // The one error there is: nobody listens any more.
    let _ = fleet.lead(&servers, first).await;
}

struct Fleet {
    request: ObserveRequest,
    updates: Sender<Update>,
    connects: Arc<Semaphore>,
    followed: HashMap<Arc<str>, (usize, AbortHandle)>,
    tasks: JoinSet<()>,
    count: usize,
}

/// Nobody listens.
struct Closed;

impl Fleet {
    async fn lead(mut self, servers: &Servers, first: Vec<Server>) -> Result<(), Closed> {
        self.welcome(first).await?;
        if matches!(servers, Servers::One(_)) || !self.request.follow {
            while self.tasks.join_next().await.is_some() {}
            return Ok(());
        }
        loop {
            tokio::time::sleep(LOOK).await;
            match servers.list(&self.request.allow).await {
                Ok(now) => self.compare(now).await?,
                Err(error) => self.tell(usize::MAX, News::Blind(error)).await?,
            }
        }
    }

    async fn tell(&self, server: usize, news: News) -> Result<(), Closed> {
        self.updates.send(Update { server, news }).await.map_err(|_| Closed)
    }

    /// Announces servers, all of them before any is followed: events wait for those that are known.
    async fn welcome(&mut self, servers: Vec<Server>) -> Result<(), Closed> {
        let mut numbered = Vec::new();
        for server in servers {
            let number = self.count;
            self.count += 1;
            self.tell(number, News::Added { name: Arc::clone(&server.name), label: server.label() }).await?;
            numbered.push((number, server));
        }
        for (number, server) in numbered {
            let name = Arc::clone(&server.name);
            let mailbox = Mailbox { server: number, updates: self.updates.clone() };
            let task = follow(server, self.request.clone(), Arc::clone(&self.connects), mailbox);
            self.followed.insert(name, (number, self.tasks.spawn(task)));
        }
        Ok(())
    }

    /// Follows what is new and forgets what is gone.
    async fn compare(&mut self, now: Vec<Server>) -> Result<(), Closed> {
        let gone: Vec<Arc<str>> = self
            .followed
            .keys()
            .filter(|name| !now.iter().any(|server| server.name == **name))
            .cloned()
            .collect();
        for name in gone {
            if let Some((number, task)) = self.followed.remove(&name) {
                task.abort();
                self.tell(number, News::Gone).await?;
            }
        }
        let new = now.into_iter().filter(|server| !self.followed.contains_key(&server.name)).collect();
        self.welcome(new).await
    }
}
