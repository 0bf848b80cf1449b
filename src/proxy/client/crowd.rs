//! How many connections each client has, over all workers. Touched when a connection begins and when it ends.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The clients that are connected, while their number of connections is limited.
#[derive(Debug, Default)]
pub(crate) struct Crowd(Mutex<HashMap<IpAddr, u32>>);

/// One connection of a client. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Present {
    crowd: Arc<Crowd>,
    client: IpAddr,
}

impl Crowd {
    /// One more connection of the client at this address, unless it has `most` already.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr, most: u32) -> Option<Present> {
        let client = one_client(address);
        let mut crowd = self.lock();
        let connections = crowd.entry(client).or_insert(0);
        if *connections >= most {
            return None;
        }
        *connections += 1;
        drop(crowd);
        Some(Present { crowd: self.clone(), client })
    }

    /// Nothing is left half done by a panic.
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let mut crowd = self.crowd.lock();
        if let Some(connections) = crowd.get_mut(&self.client) {
            *connections -= 1;
            if *connections == 0 {
                crowd.remove(&self.client);
            }
        }
    }
}

/// An IPv6 host is given a /64 to choose addresses from: all of them are one client.
fn one_client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(crowd: &Arc<Crowd>, address: &str) -> Option<Present> {
        crowd.enter(address.parse().unwrap(), 2)
    }

    #[test]
    fn each_client_has_so_many_and_no_trace_stays_of_who_left() {
        let crowd = Arc::new(Crowd::default());
        let first = (enter(&crowd, "10.0.0.1").unwrap(), enter(&crowd, "::ffff:10.0.0.1").unwrap());
        assert!(enter(&crowd, "10.0.0.1").is_none());
        let other = enter(&crowd, "10.0.0.2").unwrap();
        drop(first.0);
        assert!(enter(&crowd, "10.0.0.1").is_some());
        drop((first.1, other));
        assert!(crowd.lock().is_empty());
    }

    #[test]
    fn the_addresses_of_one_ipv6_host_are_one_client() {
        let crowd = Arc::new(Crowd::default());
        let _two = (enter(&crowd, "2001:db8:1:2::1").unwrap(), enter(&crowd, "2001:db8:1:2:3::4").unwrap());
        assert!(enter(&crowd, "2001:db8:1:2:ffff::").is_none());
        assert!(enter(&crowd, "2001:db8:1:3::1").is_some());
    }
}
