//! Names of addresses from libc's resolver (the static binary's reads the hosts file and asks DNS), asked on threads of
//! their own: an event never waits for a name server. The queue and the cache are bounded.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

/// What is known about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// Its name: bytes of whoever runs the name server, to be escaped.
    Known(&'a [u8]),
    /// The resolver has none.
    None,
    /// The resolver was asked and has not answered.
    Pending,
    /// Too many questions are open; this one was not asked.
    NotAsked,
}

/// The cache and the way to the resolver.
pub struct Names {
    cache: HashMap<IpAddr, Entry>,
    questions: SyncSender<IpAddr>,
    answers: Receiver<(IpAddr, Option<String>)>,
}

enum Entry {
    Asked,
    Answered { name: Option<Box<[u8]>>, since: Instant },
}

/// Questions that wait, and addresses that are remembered.
const QUESTIONS: usize = 256;
const REMEMBERED: usize = 4096;
/// A dead name server holds a thread for seconds: a few of them keep the others going.
const THREADS: usize = 4;
/// How long an answer is good for.
const NAME_LASTS: Duration = Duration::from_secs(3600);
const NO_NAME_LASTS: Duration = Duration::from_secs(60);

impl Names {
    /// Names from the system's resolver.
    pub fn of_the_system() -> Self {
        Self::from_resolver(resolve)
    }

    /// Names from any resolver.
    pub fn from_resolver(resolve: fn(IpAddr) -> Option<String>) -> Self {
        let (questions, waiting) = sync_channel::<IpAddr>(QUESTIONS);
        let (answered, answers) = sync_channel(QUESTIONS);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..THREADS {
            let (waiting, answered) = (Arc::clone(&waiting), answered.clone());
            // Detached on purpose: a thread inside the resolver cannot be stopped, and must not hold up the
            // end of the program. It owns nothing but its channels. Where no thread can be had, questions
            // stay open and rows go out without names.
            let _ = thread::Builder::new().name("names".to_owned()).spawn(move || {
                loop {
                    let question = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(address) = question else { return };
                    if answered.send((address, resolve(address))).is_err() {
                        return;
                    }
                }
            });
        }
        Self { cache: HashMap::new(), questions, answers }
    }

    /// The address's name; asks for it if nobody did.
    pub fn of(&mut self, address: IpAddr) -> Name<'_> {
        self.take_answers();
        let outdated = match self.cache.get(&address) {
            Some(Entry::Answered { name, since }) => {
                since.elapsed() > if name.is_some() { NAME_LASTS } else { NO_NAME_LASTS }
            }
            Some(Entry::Asked) => false,
            None => true,
        };
        if outdated {
            if self.questions.try_send(address).is_err() {
                return Name::NotAsked;
            }
            self.make_room();
            self.cache.insert(address, Entry::Asked);
        }
        match self.cache.get(&address) {
            Some(Entry::Answered { name: Some(name), .. }) => Name::Known(name),
            Some(Entry::Answered { name: None, .. }) => Name::None,
            Some(Entry::Asked) | None => Name::Pending,
        }
    }

    fn take_answers(&mut self) {
        while let Ok((address, name)) = self.answers.try_recv() {
            let name = name.map(|name| name.into_bytes().into_boxed_slice());
            self.cache.insert(address, Entry::Answered { name, since: Instant::now() });
        }
    }

    /// What was answered is forgotten at once: it happens every few thousand new addresses, and a question
    /// costs little.
    fn make_room(&mut self) {
        if self.cache.len() >= REMEMBERED {
            self.cache.retain(|_, entry| matches!(entry, Entry::Asked));
        }
    }
}

/// NI_NAMEREQD: no name is an error, not the address as text.
const NAME_REQUIRED: i32 = 8;

fn resolve(address: IpAddr) -> Option<String> {
    let (name, _) = dns_lookup::getnameinfo(&SocketAddr::new(address, 0), NAME_REQUIRED).ok()?;
    Some(name).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use std::{
        net::IpAddr,
        thread,
        time::{Duration, Instant},
    };

    use super::{Name, Names};

    fn settle(names: &mut Names, address: IpAddr) -> Option<Vec<u8>> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match names.of(address) {
                Name::Known(name) => return Some(name.to_vec()),
                Name::None => return None,
                Name::Pending | Name::NotAsked => assert!(Instant::now() < deadline, "no answer"),
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn an_address_is_asked_for_once_and_remembered() {
        let mut names = Names::from_resolver(|address| address.is_ipv4().then(|| format!("host-{address}")));
        let (v4, v6) = (IpAddr::from([192, 0, 2, 1]), "2001:db8::1".parse().unwrap());
        assert_eq!(settle(&mut names, v4).as_deref(), Some(b"host-192.0.2.1".as_slice()));
        assert_eq!(settle(&mut names, v6), None);
        assert_eq!(names.of(v4), Name::Known(b"host-192.0.2.1"));
    }

    #[test]
    fn a_resolver_that_hangs_blocks_nobody_and_the_questions_are_bounded() {
        let mut names = Names::from_resolver(|_| {
            thread::sleep(Duration::from_secs(3600));
            None
        });
        let begin = Instant::now();
        let open = (0..2_000u32)
            .filter(|number| names.of(IpAddr::V4((0xc000_0200 + number).into())) == Name::Pending)
            .count();
        assert!(begin.elapsed() < Duration::from_secs(5));
        assert!((super::QUESTIONS..=super::QUESTIONS + super::THREADS).contains(&open), "{open} open");
    }

    #[test]
    fn the_system_knows_loopback_by_a_name_or_not_at_all() {
        let name = settle(&mut Names::of_the_system(), IpAddr::from([127, 0, 0, 1]));
        assert_ne!(name.as_deref(), Some(b"127.0.0.1".as_slice()));
    }
}
