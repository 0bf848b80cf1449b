//! Placeholder.
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use super::spec::{Admin, AdminAddress, EndpointAddress, Listener, Spec};

impl FromStr for EndpointAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self::Ip).map_err(|_| format!("`{text}` is not host:port"))
    }
}

impl Spec {
    /// Placeholder.
    pub fn front_door(listen: SocketAddr, _to: Vec<EndpointAddress>) -> Self {
        Self {
            workers: None,
            drain: Duration::from_secs(8),
            access_log: Default::default(),
            admin: Admin { address: AdminAddress::Tcp(([127, 0, 0, 1], 9900).into()), token_file: None },
            state_dir: "./.adit".into(),
            listeners: vec![Listener { address: listen }],
            services: Default::default(),
        }
    }
}
