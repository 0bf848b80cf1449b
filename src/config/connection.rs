//! `connection`: how a service's endpoints are spoken to.

use super::reader::Table;
use crate::domain::proxy_protocol::ProxyProtocol;

/// How endpoints are told whom a connection is for.
pub(super) fn proxy_protocol(connection: &mut Table<'_>) -> Option<ProxyProtocol> {
    let words = [("v1", ProxyProtocol::V1), ("v2", ProxyProtocol::V2)];
    connection.value("proxy_protocol")?.choice(&words, &[])
}
