//! A whole outage with the published client for Rust (`toxiproxy_rust`), unchanged.

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use toxiproxy_rust::{client::Client, proxy::ProxyPack};

/// An upstream that sends back what it gets.
fn echo() -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut reader = stream.try_clone()?;
                io::copy(&mut reader, &mut &stream)
            });
        }
    });
    Ok(address)
}

/// How long an echo takes.
fn said_back(address: &str) -> io::Result<Duration> {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"ping")?;
    let mut got = [0; 4];
    stream.read_exact(&mut got)?;
    assert_eq!(&got, b"ping");
    Ok(began.elapsed())
}

fn free_address() -> io::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

fn main() {
    let server = std::env::args().nth(1).expect("the server's address");
    let client = Client::new(server.as_str());
    assert!(client.is_running());
    assert!(client.version().expect("a version").contains("2.12.0"));
    client.reset().expect("a reset");

    let upstream = echo().expect("an upstream");
    let listen = free_address().expect("a port");
    let pack = ProxyPack::new("redis".to_owned(), listen.clone(), upstream);
    let proxies = client.populate(vec![pack]).expect("proxies");
    let redis = &proxies[0];
    assert!(said_back(&listen).expect("an answer") < Duration::from_secs(1));

    redis
        .with_latency("downstream".to_owned(), 200, 0, 1.0)
        .apply(|| {
            let took = said_back(&listen).expect("an answer");
            assert!(took >= Duration::from_millis(200), "{took:?}");
            let toxics = redis.toxics().expect("toxics");
            assert_eq!(toxics.len(), 1);
        })
        .expect("a latency");
    assert!(redis.toxics().expect("toxics").is_empty());

    redis
        .with_down(|| assert!(said_back(&listen).is_err()))
        .expect("an outage");
    assert!(said_back(&listen).is_ok());

    redis
        .with_limit_data("downstream".to_owned(), 3, 1.0)
        .apply(|| assert!(said_back(&listen).is_err()))
        .expect("a limit");
    redis.disable().expect("disabled");
    assert!(said_back(&listen).is_err());
    client.reset().expect("a reset");
    assert!(said_back(&listen).is_ok());

    let all = client.all().expect("proxies");
    assert!(all.contains_key("redis"));
    client.find_proxy("redis").expect("it").delete().expect("gone");
    assert!(client.find_proxy("redis").is_err());
    println!("toxiproxy_rust: ok");
}
