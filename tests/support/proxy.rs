//! A TCP proxy that can go away and come back: an outage of the server behind it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// How long it is away.
enum Outage {
    /// It is there.
    None,
    /// So many connections are dropped at once.
    Connections(u64),
    /// Connections are dropped until then.
    Until(Instant),
    /// For good.
    Forever,
}

struct State {
    outage: Mutex<Outage>,
    dropped: AtomicU64,
    forwarded: AtomicU64,
    /// Connections that go through.
    open: Mutex<JoinSet<()>>,
}

/// Runs until it is dropped.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    runtime: Option<Runtime>,
}

impl Proxy {
    pub fn start(upstream: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            outage: Mutex::new(Outage::None),
            dropped: AtomicU64::new(0),
            forwarded: AtomicU64::new(0),
            open: Mutex::new(JoinSet::new()),
        });
        let shared = Arc::clone(&state);
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if shared.is_away() {
                    shared.dropped.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                shared.forwarded.fetch_add(1, Ordering::SeqCst);
                shared.open.lock().unwrap().spawn(forward(client, upstream));
            }
        });
        Self { address, state, runtime: Some(runtime) }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Connections that went through, and that were dropped.
    pub fn connections(&self) -> (u64, u64) {
        (self.state.forwarded.load(Ordering::SeqCst), self.state.dropped.load(Ordering::SeqCst))
    }

    /// Cuts everything, and drops the next `count` connections.
    pub fn away_for_connections(&self, count: u64) {
        self.cut(Outage::Connections(count));
    }

    /// Cuts everything, and comes back after `time`.
    pub fn away_for(&self, time: Duration) {
        self.cut(Outage::Until(Instant::now() + time));
    }

    /// Cuts everything for good.
    pub fn away(&self) {
        self.cut(Outage::Forever);
    }

    fn cut(&self, outage: Outage) {
        *self.state.outage.lock().unwrap() = outage;
        self.state.open.lock().unwrap().abort_all();
    }
}

impl State {
    fn is_away(&self) -> bool {
        let mut outage = self.outage.lock().unwrap();
        match &mut *outage {
            Outage::None => false,
            Outage::Connections(0) => {
                *outage = Outage::None;
                false
            }
            Outage::Connections(left) => {
                *left -= 1;
                true
            }
            Outage::Until(end) => Instant::now() < *end,
            Outage::Forever => true,
        }
    }
}

async fn forward(mut client: TcpStream, upstream: SocketAddr) {
    if let Ok(mut server) = TcpStream::connect(upstream).await {
        // Either side may go away.
        tokio::io::copy_bidirectional(&mut client, &mut server).await.ok();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
