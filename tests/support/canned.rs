//! A server with prepared answers: one that hangs, one that is overloaded, one that is no HTTP server at all.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What to do with a request.
pub enum Answer {
    /// Status line and body.
    Http(&'static str, String),
    /// Whatever this is.
    Raw(&'static [u8]),
    /// Nothing, ever.
    Hang,
}

/// Answers request number n (from 0) with the given function. Runs until the process ends.
pub struct Canned {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Canned {
    pub fn start(answer: impl Fn(usize, &str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let (counter, answer) = (Arc::clone(&counter), Arc::clone(&answer));
                // A client that goes away is its own business.
                std::thread::spawn(move || socket.map(|socket| serve(socket, &counter, &*answer)));
            }
        });
        Self { address, requests }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// One request for each connection.
fn serve(mut socket: TcpStream, counter: &AtomicUsize, answer: &dyn Fn(usize, &str) -> Answer) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head.split_once("content-length: ").and_then(|(_, tail)| tail.split("\r\n").next()?.parse().ok());
    std::io::copy(&mut (&mut socket).take(length.unwrap_or(0)), &mut std::io::sink())?;
    let line = head.lines().next().unwrap_or_default();
    match answer(counter.fetch_add(1, Ordering::SeqCst), line) {
        Answer::Http(status, body) => {
            let length = body.len();
            let body = if line.starts_with("head") { "" } else { &body };
            write!(socket, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
        }
        Answer::Raw(bytes) => socket.write_all(bytes),
        Answer::Hang => {
            // Until the client has had enough.
            socket.read(&mut byte).map(|_| ())
        }
    }
}
