//! Calls to extenders of the scheduler, by plain HTTP.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use seatrial_api::units::Span;
use seatrial_scheduler::extender::ExtenderClient;

/// How large an answer may be.
const ANSWER_MAX: u64 = 256 << 20;

/// Posts by HTTP/1.0, one connection for each call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpClient;

impl ExtenderClient for HttpClient {
    fn post(&self, address: &str, body: &str, timeout: Span) -> Result<String, String> {
        let at = |problem: String| format!("Post \"{address}\": {problem}");
        let timeout = Duration::from_nanos(u64::try_from(timeout.nanos()).unwrap_or(0));
        exchange(address, body, timeout).map_err(at)
    }
}

fn exchange(address: &str, body: &str, timeout: Duration) -> Result<String, String> {
    let rest = address.strip_prefix("http://").ok_or("not an address of plain HTTP")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let deadline = Instant::now() + timeout;
    let mut stream = connect(authority, deadline)?;
    let request = format!(
        "POST /{path} HTTP/1.0\r\nHost: {authority}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.set_write_timeout(Some(left(deadline)?)).map_err(text)?;
    stream.write_all(request.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).map_err(text)?;
    answer(&read_all(&mut stream, deadline)?)
}

fn connect(authority: &str, deadline: Instant) -> Result<TcpStream, String> {
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let target = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    let mut problem = format!("{target}: no such host");
    for address in target.to_socket_addrs().map_err(text)? {
        match TcpStream::connect_timeout(&address, left(deadline)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => problem = error.to_string(),
        }
    }
    Err(problem)
}

/// Reads up to the end of the connection, which ends an answer of HTTP/1.0.
fn read_all(stream: &mut TcpStream, deadline: Instant) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut part = [0; 1 << 14];
    loop {
        stream.set_read_timeout(Some(left(deadline)?)).map_err(text)?;
        match stream.read(&mut part).map_err(text)? {
            0 => return Ok(bytes),
            count => bytes.extend_from_slice(&part[..count]),
        }
        if bytes.len() as u64 > ANSWER_MAX {
            return Err("the answer is too large".to_owned());
        }
    }
}

/// The body of an answer with status 200.
fn answer(bytes: &[u8]) -> Result<String, String> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").ok_or("the answer is no HTTP")?;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let status = head.split_whitespace().nth(1).and_then(|code| code.parse::<u16>().ok());
    match status {
        Some(200) => String::from_utf8(bytes[end + 4..].to_vec()).map_err(text),
        Some(code) => Err(format!("got status {code}")),
        None => Err("the answer is no HTTP".to_owned()),
    }
}

fn left(deadline: Instant) -> Result<Duration, String> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err("no answer in time".to_owned()) } else { Ok(left) }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers one request with these bytes and returns what was asked.
    fn serve(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}/base/verb", listener.local_addr().expect("an address"));
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut asked = Vec::new();
            let mut part = [0; 512];
            while !asked.ends_with(b"{}") {
                let count = stream.read(&mut part).expect("bytes");
                asked.extend_from_slice(&part[..count]);
            }
            stream.write_all(answer.as_bytes()).expect("a reader");
            String::from_utf8(asked).expect("text")
        });
        (address, server)
    }

    #[test]
    fn a_body_is_posted_and_the_answer_read() {
        let (address, server) = serve("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n[1]");
        assert_eq!(HttpClient.post(&address, "{}", Span::from_secs(5)), Ok("[1]".to_owned()));
        let asked = server.join().expect("a server");
        assert!(asked.starts_with("POST /base/verb HTTP/1.0\r\n") && asked.contains("Content-Length: 2\r\n"));
    }

    #[test]
    fn other_answers_are_errors() {
        for (given, expected) in
            [("HTTP/1.1 500 Oops\r\n\r\n", "got status 500"), ("nonsense", "the answer is no HTTP")]
        {
            let (address, server) = serve(given);
            let answer = HttpClient.post(&address, "{}", Span::from_secs(5));
            assert_eq!(answer, Err(format!("Post \"{address}\": {expected}")));
            server.join().expect("a server");
        }
        let refused = HttpClient.post("http://127.0.0.1:1/x", "{}", Span::from_secs(5));
        assert!(refused.is_err_and(|problem| problem.contains("refused")));
    }
}
