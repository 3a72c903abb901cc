//! Who is connected to a port of this machine.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

#[cfg(target_os = "linux")]
pub use linux::connections;
#[cfg(target_os = "macos")]
pub use macos::connections;

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn connections_are_counted_at_the_servers_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(super::connections(address.port()), Some(0));
        let ours = [(); 2].map(|()| TcpStream::connect(address).unwrap());
        let theirs = [(); 2].map(|()| listener.accept().unwrap());
        assert_eq!(super::connections(address.port()), Some(2));
        drop((ours, theirs));
        assert_eq!(super::connections(address.port()), Some(0));
    }
}
