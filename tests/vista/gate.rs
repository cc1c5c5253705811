//! A way to a source that can be closed and opened: what goes there then finds nobody.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// The way to one address. It ends with the test's process.
pub struct Gate {
    address: String,
    is_open: Arc<AtomicBool>,
    tried: Arc<AtomicUsize>,
    /// Both ends of each connection.
    ends: Arc<Mutex<Vec<TcpStream>>>,
}

impl Gate {
    /// An open way to `target`.
    pub fn to(target: &str) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let gate = Gate {
            address: listener.local_addr().unwrap().to_string(),
            is_open: Arc::new(AtomicBool::new(true)),
            tried: Arc::default(),
            ends: Arc::default(),
        };
        let (is_open, tried) = (gate.is_open.clone(), gate.tried.clone());
        let ends = gate.ends.clone();
        let target = target.to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                tried.fetch_add(1, Ordering::Relaxed);
                let mut ends = ends.lock().unwrap();
                if !is_open.load(Ordering::Relaxed) {
                    continue;
                }
                if let Ok(other) = TcpStream::connect(&target) {
                    join(&stream, &other);
                    join(&other, &stream);
                    ends.extend([stream, other]);
                }
            }
        });
        gate
    }

    /// The URL of the source by this way.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Breaks all connections, and new ones find nobody.
    pub fn close(&self) {
        let mut ends = self.ends.lock().unwrap();
        self.is_open.store(false, Ordering::Relaxed);
        for end in ends.drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    pub fn open(&self) {
        self.is_open.store(true, Ordering::Relaxed);
    }

    /// Connections that were tried so far.
    pub fn tried(&self) -> usize {
        self.tried.load(Ordering::Relaxed)
    }
}

/// Copies from one to the other until either ends.
fn join(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
}
