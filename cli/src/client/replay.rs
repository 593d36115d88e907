//! Saved events instead of servers: a file of lines as `-o jsonpb` writes them.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
    sync::Arc,
};

use tokio::sync::mpsc::Sender;

use super::{
    ClientError,
    follow::{News, Update},
};
use crate::show::read_jsonpb;

/// A line is at most so long: a saved batch is far shorter.
const LINE: u64 = 16 << 20;

/// Opens the file; nothing = standard input. Bad names are told before anything starts.
pub fn open(path: Option<&Path>) -> Result<Box<dyn BufRead + Send>, ClientError> {
    let Some(path) = path else { return Ok(Box::new(BufReader::new(io::stdin()))) };
    let wrong = |error: io::Error| ClientError::Named(format!("--input-file: {}: {error}", path.display()));
    let file = File::open(path).map_err(wrong)?;
    if file.metadata().map_err(wrong)?.is_dir() {
        return Err(ClientError::Named(format!("--input-file: {}: is a directory", path.display())));
    }
    Ok(Box::new(BufReader::new(file)))
}

/// Reads it to its end, or until nobody listens. Blocks: for a thread of its own.
pub fn read(mut input: Box<dyn BufRead + Send>, updates: &Sender<Update>) {
    let send = |news| updates.blocking_send(Update { server: 0, news }).is_ok();
    let added = News::Added { name: Arc::from(""), label: "the input".to_owned() };
    if !send(added) || !send(News::Connected) {
        return;
    }
    let mut bytes = Vec::new();
    for number in 1u64.. {
        bytes.clear();
        let news = match io::Read::take(&mut input, LINE).read_until(b'\n', &mut bytes) {
            Ok(0) => News::Ended,
            Ok(_) => match line(&bytes) {
                Ok(None) => continue,
                Ok(Some(response)) => News::Said(Box::new(response)),
                Err(reason) => News::Failed(ClientError::Unreachable(format!(
                    "--input-file: line {number} is no event as -o jsonpb writes it: {reason}"
                ))),
            },
            Err(error) => News::Failed(ClientError::Unreachable(format!("--input-file: {error}"))),
        };
        let last = matches!(news, News::Ended | News::Failed(_));
        if !send(news) || last {
            return;
        }
    }
}

fn line(bytes: &[u8]) -> Result<Option<proto::v1::ObserveResponse>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?.trim();
    if text.is_empty() {
        return Ok(None);
    }
    read_jsonpb(text).map(Some)
}
