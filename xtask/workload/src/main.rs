//! What pods of the end-to-end tests run, one static program without a shell around it:
//!
//! ```text
//! workload pause                               nothing, for ever: also the pause container of each pod
//! workload serve PORT                          answers each request with this pod's name
//! workload get HOST:PORT [COUNT [PAUSE_MS]]    one connection a request; a line for each: local address, answer
//! workload hold HOST:PORT                      one connection, one request, then keeps it open for ever
//! workload storm HOST:PORT COUNT               as many connections as fast as it can, and then how many failed
//! ```

use std::{
    env,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream, ToSocketAddrs as _},
    process::ExitCode,
    thread,
    time::Duration,
};

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["pause"] => wait(),
        ["serve", port] => serve(port),
        ["get", to] => get(to, "1", "0"),
        ["get", to, count] => get(to, count, "0"),
        ["get", to, count, pause] => get(to, count, pause),
        ["hold", to] => hold(to),
        ["storm", to, count] => storm(to, count),
        _ => Err(wrong(
            "workload pause | serve PORT | get HOST:PORT [COUNT [PAUSE_MS]] | hold … | storm … COUNT",
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("workload: {error}");
            ExitCode::FAILURE
        }
    }
}

fn wrong(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text.to_owned())
}

fn number(text: &str) -> io::Result<u64> {
    text.parse().map_err(|_| wrong(&format!("`{text}` is no number")))
}

fn wait() -> io::Result<()> {
    loop {
        thread::park();
    }
}

fn serve(port: &str) -> io::Result<()> {
    let port = number(port)?.try_into().map_err(|_| wrong("no port"))?;
    // Both families where the pod has both, else IPv4.
    let listener = TcpListener::bind(("::", port)).or_else(|_| TcpListener::bind(("0.0.0.0", port)))?;
    println!("serving {}", listener.local_addr()?);
    let name = env::var("HOSTNAME").unwrap_or_default();
    for stream in listener.incoming() {
        let name = name.clone();
        let stream = stream?;
        thread::spawn(move || {
            // A client that goes away is no news.
            let _ = answer(&stream, &name);
        });
    }
    Ok(())
}

/// Reads up to the empty line, answers, and waits until the client closes.
fn answer(stream: &TcpStream, name: &str) -> io::Result<()> {
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    while lines.read_line(&mut line)? > 2 {
        line.clear();
    }
    let mut to = stream;
    write!(to, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{name}\n", name.len() + 1)?;
    lines.read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Connects and asks; the connection, and what was answered.
fn ask(to: &str) -> io::Result<(TcpStream, String)> {
    let address = to.to_socket_addrs()?.next().ok_or_else(|| wrong("a name without an address"))?;
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET / HTTP/1.0\r\nHost: {to}\r\n\r\n")?;
    let mut lines = BufReader::new(&stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? <= 2 {
            break;
        }
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = number(value.trim())?;
        }
    }
    let mut body = String::new();
    lines.take(length).read_to_string(&mut body)?;
    Ok((stream, body.trim().to_owned()))
}

fn get(to: &str, count: &str, pause: &str) -> io::Result<()> {
    let pause = Duration::from_millis(number(pause)?);
    for turn in 0..number(count)? {
        if turn > 0 {
            thread::sleep(pause);
        }
        let (stream, body) = ask(to)?;
        println!("{} {body}", stream.local_addr()?);
    }
    Ok(())
}

fn hold(to: &str) -> io::Result<()> {
    let (stream, body) = ask(to)?;
    println!("{} {body}", stream.local_addr()?);
    wait()
}

fn storm(to: &str, count: &str) -> io::Result<()> {
    let count = number(count)?;
    let failed = (0..count).filter(|_| ask(to).is_err()).count();
    println!("{count} connections, {failed} failed");
    Ok(())
}
