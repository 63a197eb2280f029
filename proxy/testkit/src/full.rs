//! An upstream that never accepts.

use std::net::{SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

/// A listener whose queue of connections is full: further ones wait for ever.
#[derive(Debug)]
pub struct FullListener {
    address: SocketAddr,
    _listening: Socket,
    _filling: TcpStream,
}

impl FullListener {
    /// On a free port of this machine.
    ///
    /// # Panics
    /// When the machine gives none.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it does I/O")]
    pub fn new() -> Self {
        let listening = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        listening.bind(&any.into()).expect("a free port");
        // There is room for one.
        listening.listen(0).expect("a socket that may listen");
        let address = listening.local_addr().expect("it is bound");
        let address = address.as_socket().expect("an address of the Internet");
        Self {
            address,
            _listening: listening,
            _filling: TcpStream::connect(address).expect("room for one"),
        }
    }

    /// Where it does not accept.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
