//! Who is connected to a port of this machine.

/// How many connections a server at a port of 127.0.0.1 has. None when that cannot be found out.
#[cfg(target_os = "linux")]
#[must_use]
pub fn connections(port: u16) -> Option<usize> {
    /// `TCP_ESTABLISHED`, see `include/net/tcp_states.h` of the kernel.
    const ESTABLISHED: &str = "01";
    let table = fs_err::read_to_string("/proc/net/tcp").ok()?;
    let local = format!("0100007F:{port:04X}");
    let is_one = |line: &&str| {
        let mut fields = line.split_whitespace();
        fields.nth(1) == Some(&local) && fields.nth(1) == Some(ESTABLISHED)
    };
    Some(table.lines().skip(1).filter(is_one).count())
}

/// How many connections a server at a port of 127.0.0.1 has. None when that cannot be found out.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn connections(port: u16) -> Option<usize> {
    let output = std::process::Command::new("netstat").args(["-an", "-p", "tcp"]).output().ok()?;
    let local = format!("127.0.0.1.{port}");
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_one = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(3) == Some(&local.as_str()) && fields.get(5) == Some(&"ESTABLISHED")
    };
    Some(table.lines().filter(is_one).count())
}

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
